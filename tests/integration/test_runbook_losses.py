"""Records that retention has taken, and records that the transform cannot process: each runbook against the real fault.

Through Airflow's API, then at a shell with Airflow down. One pipeline goes on from test to test, and every record that
came out of it is looked at in the end.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kafka as kafka_python
import pytest
from pyarrow import dataset

from streamops.adapters.kafka import retention_reader, topic_admin, topic_positions
from streamops.declared.topics import Topic
from streamops.errors import AlarmError
from streamops.points.recovery_points import PartitionPoint, RecoveryPoint
from streamops.stack.stack import Stack
from streamops.state import batch_log, evidence, generations
from streamops.state.batch_log import OUTPUT
from streamops.state.offsets import OffsetRange, TopicPartition, seams

from .declared import connected, made, send
from .running import state_of, wait_until
from .test_runbooks import approve

if TYPE_CHECKING:
    from tests.conftest import Say

    from .conftest import Airflow, Streamops

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

NAME, LETTERS = "losing", "losing_dead_letters"
HOUR_MS = 3_600_000
POISON = b"poison"
P0, P1 = TopicPartition(NAME, 0), TopicPartition(NAME, 1)


class Losing:
    """The pipeline, what is sent to it, and what goes wrong."""

    def __init__(self, stack: Stack, streamops: Streamops, say: Say) -> None:
        self.files = state_of(stack, NAME)
        self.streamops, self.say = streamops, say
        self.began_s = time.monotonic()
        #: How many records each partition was sent, and of which, by partition and offset, none can be in the sink.
        self.sent: Counter[int] = Counter()
        self.gone: set[tuple[int, int]] = set()
        self.bad: set[tuple[int, int]] = set()
        servers = stack.settings.bootstrap_servers
        # What is sent together comes together, and so into one batch.
        self._producer = kafka_python.KafkaProducer(bootstrap_servers=servers, acks="all", linger_ms=100)
        self._admin = kafka_python.KafkaAdminClient(bootstrap_servers=servers)
        self.letters = kafka_python.KafkaConsumer(bootstrap_servers=servers, isolation_level="read_committed",
                                                  consumer_timeout_ms=2000)

    def send(self, *counts: int, value: bytes = b"word", key: bytes | None = None) -> None:
        """So many records to each partition."""
        for partition, count in enumerate(counts):
            for _ in range(count):
                self._producer.send(NAME, value, key=key, partition=partition)
            if value == POISON:
                self.bad |= {(partition, self.sent[partition] + number) for number in range(count)}
            self.sent[partition] += count
        self._producer.flush()

    def take(self, partition: int, processed: int, until: int) -> None:
        """What retention does: Kafka has nothing below `until` any more. Less than that is `processed`."""
        self.gone |= {(partition, offset) for offset in range(processed, until)}
        self._admin.delete_records({kafka_python.TopicPartition(NAME, partition): until})

    def processed(self) -> dict[TopicPartition, int]:
        current = generations.current(self.files)
        assert current is not None
        last = batch_log.read_head(self.files, current.number)
        return {**current.start, **({taken.topic_partition: taken.until for taken in last.ranges} if last else {})}

    def wait_until_ended(self, kind: str) -> None:
        """Until the newest driver says that it ended for that."""
        def has_ended() -> bool:
            record = evidence.known_drivers(self.files)[-1].record
            return record is not None and record.stop_kind == kind

        wait_until(has_ended, f"the driver ends with {kind}")

    def held(self) -> Counter[tuple[int, int]]:
        """The records in the sink that count, by partition and offset."""
        current = generations.current(self.files)
        assert current is not None
        root = Path(self.files.url.removeprefix("file://")) / OUTPUT
        parts = [str(part) for number in range(1, current.number + 1)
                 for entry in batch_log.entries(self.files, number)
                 if entry.output is not None and not current.superseded.covers(number, entry.batch)
                 for part in (root / entry.output).glob("*.parquet")]
        rows = dataset.dataset(parts).to_table(columns=["partition", "offset"]).to_pydict()
        return Counter(zip(rows["partition"], rows["offset"], strict=True))

    def in_dead_letters(self) -> list[tuple[bytes, str]]:
        """Value and origin of each letter."""
        at = kafka_python.TopicPartition(LETTERS, 0)
        self.letters.assign([at])
        self.letters.seek_to_beginning(at)
        found = []
        for letter in self.letters:
            headers = {name: value.decode() for name, value in letter.headers}
            found.append((letter.value, f"{headers['streamops.partition']}@{headers['streamops.offset']}"))
        return found

    def shell(self, runbook: str, *options: str, code: int = 0) -> dict[str, Any]:
        began_s = time.monotonic()
        ran = self.streamops("runbook", runbook, NAME, "--yes", "--json", *options, check=False)
        assert ran.returncode == code, f"{ran.returncode}: {ran.stdout}{ran.stderr}"
        assert "Traceback" not in ran.stderr
        found: dict[str, Any] = json.loads(ran.stdout)
        outcome = found["outcome"] or found["error"] or ""
        self.told(f"streamops runbook {runbook}", found["recommendation"], outcome, began_s)
        return found

    def dag(self, api: Airflow, runbook: str, **params: Any) -> dict[str, Any]:
        """What the DAG's `look` recommends, once its run has succeeded, approved by a person where it asks."""
        began_s, dag = time.monotonic(), f"runbook_{runbook}"
        run = api.trigger(dag, pipeline=NAME, **params)
        if params.get("approval", True):
            approve(api, dag, run)
        path = f"/dags/{dag}/dagRuns/{run}/taskInstances"
        assert api.wait_for_run(dag, run, timeout_s=240) == "success", [
            api.call("GET", f"{path}/{task}/logs/1") for task in ("look", "act", "verify")
            if api.task(dag, run, task)["try_number"]]
        recommended: dict[str, Any] = xcom(api, dag, run, "look")["recommendation"]
        self.told(f"DAG {dag}", recommended, xcom(api, dag, run, "verify"), began_s)
        return recommended

    def told(self, what: str, recommended: dict[str, Any], outcome: str, began_s: float) -> None:
        self.say(f"{what}: {recommended['what']}, because {recommended['reason'][:200]} -> {outcome[:150]} "
                 f"({time.monotonic() - began_s:.0f} s, {time.monotonic() - self.began_s:.0f} s in all)")


