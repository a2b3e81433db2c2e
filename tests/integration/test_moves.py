"""Pipelines moved to a copy of their topic under another name, and to another cluster, on real brokers.

No job runs here: what it would have written is written by the test, and what it would read is read from the new topic.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import kafka as kafka_python
import pytest
from kafka.admin import NewTopic

from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack
from streamops.state import generations, lease
from streamops.state.lease import Beat, JobState, Lease, Owner, OwnerKind
from streamops.state.offsets import TopicPartition

from .declared import Declared, connected, made

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

WRONG, REFUSED = 2, 3
ME = Owner(OwnerKind.SHELL)
AT = "2026-11-20T03:00:00+00:00"
#: Processed of each partition's records; and which records have the time of the one before them.
PROCESSED = (30, 30, 3)
SAME_TIME = {(2, 3)}
#: Records that the new topic has before the copy begins.
OLDER = 7


@dataclass(frozen=True)
class Movable(Declared):
    """A pipeline that may have read another cluster before."""

    old_servers: str = ""

    def environment(self) -> dict[str, str]:
        old = json.dumps({"conn_type": "kafka", "extra": {"bootstrap.servers": self.old_servers or self.servers}})
        return {**super().environment(), "AIRFLOW_CONN_KAFKA_OLD": old}

    def starts(self) -> tuple[int, dict[TopicPartition, int]]:
        current = generations.current(self.files)
        assert current is not None
        return current.number, current.start


@pytest.fixture(scope="module")
def other_kafka(tmp_path_factory: pytest.TempPathFactory, say: Callable[[str], None]) -> Iterator[str]:
    """The broker of another cluster."""
    stack = Stack(StackSettings.on_free_ports(tmp_path_factory.mktemp("other"), spark_worker_cores=2), say)
    stack.up(["kafka"])
    yield stack.settings.bootstrap_servers
    stack.down()


@pytest.fixture
def movable(kafka: str, tmp_path: Path) -> Movable:
    """Three batches are processed, and some of 40, 30 and 5 records wait. Each has a millisecond of its own but one."""
    found = Movable(tmp_path, kafka, made(kafka), f"sqlite:///{tmp_path}/streamops.db")
    found.run("db", "upgrade")
    found.files.write_new(lease.path(1), Lease("lines", 1, "driver-1", ME, "host", 1, AT).to_json())
    found.files.replace(lease.beat_path(1), Beat(1, AT, JobState.STOPPED).to_json())
    began_ms = round(time.time() * 1000) - 60_000
    write(kafka, found.topic, {(partition, number): began_ms + number - ((partition, number) in SAME_TIME)
                               for partition, count in enumerate((40, 30, 5)) for number in range(count)})
    found.processed(0, 10, 10, 0)
    found.processed(1, 20, 20, 1, before=(10, 10, 0))
    found.processed(2, *PROCESSED, before=(20, 20, 1))
    return found


def write(servers: str, topic: str, times: dict[tuple[int, int], int]) -> None:
    """Records that say their partition and number, each with its timestamp."""
    producer = kafka_python.KafkaProducer(bootstrap_servers=servers, linger_ms=20)
    for (partition, number), at_ms in times.items():
        producer.send(topic, f"{partition}:{number}".encode(), partition=partition, timestamp_ms=at_ms)
    producer.close()


def records(servers: str, topic: str) -> dict[TopicPartition, list[tuple[str, int]]]:
    """What is in a topic: value and timestamp of each record, by partition."""
    consumer = kafka_python.KafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    partitions = [kafka_python.TopicPartition(topic, number) for number in range(3)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    ends = consumer.end_offsets(partitions)
    found: dict[TopicPartition, list[tuple[str, int]]] = {TopicPartition(topic, number): [] for number in range(3)}
    while any(consumer.position(at) < ends[at] for at in partitions):
        for at, batch in consumer.poll(timeout_ms=500).items():
            found[TopicPartition(at.topic, at.partition)] += [(each.value.decode(), each.timestamp) for each in batch]
    consumer.close()
    return found


def copy(movable: Movable, servers: str, topic: str, *, begins: int = 0) -> None:
    """The pipeline's topic as a mirror makes it: other offsets, the same order and times; from record `begins` on."""
    old = records(movable.old_servers or movable.servers, movable.topic)
    producer = kafka_python.KafkaProducer(bootstrap_servers=servers, linger_ms=20)
    for at, found in old.items():
        for _ in range(OLDER):
            producer.send(topic, b"older", partition=at.partition, timestamp_ms=found[0][1] - 1000)
        for value, at_ms in found[begins:]:
            producer.send(topic, value.encode(), partition=at.partition, timestamp_ms=at_ms)
    producer.close()


