"""The direct job against a real broker, in this process: positions, restarts, lost and bad records."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import RetriableError
from kafka.structs import OffsetAndMetadata
from pyspark.sql import SparkSession

from hadoop_files import HadoopFiles
from kafka_positions import KafkaPositions
from streamops.errors import BadRecordError, ConfigurationError, DataLossError, LeaseLostError, TransformError
from streamops.state import drivers, generations, lease
from streamops.state.generations import Generation
from streamops.state.job_spec import JobSpec
from streamops.state.offsets import Offsets
from streamops.state.offsets import TopicPartition as KnownPartition

from .observing import assert_contiguous, counts, covered, dying_at, entries, is_idle, opened, until

if TYPE_CHECKING:
    from .conftest import RunningStream, Topics

Spec = Callable[..., JobSpec]
Driver = Callable[..., "RunningStream"]


def test_each_record_is_counted_once_over_two_drivers(
    spark: SparkSession, topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles, tmp_path: Path
) -> None:
    topic = topics.create(partitions=2)
    topics.send(topic, [b"one two two"] * 50, partition=0)
    first = driver(spec(topic), "driver-1")
    until(lambda: covered(files) == 50, "the first batch")
    topics.send(topic, [b"three  "] * 30, partition=1)
    until(lambda: covered(files) == 80, "the second batch")
    first.stop()
    topics.send(topic, [b"one"] * 5, partition=0)
    driver(spec(topic), "driver-2")
    until(lambda: covered(files) == 85, "the second driver's batch")
    assert counts(spark, tmp_path) == {"one": 55, "two": 100, "three": 30}
    assert_contiguous(files)
    assert [entry.driver for entry in entries(files)][-1] == "driver-2"


def committed(topics: Topics, group: str) -> dict[int, int]:
    """The offsets of a group by partition, as any Kafka tool shows them."""
    try:
        found = topics.admin.list_group_offsets({group: None})[group]
    except RetriableError:
        return {}  # the first group that this broker was ever asked for: it makes room for groups
    return {at.partition: each.offset for at, each in found.items()}


def test_progress_is_shown_in_a_consumer_group(
    topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles
) -> None:
    topic = topics.create(partitions=2)
    group = f"{topic}.progress"
    topics.send(topic, [b"one"] * 30, partition=1)
    first = driver(spec(topic, consumer_group=group), "driver-1")
    until(lambda: committed(topics, group) == {0: 0, 1: 30}, "the commit of the first batch")
    topics.send(topic, [b"one"] * 5, partition=0)
    until(lambda: committed(topics, group) == {0: 5, 1: 30}, "the commit of the second batch")
    first.stop()
    # Whatever somebody set, and whether or not the last commit came through: the next driver puts it right at once.
    topics.admin.alter_group_offsets(group, {TopicPartition(topic, 0): OffsetAndMetadata(2, "", -1)})
    driver(spec(topic, consumer_group=group), "driver-2")
    until(lambda: committed(topics, group) == {0: 5, 1: 30}, "the commit of the second driver")


def test_a_group_that_cannot_be_set_stops_nothing(
    topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody reads by the group's name: Kafka then lets nobody else set its offsets."""
    topic = topics.create()
    group = f"{topic}.taken"
    member = KafkaConsumer(topic, bootstrap_servers=topics.bootstrap, group_id=group, enable_auto_commit=False)
    until(lambda: not member.poll(100) and bool(member.assignment()), "the member's assignment")
    topics.send(topic, [b"one"] * 30)
    running = driver(spec(topic, consumer_group=group))
    until(lambda: covered(files) == 30, "the batch")
    until(lambda: any("does not show this job's progress" in each.message for each in caplog.records), "the warning")
    member.close()
    topics.send(topic, [b"one"] * 3)
    until(lambda: committed(topics, group) == {0: 33}, "the commit, once the group is free")
    assert running.ended_with is None


def test_a_second_driver_beside_the_first_stops_and_says_why(
    topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles
) -> None:
    topic = topics.create()
    driver(spec(topic), "driver-1")
    until(lambda: files.exists(lease.beat_path(1)), "the first lease")
    second = driver(spec(topic), "driver-2")
    ended = second.join()
    assert isinstance(ended, LeaseLostError)
    assert "driver-1" in str(ended)