def xcom(api: Airflow, dag: str, run: str, task: str) -> Any:
    """What a task returned."""
    path = f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value"
    return api.call("GET", path, params={"deserialize": True})["value"]


def test_a_longer_retention_is_set_and_read_back(kafka: str) -> None:
    topic, now_ms = made(kafka), round(time.time() * 1000)
    declared = {topic: Topic(name=topic, partitions=3, replication=1, configs={"retention.ms": str(HOUR_MS)})}
    send(kafka, topic, 3, at_ms=now_ms - HOUR_MS + 60_000)
    at = TopicPartition(topic, 0)
    rows = {at: PartitionPoint(earliest=0, processed=0, latest=3)}
    point = RecoveryPoint(NAME, "direct", "2026-11-20T03:00:00+00:00", 1, 5, None, 5, 5, {topic: "id"}, rows)
    with connected(kafka) as broker:
        topic_admin.apply(broker, declared, topic_admin.plan(broker, declared))
        limits = topic_positions.retention(broker, [topic])
        [found] = retention_reader.oldest(broker, point, [at], limits, now_ms).values()
        assert found.goes_in_s == 60
        assert found.age_s == 3540
        [done] = retention_reader.raise_to(broker, declared, {topic: 2 * HOUR_MS})
        assert "for 2.0 h now, and did for 1.0 h" in done
        assert broker.observe_topics([topic])[topic].configs == {"retention.ms": str(2 * HOUR_MS)}
        assert retention_reader.raise_to(broker, declared, {topic: 2 * HOUR_MS}) == []


@pytest.fixture(scope="module")
def losing(stack: Stack, streamops: Streamops, airflow_api: Airflow, say: Say) -> Iterator[Losing]:
    made = Losing(stack, streamops, say)
    yield made
    streamops("stop", NAME, "--yes", "--within", "3", check=False)


