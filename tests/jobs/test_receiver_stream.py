"""The receiver job in this process, on a real broker: what becomes of every record when something fails."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from pyspark.sql import SparkSession

from hadoop_files import HadoopFiles
from micro_batch import MicroBatches
from received_batches import ReceivedBatches
from receiver_stream import WRITTEN_BY
from streamops import batch_log, generations
from streamops.errors import ConfigurationError, DataLossError, LeaseLostError, StateError, UnavailableError
from streamops.generations import Generation
from streamops.job_spec import JobSpec, ReceiverSpec
from streamops.offsets import TopicPartition as KnownPartition
from streamops.planned_batch import PlannedBatch

from .conftest import RunningStream, Topics
from .receiving import Committed, assert_contiguous, covered, entries, numbered, numbers, rows

LIMIT_S = 120


class DriverDied(BaseException):
    """Stands for kill -9: nothing after it runs."""


@pytest.fixture
def streaming(spark: SparkSession) -> Iterator[Callable[..., None]]:
    """Sets Spark's streaming settings for one test, as spark-submit's --conf would."""
    conf = spark.sparkContext._jsc.sc().conf()
    before: dict[str, str | None] = {}

    def set_all(**settings: str) -> None:
        for name, value in settings.items():
            key = "spark.streaming." + name.replace("__", ".")
            before.setdefault(key, conf.get(key) if conf.contains(key) else None)
            conf.set(key, value)

    set_all(receiver__writeAheadLog__enable="true", backpressure__enabled="true")
    yield set_all
    for key, value in before.items():
        conf.remove(key) if value is None else conf.set(key, value)


@pytest.fixture
def receivers(driver: Callable[..., RunningStream], streaming: Callable[..., None]) -> Callable[..., RunningStream]:
    """Starts receivers, with the write-ahead log and back-pressure on where the test sets nothing else."""
    assert streaming is not None
    return driver


@pytest.fixture
def receiver_spec(spec: Callable[..., JobSpec]) -> Callable[..., JobSpec]:
    def make(*topics: str, receivers: int = 1, write_ahead_log: bool = True, **changes: Any) -> JobSpec:
        receiver = ReceiverSpec(receivers, "group", write_ahead_log, stop_within_s=20)
        return spec(*topics, approach="receiver", receiver=receiver, transform="identity", **changes)

    return make


def blocks(spark: SparkSession) -> list[str]:
    """Names of the received blocks that executors hold."""
    executors = spark._jsparkSession.sparkContext().env().blockManager().master().getStorageStatus()
    names = [name for executor in executors for name in executor.blocks().keys().mkString(" ").split()]
    return [name for name in names if name.startswith("input-")]


def until(running: RunningStream, holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        if running.ended_with is not None:
            raise running.ended_with
        assert time.monotonic() < deadline, f"{what}: not within {LIMIT_S} s"
        time.sleep(0.1)


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


def test_records_arrive_whole(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec],
) -> None:
    topic = topics.create(partitions=2)
    topics.send(topic, [b"one", b"two"], partition=0)
    topics.send(topic, [b"three"], partition=1)
    running = receivers(receiver_spec(topic))
    until(running, lambda: covered(files) == 3, "three records are in a batch")
    running.stop()
    found = sorted((row.partition, row.offset, bytes(row.value), row.key, row.topic) for row in rows(spark, files))
    assert found == [(0, 0, b"one", None, topic), (0, 1, b"two", None, topic), (1, 0, b"three", None, topic)]


def test_two_receivers_share_four_partitions_and_their_order_holds(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec],
) -> None:
    topic = topics.create(partitions=4)
    running = receivers(receiver_spec(topic, receivers=2))
    for part in range(5):
        for partition in range(4):
            topics.send(topic, numbered(500, first=10_000 * partition + 500 * part), partition)
    until(running, lambda: covered(files) == 10_000, "everything is in a batch")
    running.stop()
    assert_contiguous(files)
    found = rows(spark, files)
    assert len(found) == 10_000
    assert all(int(bytes(row.value)) == 10_000 * row.partition + row.offset for row in found)


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
    assert numbers(spark, files) == list(range(1010))
    assert_contiguous(files)
    assert stored(files) == 0 or len(files.names("checkpoint/000001")) == 1, "what is processed is removed"


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
    assert numbers(spark, files) == list(range(1000, 1010))
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
    assert numbers(spark, files) == list(range(1000))


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
    assert numbers(spark, files) == list(range(1000))
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
    text = files.read(generations.path(2))
    assert text is not None
    assert "4.1.1" in Generation.from_json(text).reason
    assert numbers(spark, files) == list(range(1000))
    assert files.names("checkpoint/000001") == [directory], "nobody else's log is removed"


def dies_with_its_plan(receivers: Callable[..., RunningStream], spec: JobSpec) -> None:
    """A driver that dies when its first batch is written down and nothing of it is done."""

    def dies(*_: Any, **__: Any) -> None:
        raise DriverDied

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("micro_batch.MicroBatches.run", dies)
        assert isinstance(receivers(spec, "driver-0").join(), DriverDied)


def test_a_planned_batch_is_finished_as_it_was_planned(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec],
) -> None:
    """A driver dies with its plan on disk, another goes on while more records are there than the plan knew."""
    topic = topics.create()
    spec = receiver_spec(topic)
    topics.send(topic, numbered(100))
    dies_with_its_plan(receivers, spec)
    (name,) = files.names("plans/000001")
    planned = PlannedBatch.from_json(files.read(f"plans/000001/{name}") or "")
    topics.send(topic, numbered(100, first=100))
    running = receivers(spec)
    until(running, lambda: covered(files) == 200, "everything is in a batch")
    running.stop()
    first = entries(files)[0]
    assert first.ranges == planned.ranges
    assert first.epoch > planned.epoch
    assert numbers(spark, files) == list(range(200))
    assert files.names("plans/000001") == []


def test_a_planned_batch_that_no_log_holds_is_read_from_kafka(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec],
) -> None:
    topic = topics.create()
    spec = receiver_spec(topic)
    topics.send(topic, numbered(100))
    dies_with_its_plan(receivers, spec)
    files.delete("checkpoint/000001")
    topics.send(topic, numbered(100, first=100))
    running = receivers(spec)
    until(running, lambda: covered(files) == 200, "everything is in a batch")
    running.stop()
    assert numbers(spark, files) == list(range(200))
    assert_contiguous(files)


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
    assert numbers(spark, files) == list(range(1000))
    assert_contiguous(files)


def test_a_topic_that_was_made_again_stops_the_job(
    files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream], receiver_spec: Callable[..., JobSpec]
) -> None:
    topic = topics.create()
    spec = receiver_spec(topic)
    topics.send(topic, numbered(100))
    running = receivers(spec)
    until(running, lambda: covered(files) == 100, "everything is in a batch")
    running.stop()
    topics.make_again(topic)
    topics.send(topic, numbered(10))
    ended = receivers(spec).join()
    assert isinstance(ended, StateError)
    assert "made again" in str(ended)


def test_a_topic_that_is_not_there_stops_the_job(
    receivers: Callable[..., RunningStream], receiver_spec: Callable[..., JobSpec], topics: Topics
) -> None:
    topic = topics.create()
    gone = f"{topic}-gone"
    spec = replace(receiver_spec(topic), starting_offsets={topic: {"0": 0}, gone: {"0": 0}}, topics=(topic, gone))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kafka_positions.KafkaPositions.starting_at", lambda *_: {KnownPartition(topic, 0): 0})
        ended = receivers(spec).join()
    assert isinstance(ended, ConfigurationError)
    assert gone in str(ended)


def test_a_topic_that_may_not_be_read_any_more_stops_the_job(
    files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream], receiver_spec: Callable[..., JobSpec]
) -> None:
    topic = topics.create()
    topics.send(topic, numbered(10))
    running = receivers(receiver_spec(topic))
    until(running, lambda: covered(files) == 10, "the first records are in a batch")
    topics.forbid_reading(topic)
    ended = running.join(60)
    assert isinstance(ended, ConfigurationError)
    assert "TopicAuthorizationException" in str(ended)
    assert topic in str(ended)


def test_compaction_and_transactions_leave_no_gap(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec], kafka: str,
) -> None:
    topic = topics.create()
    producer = KafkaProducer(bootstrap_servers=kafka, transactional_id=f"{topic}-t", acks="all")
    producer.init_transactions()
    for part in range(20):
        producer.begin_transaction()
        for value in numbered(10, first=10 * part):
            producer.send(topic, value, partition=0)
        producer.flush()
        if part % 2:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    producer.close()
    spec = receiver_spec(topic, kafka={"bootstrap.servers": kafka, "isolation.level": "read_committed"})
    running = receivers(spec)
    until(running, lambda: covered(files) == 220, "20 times ten records and a marker are in batches")
    running.stop()
    assert numbers(spark, files) == [n for n in range(200) if n // 10 % 2 == 0]
    assert_contiguous(files)


def test_a_compacted_topic_leaves_no_gap(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec], kafka: str,
) -> None:
    topic = topics.create(**{
        "cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01",
        "min.compaction.lag.ms": "0", "max.compaction.lag.ms": "100", "segment.bytes": "1048576",
    })
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")
    for number in range(1000):
        producer.send(topic, str(number).encode(), key=str(number % 10).encode())
        if number % 250 == 249:
            producer.flush()
            time.sleep(0.3)  # a new segment
    producer.flush()
    producer.close()

    def records() -> int:
        consumer = KafkaConsumer(bootstrap_servers=kafka, consumer_timeout_ms=3000, auto_offset_reset="earliest")
        consumer.assign([TopicPartition(topic, 0)])
        found = sum(1 for _ in consumer)
        consumer.close()
        return found

    deadline = time.monotonic() + LIMIT_S
    while (left := records()) > 500:
        assert time.monotonic() < deadline, f"{left} records are left: the broker does not compact"
    running = receivers(receiver_spec(topic))
    until(running, lambda: covered(files) == 1000, "1,000 offsets are in batches")
    running.stop()
    found = numbers(spark, files)
    assert len(found) < 1000
    assert {*range(990, 1000)} <= {*found}
    assert len(found) == len(set(found))
    assert_contiguous(files)


def test_members_that_come_and_go_cost_and_double_nothing(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec], kafka: str,
) -> None:
    topic = topics.create(partitions=4)
    running = receivers(receiver_spec(topic, receivers=2))
    until(running, lambda: batch_log.read_head(files, 1) is not None, "the receivers are there")
    held = running.job.held
    assert held is not None
    group = f"group.1.{held.epoch}.1"
    for turn in range(6):
        for partition in range(4):
            topics.send(topic, numbered(250, first=10_000 * partition + 250 * turn), partition)
        # Joins, is given partitions, reads nothing and commits nothing, leaves.
        guest = KafkaConsumer(
            topic, bootstrap_servers=kafka, group_id=group, enable_auto_commit=False, auto_offset_reset="latest"
        )
        until(running, lambda guest=guest: guest.poll(100) is not None and bool(guest.assignment()), "a guest is in")
        topics.send(topic, numbered(50, first=10_000 * (turn % 4) + 250 * 6 + 50 * turn), turn % 4)
        guest.close()
    sent = 4 * 6 * 250 + 6 * 50
    until(running, lambda: covered(files) == sent, "everything is in a batch")
    running.stop()
    found = numbers(spark, files)
    assert len(found) == sent
    assert len(set(found)) == sent
    assert_contiguous(files)


def test_a_slow_transform_slows_the_receiver_down(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec], streaming: Callable[..., None], monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fast topic and a transform of a thousand records a second: what waits, and memory, settle."""
    streaming(backpressure__initialRate="2000", backpressure__pid__minRate="10")
    topic = topics.create()
    topics.send(topic, numbered(60_000))
    run = MicroBatches.run

    def slow(batches: MicroBatches, frame: Any, number: int, ranges: Any) -> Any:
        time.sleep(sum(part.span for part in ranges) / 1000)
        return run(batches, frame, number, ranges)

    monkeypatch.setattr(MicroBatches, "run", slow)
    running = receivers(receiver_spec(topic, interval_s=1.0))
    runtime = spark._jvm.java.lang.Runtime.getRuntime()

    def received() -> int:
        return Committed(topics).of(topic)

    def backlog() -> int:
        """Records received and not processed."""
        return received() - covered(files)

    def live_mb() -> float:
        spark._jvm.System.gc()
        return float(runtime.totalMemory() - runtime.freeMemory()) / 2**20

    until(running, lambda: received() > 10_000 and backlog() < 5_000, "what waits is less than two batches of 4 s")
    assert received() < 60_000, "the receiver waits too"
    settled_mb, batches = live_mb(), len(entries(files))
    until(running, lambda: len(entries(files)) >= batches + 8, "eight more batches")
    assert backlog() < 10_000
    assert live_mb() < settled_mb + 30
    running.stop()
    assert numbers(spark, files) == list(range(covered(files)))
    assert_contiguous(files)


