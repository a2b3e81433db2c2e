"""Topics at which a receiver must stop, and topics with gaps, at which it must not."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from pyspark.sql import SparkSession

from hadoop_files import HadoopFiles
from streamops.errors import ConfigurationError, StateError
from streamops.state.job_spec import JobSpec
from streamops.state.offsets import TopicPartition as KnownPartition

from .conftest import RunningStream, Topics
from .observing import LIMIT_S, assert_contiguous, covered
from .receiving import assert_exactly, numbered, numbers, until


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


def test_commits_of_a_pipeline_whose_state_was_deleted_do_not_count(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec],
) -> None:
    """The first driver of the next one joins a group of the same name."""
    topic = topics.create()
    spec = receiver_spec(topic)
    topics.send(topic, numbered(100))
    for _ in range(2):
        running = receivers(spec)
        until(running, lambda: covered(files) == 100, "everything is in a batch")
        running.stop()
        assert_exactly(spark, files, range(100))
        shutil.rmtree(files.url.removeprefix("file://"))


@pytest.mark.long
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
    assert_exactly(spark, files, (n for n in range(200) if n // 10 % 2 == 0))
    assert_contiguous(files)


@pytest.mark.long
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