def test_offset_out_of_range_by_the_api_with_an_approval(losing: Losing, airflow_api: Airflow) -> None:
    losing.send(300, 50)
    losing.take(0, 0, 100)
    refused = losing.streamops("start", NAME, "--yes", check=False)
    assert "data_loss" in refused.stderr, refused.stdout + refused.stderr
    assert losing.processed() == {P0: 0, P1: 0}

    done = losing.dag(airflow_api, "offset_out_of_range")
    assert done["data"]["offsets"] == {NAME: {"0": 100}}, "of the overtaken partition, and no other"
    opened = generations.read(losing.files, 2)
    assert opened is not None
    assert opened.start == {P0: 100, P1: 0}
    assert opened.restored is not None
    assert opened.restored.lost == (OffsetRange(NAME, 0, 0, 100),)
    wait_until(lambda: losing.processed() == {P0: 300, P1: 50}, "what is left is processed")


def test_poison_record_by_the_api(losing: Losing, airflow_api: Airflow) -> None:
    losing.send(4, 4)
    losing.send(0, 1, value=POISON, key=b"order-7")
    losing.send(4, 4)
    losing.wait_until_ended("bad_record")
    stood = losing.processed()

    done = losing.dag(airflow_api, "poison_record", approval=False)
    [record] = done["data"]["records"]
    assert (record["partition"], record["offset"], record["key"], record["size_bytes"]) == (1, 54, "order-7", 13)
    assert "cannot read the record at offset 54" in record["error"]
    entry = next(batch_log.entries(losing.files, 2, done["data"]["batch"]))
    assert entry.dead_letters == 1
    assert all(taken.first == stood[taken.topic_partition] for taken in entry.ranges), "the batch as it was planned"
    assert losing.in_dead_letters() == [(POISON, "1@54")]
    wait_until(lambda: losing.processed() == {P0: 308, P1: 59}, "the rest is processed")


@pytest.mark.long
def test_at_a_shell_with_airflow_down(losing: Losing, stack: Stack) -> None:
    stack.down(["airflow"])
    losing.send(0, 1, value=POISON)
    losing.wait_until_ended("bad_record")
    losing.send(60, 30)
    losing.take(1, 59, 68)
    found = losing.shell("poison_record", code=AlarmError.exit_code)
    assert found["recommendation"]["runbook"] == "offset_out_of_range", "what is gone cannot be proven of any record"
    found = losing.shell("offset_out_of_range")
    assert found["recommendation"]["data"]["offsets"] == {NAME: {"1": 68}}
    assert [each["gone"] for each in found["evidence"]["overtaken"]] == [9]
    wait_until(lambda: losing.processed() == {P0: 368, P1: 90}, "what is left is processed")
    assert losing.shell("offset_out_of_range")["recommendation"]["kind"] == "nothing"

    losing.send(1, 1, value=POISON)
    losing.wait_until_ended("bad_record")
    losing.send(5, 5)
    found = losing.shell("poison_record")
    assert len(found["recommendation"]["data"]["records"]) == 2
    assert sorted(losing.in_dead_letters()) == [(POISON, "0@368"), (POISON, "1@54"), (POISON, "1@90")]
    assert losing.shell("poison_record")["recommendation"]["kind"] == "nothing"


def test_every_other_record_is_in_the_sink_once(losing: Losing) -> None:
    ends = {TopicPartition(NAME, partition): count for partition, count in losing.sent.items()}
    wait_until(lambda: losing.processed() == ends, "all that was sent is processed")
    sent = {(partition, offset) for partition, count in losing.sent.items() for offset in range(count)}
    assert losing.held() == Counter(sent - losing.gone - losing.bad)
    current = generations.current(losing.files)
    assert current is not None
    for number in range(2, current.number + 1):
        opened = generations.read(losing.files, number)
        assert opened is not None
        ranges = ((entry.batch, entry.ranges) for entry in batch_log.entries(losing.files, number))
        assert seams(opened.start, ranges) == []
    verified = json.loads(losing.streamops("verify", NAME, "--json").stdout)
    assert verified["sound"]
    assert (verified["lost_offsets"], verified["dead_letters"]) == (len(losing.gone), len(losing.bad - losing.gone))