def test_batches_that_cost_more_than_an_interval_keep_up(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec], monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each takes what came in the two intervals and more in which the one before it ran."""
    topic, interval_s = topics.create(), 0.5
    run = MicroBatches.run

    def slow(batches: MicroBatches, frame: Any, number: int, ranges: Any) -> Any:
        time.sleep(2 * interval_s)
        return run(batches, frame, number, ranges)

    monkeypatch.setattr(MicroBatches, "run", slow)
    running = receivers(receiver_spec(topic, interval_s=interval_s))
    until(running, lambda: entries(files) != [], "the first batch is through")
    before, began, sent = len(entries(files)), time.monotonic(), 0
    while time.monotonic() - began < 30 * interval_s:
        topics.send(topic, numbered(20, sent))
        sent += 20
        time.sleep(interval_s / 4)
    intervals = (time.monotonic() - began) / interval_s
    behind = sent - covered(files)
    until(running, lambda: covered(files) == sent, "everything is in a batch")
    running.stop()
    assert behind < sent / 2, "batches of one interval each would have done less than half"
    assert len(entries(files)) - before < intervals * 0.7
    assert numbers(spark, files) == list(range(sent))
    assert_contiguous(files)


def test_a_fixed_limit_holds(
    files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream], receiver_spec: Callable[..., JobSpec],
    streaming: Callable[..., None],
) -> None:
    streaming(receiver__maxRate="1000")
    topic = topics.create()
    topics.send(topic, numbered(20_000))
    began = time.monotonic()
    running = receivers(receiver_spec(topic))
    until(running, lambda: covered(files) >= 5000, "some batches are through")
    took_s = time.monotonic() - began
    running.stop()
    assert covered(files) <= 1000 * (took_s + 1)