def to_be_read(servers: str, start: dict[TopicPartition, int]) -> list[str]:
    """The records that a job reads from there on."""
    [topic] = {at.topic for at in start}
    return sorted(value for at, found in records(servers, topic).items() for value, _ in found[start[at]:])


#: All that was not processed; and of the others, one that shares its time and the newest where nothing waits.
WAITING = [f"0:{number}" for number in range(30, 40)] + ["2:3", "2:4"]
AGAIN = ["1:29", "2:2"]


def test_to_another_name_and_back(movable: Movable) -> None:
    new = replace(movable, topic=made(movable.servers))
    renamed = ("--from-topic", f"{movable.topic}={new.topic}")
    copy(movable, new.servers, new.topic)
    shown = new.run("move", "lines", *renamed, "--plan")
    assert "up to 1 processed again: it has the same time as the next one" in shown
    assert "2 records are processed again, 0 skipped" in shown
    doubled = f"{movable.topic}-1 from offset 29, {movable.topic}-2 from offset 2"
    assert f"batch 2 of generation 1 stays, and holds {doubled} a second time" in shown
    assert movable.starts()[0] == 1, "a plan changes nothing"

    said = new.run("move", "lines", *renamed, "--yes")
    assert "read back: generation, superseded batches, topics and consumer group are as planned" in said
    number, start = new.starts()
    assert (number, [start[TopicPartition(new.topic, each)] for each in range(3)]) == (
        2, [OLDER + 30, OLDER + 29, OLDER + 2])
    assert to_be_read(new.servers, start) == sorted([*WAITING, *AGAIN])
    assert "was opened there already" in new.run("move", "lines", *renamed, "--yes")
    assert new.starts() == (number, start)

    assert "Kafka has no partition" in new.run("offsets", "undo", "lines", "--yes", code=REFUSED), "declare the old one"
    movable.run("offsets", "undo", "lines", "--yes")
    assert movable.starts() == (3, {TopicPartition(movable.topic, each): PROCESSED[each] for each in range(3)})


def test_to_another_cluster(movable: Movable, other_kafka: str) -> None:
    with connected(other_kafka) as broker:
        broker.admin.create_topics([NewTopic(movable.topic, 3, 1)])
        broker.await_topics({movable.topic: 3})
    new = replace(movable, servers=other_kafka, old_servers=movable.servers)
    copy(new, other_kafka, movable.topic)
    for _ in range(2):
        new.run("move", "lines", "--from-connection", "kafka_old", "--yes")
        assert new.starts()[0] == 2
        assert to_be_read(other_kafka, new.starts()[1]) == sorted([*WAITING, *AGAIN])
    refused = new.run("offsets", "undo", "lines", "--yes", code=REFUSED)
    assert "was deleted and made again" in refused, "the undo point's offsets are of the other cluster"
    movable.run("offsets", "undo", "lines", "--yes")
    assert movable.starts() == (3, {TopicPartition(movable.topic, each): PROCESSED[each] for each in range(3)})


def test_what_is_refused(movable: Movable) -> None:
    new = replace(movable, topic=made(movable.servers))
    renamed = ("--from-topic", f"{movable.topic}={new.topic}")
    copy(movable, new.servers, new.topic, begins=33)
    refused = new.run("move", "lines", *renamed, "--yes", code=REFUSED)
    assert f"records wait that are not in the new topic: 3 of {movable.topic}-0 from offset 30 on; 2 of " in refused
    assert movable.starts()[0] == 1
    assert "is no place" in new.run("move", "lines", "--yes", code=WRONG)
    assert "already" in new.run("move", "lines", "--from-connection", "kafka_default", "--yes", code=WRONG)
    assert "does not read" in new.run("move", "lines", "--from-topic", "a=b", "--yes", code=WRONG)
    with connected(movable.servers) as broker:
        broker.admin.create_topics([NewTopic(f"{new.topic}-wide", 4, 1)])
        broker.await_topics({f"{new.topic}-wide": 4})
    wide = replace(movable, topic=f"{new.topic}-wide")
    assert "none is the copy of one" in wide.run(
        "move", "lines", "--from-topic", f"{movable.topic}={wide.topic}", "--yes", code=WRONG)
    new.run("move", "lines", *renamed, "--accept-loss", "--yes")
    assert new.starts()[0] == 2
