"""Write-ahead logs that a real receiver wrote, read by cleanup: the offsets that the batch log then has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition as KafkaPartition
from pyspark.sql import SparkSession

from hadoop_files import HadoopFiles
from streamops.adapters.files.state_files import StateFiles
from streamops.cleaning import ground as cleanup_state
from streamops.cleaning.cleanup import Found, Item, Reason, Rule
from streamops.cleaning.ground import Ground, KafkaNow, KeptPoint
from streamops.cleaning.judge import Judge
from streamops.cleaning.paths import Root, RootKind
from streamops.cleaning.wal_format import read_segment
from streamops.declared.pipeline import Cleanup
from streamops.errors import LeaseLostError
from streamops.state import batch_log
from streamops.state.job_spec import JobSpec
from streamops.state.offsets import OffsetRange, TopicPartition

from .conftest import RunningStream, Topics
from .observing import assert_contiguous, covered, entries
from .receiving import Committed, assert_exactly, numbered, until
from .test_receiver_logs import Gate

_HOUR_MS = 3_600_000


def segments(files: HadoopFiles) -> list[Path]:
    return sorted(_root(files).glob("checkpoint/*/*/receivedData/*/log-*"))


def _root(files: HadoopFiles) -> Path:
    return Path(files.url.removeprefix("file://"))


def judged(files: HadoopFiles, **changes: Any) -> list[Item]:
    """What cleanup would do two hours from now, with no driver alive and no recovery point taken."""
    root, state_files = _root(files), StateFiles(files.url)
    place = Root(RootKind.STATE, files.url, str(root), "p")
    ground = Ground(place, (place,), "p", Cleanup(), round(time.time() * 1000) + 2 * _HOUR_MS,
                    cleanup_state.observe(state_files), False, (), KafkaNow())
    return list(Judge(replace(ground, **changes), state_files).items(_listing(root)))


def _listing(root: Path) -> Iterator[Found]:
    for path in sorted(root.rglob("*")):
        with suppress(FileNotFoundError):  # a driver that lives removes files meanwhile
            if path.is_file():
                found = path.stat()
                yield Found(path.relative_to(root).as_posix(), found.st_size, round(found.st_mtime * 1000))


def delete(files: HadoopFiles, items: list[Item]) -> list[Item]:
    """Delete what goes, for good, as if its quarantine were over; those that went."""
    going = [item for item in items if item.goes]
    for item in going:
        (_root(files) / item.path).unlink(missing_ok=True)
    return going


def test_the_offsets_in_a_log_are_those_that_are_then_processed(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec],
) -> None:
    topic = topics.create(partitions=3)
    spec = receiver_spec(topic, receivers=2)
    with pytest.MonkeyPatch.context() as patch:
        gate = Gate.shut(patch)
        running = receivers(spec, "driver-0")
        until(running, lambda: batch_log.read_head(files, 1) is not None, "the receivers are there")
        committed = Committed(topics)
        for part in range(4):
            for partition in range(3):
                topics.send(topic, numbered(100, first=1000 * partition + 100 * part), partition)
            until(running, lambda sent=300 * (part + 1): committed.of(topic) >= sent, "what was sent is stored")
        running.stream.stop_with(LeaseLostError("the test stops it"))
        gate.opened.set()
        running.join()
    found = [read_segment(BytesIO(path.read_bytes())) for path in segments(files)]
    assert found
    assert [each.problem for each in found] == [None] * len(found)
    assert sum(each.records for each in found) == 1200
    stored = sorted(held for each in found for held in each.ranges if held.span)
    assert len(stored) >= 4, "several polls, so that contiguity says something"
    reached = {TopicPartition(topic, partition): 0 for partition in range(3)}
    for held in stored:
        assert held.first == reached[held.topic_partition], "spans meet"
        reached[held.topic_partition] = held.until
    assert set(reached.values()) == {400}

    kept = [item for item in judged(files) if item.rule is Rule.WRITE_AHEAD_LOG]
    assert len(kept) == len(found)
    assert not any(item.goes for item in kept)

    torn = segments(files)[-1].read_bytes()[:-9]
    cut = read_segment(BytesIO(torn))
    assert cut.torn
    assert cut.ranges == found[-1].ranges[: len(cut.ranges)]

    topics.admin.delete_records({KafkaPartition(topic, partition): 400 for partition in range(3)})
    running = receivers(spec)
    until(running, lambda: covered(files) == 1200, "the log delivers what Kafka has no more")
    running.stop()
    taken = sorted(part for entry in entries(files) for part in entry.ranges if part.span)
    assert {OffsetRange(topic, partition, 0, 400) for partition in range(3)} == {*taken}
    assert_contiguous(files)
    assert_exactly(spark, files, [1000 * partition + number for partition in range(3) for number in range(400)])


@pytest.mark.long
def test_what_a_strange_generation_stored_goes_once_it_is_processed(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec],
) -> None:
    """The log of another Spark is left, in an older generation: cleanup keeps it until its offsets are in the sink."""
    topic = topics.create()
    spec = receiver_spec(topic)
    with pytest.MonkeyPatch.context() as patch:
        gate = Gate.shut(patch)
        running = receivers(spec, "driver-0")
        until(running, lambda: batch_log.read_head(files, 1) is not None, "the receivers are there")
        topics.send(topic, numbered(500))
        until(running, lambda: Committed(topics).of(topic) >= 500, "everything is stored and committed")
        running.stream.stop_with(LeaseLostError("the test stops it"))
        gate.opened.set()
        running.join()
    for path in _root(files).glob("checkpoint/*/*/written_by.json"):
        path.write_text('{"spark": "4.1.1", "chunks": 1}')
    running = receivers(spec)
    until(running, lambda: covered(files, 2) == 500, "generation 2 has it all")
    running.stop()
    of_first = [item for item in judged(files) if item.path.startswith("checkpoint/000001/")]
    assert of_first
    assert {(item.rule, item.reason) for item in of_first} == {(Rule.GENERATION, Reason.UNPROVEN)}
    assert "no recovery point of generation 1" in of_first[0].words, "nothing shows that the topic is the same one"

    points = tuple(KeptPoint(number, number, 0, {}, {topic: "its id"}, ()) for number in (1, 2))
    gone = delete(files, judged(files, points=points, kafka=KafkaNow({topic: "its id"}, {})))
    assert {item.path for item in gone} >= {item.path for item in of_first}
    assert not [path for path in _root(files).glob("checkpoint/000001/**/*") if path.is_file()]
    topics.send(topic, numbered(100, first=500))
    running = receivers(spec)
    until(running, lambda: covered(files, 2) == 600, "it goes on as if nothing had been")
    running.stop()
    assert_exactly(spark, files, range(600))


@pytest.mark.long
def test_segments_that_are_deleted_under_a_driver_cost_nothing_now_or_at_its_next_start(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec], streaming: Callable[..., None],
) -> None:
    """Segments of a second each, so that there are some to take; Spark removes its own at the same time."""
    streaming(receiver__writeAheadLog__rollingIntervalSecs="1")
    topic = topics.create()
    spec = receiver_spec(topic)
    running, taken = receivers(spec), 0
    for part in range(8):
        topics.send(topic, numbered(100, first=100 * part))
        until(running, lambda sent=100 * (part + 1): covered(files) >= sent, "what was sent is processed")
        taken += len([item for item in delete(files, judged(files, living=True)) if item.rule is Rule.WRITE_AHEAD_LOG])
        time.sleep(0.6)
    running.stop()
    taken += len(delete(files, judged(files)))
    topics.send(topic, numbered(100, first=800))
    running = receivers(spec, "driver-2")
    until(running, lambda: covered(files) == 900, "the next driver goes on")
    taken += len(delete(files, judged(files, living=True)))
    assert taken, "Spark removes its own while it runs, and leaves the last one of a driver that ended"
    topics.send(topic, numbered(100, first=900))
    until(running, lambda: covered(files) == 1000, "that driver goes on")
    running.stop()
    assert_exactly(spark, files, range(1000))
    assert_contiguous(files)