def test_a_driver_that_is_superseded_while_idle_ends(
    topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles
) -> None:
    topic = topics.create()
    first = driver(spec(topic), "driver-1")
    until(lambda: files.exists(generations.checkpoint_path(1)), "the first query")
    driver(spec(topic, supersedes=("driver-1",)), "driver-2")
    assert isinstance(first.join(), LeaseLostError)


def test_a_topic_without_data_lets_the_beat_say_idle(
    topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles
) -> None:
    driver(spec(topics.create()))
    until(lambda: is_idle(files), "the idle beat")
    assert covered(files) == 0


def test_a_partition_that_is_added_is_read_from_its_first_record(
    topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles
) -> None:
    topic = topics.create()
    topics.send(topic, [b"a"] * 3)
    driver(spec(topic, kafka={"bootstrap.servers": topics.bootstrap, "metadata.max.age.ms": "500"}))
    until(lambda: covered(files) == 3, "the first batch")
    topics.admin.create_partitions({topic: 2})
    time.sleep(2)  # the producer and the job look for new partitions every half a second
    topics.send(topic, [b"b"] * 4, partition=1)
    until(lambda: covered(files) == 7, "the batch with the new partition")
    assert_contiguous(files)


def test_the_rate_limit_holds(topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles) -> None:
    topic = topics.create()
    topics.send(topic, [b"a"] * 100)
    driver(spec(topic, rate_limit=100))
    until(lambda: covered(files) == 100, "all batches")
    assert max(entry.span for entry in entries(files)) == 20  # 100 a second, five batches a second


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param("earliest", 0, id="earliest"),
        pytest.param("latest", 10, id="latest"),
        pytest.param("2000-01-01T00:00:00+00:00", 0, id="a time before every record"),
        pytest.param("2100-01-01T00:00:00+00:00", 10, id="a time after every record"),
    ],
)
def test_a_first_generation_states_its_start(
    topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles, wanted: str, expected: int
) -> None:
    topic = topics.create()
    topics.send(topic, [b"a"] * 10)
    driver(spec(topic, starting_offsets=wanted))
    until(lambda: files.exists(generations.path(1)), "the first generation")
    assert list(opened(files).start.values()) == [expected]


