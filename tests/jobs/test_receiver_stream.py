"""The receiver job in this process, on a real broker: every record once and in order, whoever joins its group."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from kafka import KafkaConsumer
from pyspark.sql import SparkSession

from hadoop_files import HadoopFiles
from micro_batch import MicroBatches
from streamops.state import batch_log
from streamops.state.job_spec import JobSpec

from .conftest import RunningStream, Topics
from .observing import assert_contiguous, covered
from .receiving import assert_exactly, numbered, numbers, rows, until


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


@pytest.mark.long
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


@pytest.mark.long
def test_stopped_in_the_middle_of_a_batch_it_has_ended_when_stop_returns(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec], monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Spark waits two seconds for a batch. One that ended later could be logged while the next receivers start."""
    topic = topics.create()
    began, ended, run = threading.Event(), threading.Event(), MicroBatches.run

    def slow(batches: MicroBatches, frame: Any, number: int, ranges: Any) -> Any:
        began.set()
        try:
            time.sleep(6)
            return run(batches, frame, number, ranges)
        finally:
            ended.set()

    running = receivers(receiver_spec(topic))
    until(running, lambda: batch_log.read_head(files, 1) is not None, "the receivers are there")
    monkeypatch.setattr(MicroBatches, "run", slow)
    topics.send(topic, numbered(100))
    until(running, began.is_set, "a batch has begun")
    running.stop()
    assert ended.is_set()
    assert_exactly(spark, files, range(covered(files)))
