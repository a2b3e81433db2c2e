"""What receivers had stored and no batch had taken when their driver ended: from the log, or from Kafka again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition
from pyspark.sql import SparkSession

from hadoop_files import HadoopFiles
from received_batches import ReceivedBatches
from receiver_stream import WRITTEN_BY
from streamops.errors import DataLossError, LeaseLostError, UnavailableError
from streamops.state import batch_log, generations
from streamops.state.job_spec import JobSpec

from .conftest import RunningStream, Topics
from .observing import LIMIT_S, assert_contiguous, covered, entries, opened
from .receiving import Committed, assert_exactly, numbered, until


def blocks(spark: SparkSession) -> list[str]:
    """Names of the received blocks that executors hold."""
    executors = spark._jsparkSession.sparkContext().env().blockManager().master().getStorageStatus()
    names = [name for executor in executors for name in executor.blocks().keys().mkString(" ").split()]
    return [name for name in names if name.startswith("input-")]


@dataclass
class Gate:
    """Holds batches back: receivers go on storing, and nothing is processed."""

    opened: threading.Event

    @classmethod
    def shut(cls, patch: pytest.MonkeyPatch, *, then_goes_on: bool = False) -> Gate:
        gate = cls(threading.Event())
        take = ReceivedBatches.take

        def held_back(batches: ReceivedBatches, received: Any, **given: Any) -> Any:
            # The first, empty batch may pass: it says that the receivers are there.
            if received.chunks() and not gate.opened.is_set():
                gate.opened.wait(LIMIT_S)
                if not then_goes_on:
                    raise UnavailableError("held back until the test's driver was ended")
            return take(batches, received, **given)

        patch.setattr(ReceivedBatches, "take", held_back)
        return gate


def stored(files: HadoopFiles) -> int:
    """Bytes in the write-ahead logs of the receivers."""
    root = Path(files.url.removeprefix("file://"))
    return sum(path.stat().st_size for path in root.glob("checkpoint/*/*/receivedData/*/*"))


def receive_without_processing(
    receivers: Callable[..., RunningStream], spec: JobSpec, topics: Topics, count: int, files: HadoopFiles
) -> None:
    """Leave `count` numbered records in a write-ahead log and in no batch, and a driver that was ended."""
    with pytest.MonkeyPatch.context() as patch:
        gate = Gate.shut(patch)
        running = receivers(spec, "driver-0")
        until(running, lambda: batch_log.read_head(files, 1) is not None, "the receivers are there")
        topics.send(spec.topics[0], numbered(count))
        committed = Committed(topics)
        until(running, lambda: committed.of(spec.topics[0]) >= count, "everything is stored and committed")
        running.stream.stop_with(LeaseLostError("the test stops it"))
        gate.opened.set()
        running.join()
    assert covered(files) == 0


def test_the_log_delivers_what_retention_has_taken(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec],
) -> None:
    topic = topics.create()
    spec = receiver_spec(topic)
    receive_without_processing(receivers, spec, topics, 1000, files)
    topics.admin.delete_records({TopicPartition(topic, 0): 1000})
    topics.send(topic, numbered(10, first=1000))
    running = receivers(spec)
    until(running, lambda: covered(files) == 1010, "everything is in a batch")
    running.stop()
    assert_exactly(spark, files, range(1010))
    assert_contiguous(files)
    assert stored(files) == 0 or len(files.names("checkpoint/000001")) == 1, "what is processed is removed"


@pytest.mark.parametrize("dies", [False, True], ids=["it goes on", "it ends before that"])
def test_receivers_store_while_what_earlier_ones_left_is_processed(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec], dies: bool,
) -> None:
    topic = topics.create()
    spec = receiver_spec(topic)
    receive_without_processing(receivers, spec, topics, 1000, files)
    with pytest.MonkeyPatch.context() as patch:
        gate = Gate.shut(patch, then_goes_on=not dies)
        running = receivers(spec)
        topics.send(topic, numbered(100, first=1000))
        committed = Committed(topics)
        until(running, lambda: committed.of(topic) >= 1100, "what is new is stored")
        assert covered(files) == 0, "and waits for what comes before it"
        if dies:
            running.stream.stop_with(LeaseLostError("the test stops it"))
        gate.opened.set()
        if dies:
            running.join()
    if dies:
        assert covered(files) == 0
        running = receivers(spec, "driver-2")
    until(running, lambda: covered(files) == 1100, "everything is in a batch")
    running.stop()
    assert_exactly(spark, files, range(1100))
    assert_contiguous(files)
    if not dies:
        recovered = next(entry for entry in entries(files) if entry.rows)
        assert recovered.rows == 1000, "what was new was not received a second time"


@pytest.mark.parametrize("policy", ["stop", "continue"])
def test_without_a_log_retention_takes_what_was_received(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec], streaming: Callable[..., None], policy: str,
) -> None:
    streaming(receiver__writeAheadLog__enable="false")
    topic = topics.create()
    spec = receiver_spec(topic, write_ahead_log=False, on_data_loss=policy)
    receive_without_processing(receivers, spec, topics, 1000, files)
    topics.admin.delete_records({TopicPartition(topic, 0): 1000})
    topics.send(topic, numbered(10, first=1000))
    running = receivers(spec)
    if policy == "stop":
        assert isinstance(running.join(), DataLossError)
        assert covered(files) == 0
        return
    until(running, lambda: covered(files) == 1010, "everything that is left is in a batch")
    running.stop()
    assert_exactly(spark, files, range(1000, 1010))
    assert sum(lost.span for entry in entries(files) for lost in entry.lost) == 1000


def test_without_a_log_kafka_delivers_again(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec], streaming: Callable[..., None],
) -> None:
    streaming(receiver__writeAheadLog__enable="false")
    topic = topics.create()
    spec = receiver_spec(topic, write_ahead_log=False)
    receive_without_processing(receivers, spec, topics, 1000, files)
    assert blocks(spark) == [], "executors keep nothing for receivers that are stopped"
    running = receivers(spec)
    until(running, lambda: covered(files) == 1000, "everything is in a batch")
    running.stop()
    assert_exactly(spark, files, range(1000))


def test_a_damaged_log_is_left_and_kafka_delivers_again(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec],
) -> None:
    topic = topics.create()
    spec = receiver_spec(topic)
    receive_without_processing(receivers, spec, topics, 1000, files)
    root = Path(files.url.removeprefix("file://"))
    logs = list(root.glob("checkpoint/*/*/receivedData/*/log-*"))
    assert logs
    for log in logs:
        content = bytearray(log.read_bytes())
        content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
        log.write_bytes(content)
    running = receivers(spec)
    until(running, lambda: covered(files) == 1000, "everything is in a batch")
    running.stop()
    assert_exactly(spark, files, range(1000))
    assert_contiguous(files)


def test_an_upgrade_processes_what_the_old_code_received(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec],
) -> None:
    topic = topics.create()
    receive_without_processing(receivers, receiver_spec(topic), topics, 1000, files)
    topics.send(topic, numbered(500, first=1000))
    running = receivers(replace(receiver_spec(topic), transform="word_count"))
    until(running, lambda: covered(files) == 1500, "everything is in a batch")
    running.stop()
    found = spark.read.option("mergeSchema", "true").parquet(f"{files.url}/output").where("word is not null").collect()
    counts = {row.word: row["count"] for row in found}
    assert counts == {str(number): 1 for number in range(1500)}
    assert_contiguous(files)


def test_the_log_of_another_spark_is_not_read_and_kafka_delivers_again(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec],
) -> None:
    topic = topics.create()
    spec = receiver_spec(topic)
    receive_without_processing(receivers, spec, topics, 1000, files)
    (directory,) = files.names("checkpoint/000001")
    files.replace(f"checkpoint/000001/{directory}/{WRITTEN_BY}", json.dumps({"spark": "4.1.1", "chunks": 1}))
    running = receivers(spec)
    until(running, lambda: files.exists(generations.path(2)) and covered(files, 2) == 1000, "generation 2 has it all")
    running.stop()
    assert "4.1.1" in opened(files, 2).reason
    assert_exactly(spark, files, range(1000))
    assert files.names("checkpoint/000001") == [directory], "nobody else's log is removed"


def test_blocks_that_are_lost_are_read_from_kafka_again(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec], streaming: Callable[..., None], monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a log, memory alone holds what was received: as if its executor had died."""
    streaming(receiver__writeAheadLog__enable="false")
    topic = topics.create()
    gate = Gate.shut(monkeypatch, then_goes_on=True)
    running = receivers(receiver_spec(topic, write_ahead_log=False))
    until(running, lambda: batch_log.read_head(files, 1) is not None, "the receivers are there")
    topics.send(topic, numbered(1000))
    until(running, lambda: Committed(topics).of(topic) >= 1000, "everything is stored and committed")
    spark.sparkContext._jsc.sc().env().blockManager().memoryStore().clear()
    gate.opened.set()
    until(running, lambda: covered(files) == 1000, "everything is in a batch")
    running.stop()
    assert_exactly(spark, files, range(1000))
    assert_contiguous(files)