def test_a_first_generation_that_another_driver_has_opened_meanwhile_holds(
    topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one had checked its lease, lost it, and wrote all the same: it may have started a query there."""
    topic = topics.create()
    topics.send(topic, [b"a"] * 10)
    others = Generation("p", 1, "direct", {KnownPartition(topic, 0): 4}, "first start", "2026-11-20T03:00:00.000+00:00")
    starting_at = KafkaPositions.starting_at

    def meanwhile(positions: KafkaPositions, wanted: Any) -> Offsets:
        files.write_new(generations.path(1), others.to_json())
        return starting_at(positions, wanted)

    monkeypatch.setattr(KafkaPositions, "starting_at", meanwhile)
    driver(spec(topic))
    until(lambda: covered(files) == 6, "the batch")
    assert opened(files) == others
    assert_contiguous(files)


def test_explicit_starting_offsets_name_every_partition(topics: Topics, spec: Spec, driver: Driver) -> None:
    topic = topics.create(partitions=2)
    ended = driver(spec(topic, starting_offsets={topic: {"0": 1}})).join()
    assert isinstance(ended, ConfigurationError)
    assert f"{topic}-1" in str(ended)


def test_records_that_retention_took_stop_the_job(
    topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles
) -> None:
    topic = topics.create()
    topics.send(topic, [b"a"] * 10)
    first = driver(spec(topic), "driver-1")
    until(lambda: covered(files) == 10, "the first batch")
    first.stop()
    topics.send(topic, [b"b"] * 10)
    topics.admin.delete_records({TopicPartition(topic, 0): 15})
    ended = driver(spec(topic), "driver-2").join()
    assert isinstance(ended, DataLossError)
    assert covered(files) == 10


def test_records_that_retention_took_are_recorded_when_the_pipeline_goes_on(
    topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles, spark: SparkSession, tmp_path: Path
) -> None:
    topic = topics.create()
    topics.send(topic, [b"a"] * 10)
    first = driver(spec(topic, on_data_loss="continue"), "driver-1")
    until(lambda: covered(files) == 10, "the first batch")
    first.stop()
    topics.send(topic, [b"b"] * 10)
    topics.admin.delete_records({TopicPartition(topic, 0): 15})
    driver(spec(topic, on_data_loss="continue"), "driver-2")
    until(lambda: covered(files) == 20, "the second batch")
    assert [(gone.first, gone.until) for entry in entries(files) for gone in entry.lost] == [(10, 15)]
    assert counts(spark, tmp_path) == {"a": 10, "b": 5}


def test_a_bad_record_stops_the_job_by_name(
    topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles, as_number: str
) -> None:
    topic = topics.create()
    topics.send(topic, [b"1"] * 37 + [b"oops"] + [b"2"] * 62)
    ended = driver(spec(topic, transform=as_number)).join()
    assert isinstance(ended, BadRecordError)
    assert f"{topic}-0 offset 37: [CAST_INVALID_INPUT]" in str(ended)
    assert entries(files) == []


def test_a_bad_record_goes_to_the_dead_letter_topic_once(
    topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles, as_number: str
) -> None:
    topic, letters = topics.create(), topics.create()
    topics.send(topic, [b"1"] * 37 + [b"oops"] + [b"2"] * 62 + [b"ach"])
    settings = spec(topic, transform=as_number, on_bad_record="dead_letter", dead_letter_topic=letters)
    with dying_at("_append"):  # between the letters and the log
        assert isinstance(driver(settings, "driver-1").join(), LeaseLostError)
    driver(settings, "driver-2")
    until(lambda: covered(files) == 101, "the batch")
    assert [(entry.rows, entry.dead_letters) for entry in entries(files)] == [(99, 2)]
    consumer = KafkaConsumer(
        bootstrap_servers=topics.bootstrap, isolation_level="read_committed", consumer_timeout_ms=2000
    )
    partition = TopicPartition(letters, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    got = [(record.value, dict(record.headers)) for record in consumer]
    consumer.close()
    assert [(value, headers["streamops.offset"]) for value, headers in got] == [(b"oops", b"37"), (b"ach", b"100")]
    assert got[0][1]["streamops.error"].startswith(b"[CAST_INVALID_INPUT]")


def test_too_many_bad_records_are_a_broken_transform(
    topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles, as_number: str
) -> None:
    topic, letters = topics.create(), topics.create()
    topics.send(topic, [b"oops"] * 4)
    ended = driver(
        spec(topic, transform=as_number, on_bad_record="dead_letter", dead_letter_topic=letters, max_dead_letters=2)
    ).join()
    assert isinstance(ended, BadRecordError)
    assert "more than 2 records" in str(ended)


def test_a_transform_that_cannot_be_loaded_ends_the_driver(topics: Topics, spec: Spec, driver: Driver) -> None:
    assert isinstance(driver(spec(topics.create(), transform="nowhere")).join(), TransformError)


def test_the_console_shows_the_ten_largest_rows(
    topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles, capfd: pytest.CaptureFixture[str]
) -> None:
    topic = topics.create()
    topics.send(topic, [" ".join([f"w{n:02d}"] * (n + 1)).encode() for n in range(12)])
    driver(spec(topic, sink="console"))
    until(lambda: covered(files) == 12, "the batch")
    shown = [line for line in capfd.readouterr().out.splitlines() if line.startswith("(")]
    assert shown == [f"('w{n:02d}', {n + 1})" for n in range(11, 1, -1)]


def test_a_driver_says_that_it_exists(topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles) -> None:
    driver(spec(topics.create()), "driver-1")
    until(lambda: files.exists(lease.beat_path(1)), "the lease")

    def epoch() -> int | None:
        text = files.read(drivers.path("driver-1"))
        return drivers.DriverRecord.from_json(text).epoch if text else None

    until(lambda: epoch() == 1, "the driver's record")
