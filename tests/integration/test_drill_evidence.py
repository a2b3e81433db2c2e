"""The drill's ledger and verdict, with a real broker that is paused and a drill that is killed.

What a job would have written is written by the test: rightly, or as broken jobs would.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kafka.admin import NewTopic

from streamops.adapters.connections import Connection
from streamops.adapters.drills import evidence, ledger_files, surroundings
from streamops.adapters.drills.feed import DrillFeed
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.kafka.topic_records import records_between
from streamops.declared.pipeline import Pipeline, Resources, Sink
from streamops.drills.ledger import Ledger
from streamops.drills.verdict import Kind, Outcome, Stored, Verdict, Where
from streamops.errors import ConfigurationError, RefusedError, StateError
from streamops.stack.stack import Stack
from streamops.state import batch_log, generations
from streamops.state.batch_log import Entry
from streamops.state.generations import Generation
from streamops.state.offsets import OffsetRange, TopicPartition
from streamops.state.superseded import Span, Superseded

from .declared import connected, made
from .running import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

AT = "2026-11-20T03:00:00+00:00"


class Job:
    """What a pipeline `canary` with the `identity` transform leaves behind, written batch by batch."""

    def __init__(self, root: Path, servers: str, topic: str) -> None:
        self.root, self.topic = root, topic
        self.files = StateFiles(f"file://{root}/canary")
        self.kafka = Connection("kafka_default", extra={"bootstrap.servers": servers})
        self.ends = {TopicPartition(topic, number): 0 for number in range(3)}
        self.batch = 0
        self.open(1)

    def open(self, number: int, superseded: Superseded | None = None) -> None:
        opened = Generation("canary", number, "direct", dict(self.ends), "test", AT, superseded or Superseded())
        self.files.write_new(generations.path(number), opened.to_json())
        self.generation, self.batch = number, 0

    def records(self) -> list[Stored]:
        """All that Kafka has and no batch has taken, in the order of offsets."""
        with connected(self.kafka.extra["bootstrap.servers"]) as broker:
            latest = broker.latest_offsets([self.topic])
        return sorted(records_between(self.kafka, self.ends, latest))

    def process(self, records: list[Stored], batches: int = 5) -> None:
        """These records as so many batches."""
        taken: dict[TopicPartition, list[Stored]] = defaultdict(list)
        for record in records:
            taken[TopicPartition(record.topic, record.partition)].append(record)
        for turn in range(batches):
            part = {at: each[len(each) * turn // batches : len(each) * (turn + 1) // batches]
                    for at, each in taken.items()}
            self.write([record for each in part.values() for record in each])

    def write(self, rows: list[Stored], ends: dict[TopicPartition, int] | None = None) -> None:
        """One batch: its folder, then its entry."""
        after = dict(self.ends)
        for row in rows:
            at = TopicPartition(row.topic, row.partition)
            after[at] = max(after[at], row.offset + 1)
        self.put(f"generation={self.generation}/batch={self.batch}/part-0.parquet", rows)
        self.log(len(rows), ends or after)

    def put(self, name: str, rows: list[Stored]) -> None:
        path = self.root / "canary" / "output" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({
            "key": pa.nulls(len(rows), pa.binary()), "value": pa.array([row.value for row in rows], pa.binary()),
            "topic": [row.topic for row in rows], "partition": pa.array([row.partition for row in rows], pa.int32()),
            "offset": pa.array([row.offset for row in rows], pa.int64())}), path)

    def log(self, rows: int, ends: dict[TopicPartition, int]) -> None:
        ranges = tuple(OffsetRange(*at, self.ends[at], end) for at, end in sorted(ends.items()))
        output = f"generation={self.generation}/batch={self.batch}"
        self.files.write_new(batch_log.entry_path(self.generation, self.batch), Entry(
            "canary", self.generation, self.batch, ranges, rows, output, 1, "driver-1", 1, AT, AT, 5).to_json())
        self.ends, self.batch = ends, self.batch + 1

    def judged(self, ledger: Ledger | None) -> Verdict:
        return evidence.judge("canary", self.files, ledger, self.kafka)


@pytest.fixture
def job(kafka: str, tmp_path: Path) -> Job:
    return Job(tmp_path, kafka, made(kafka))


@contextmanager
def feeding(job: Job, rate: float = 500, delivery_timeout_s: float = 60) -> Iterator[DrillFeed]:
    with DrillFeed.open(job.kafka, [job.topic], job.root / "a.jsonl", drill="drill-1", rate=rate,
                        delivery_timeout_s=delivery_timeout_s) as feed:
        yield feed


def sent(job: Job, records: int = 300) -> Ledger:
    """A ledger of at least so many, all acknowledged."""
    with feeding(job, rate=1000) as feed:
        wait_until(lambda: feed.acknowledged >= records, f"{records} records are acknowledged")
        return feed.close()


def lost(verdict: Verdict) -> tuple[int, int, int]:
    return verdict.count(Kind.LOST), verdict.count(Kind.DOUBLED), verdict.count(Kind.REORDERED)


def test_a_job_that_is_right(job: Job, say: Callable[[str], None]) -> None:
    ledger = sent(job)
    assert (ledger.closed, ledger.unknown, ledger.refused) == (True, 0, frozenset())
    records = job.records()
    assert not evidence.processed_all(job.files, ledger)
    job.process(records[: len(records) // 2])
    assert job.judged(ledger).outcome is Outcome.UNFINISHED
    job.process(records[len(records) // 2 :])
    assert evidence.processed_all(job.files, ledger)
    found = job.judged(ledger)
    say(found.describe())
    assert (found.outcome, found.total.delivered, found.foreign) == (Outcome.EXACT, ledger.sent, 0)
    assert Verdict.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    assert job.judged(None).outcome is Outcome.EXACT


def test_a_broker_that_stands_still_leaves_outcomes_unknown(job: Job, stack: Stack, say: Callable[[str], None]) -> None:
    """Longer than the delivery time-out: what was sent meanwhile is given up by the producer, and may be there."""
    pid = stack.pid("kafka-1")
    assert pid is not None
    with feeding(job, delivery_timeout_s=4) as feed:
        wait_until(lambda: feed.acknowledged > 500, "records are acknowledged")
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(8)
        finally:
            os.kill(pid, signal.SIGCONT)
        before = feed.acknowledged
        wait_until(lambda: feed.failure is not None or feed.acknowledged > before + 500, "it goes on, or says why not")
        ledger = feed.close()
        assert feed.failure is None
    assert ledger.unknown > 100, ledger.reasons
    assert ledger.acknowledged + ledger.unknown == ledger.sent
    job.process(job.records())
    found = job.judged(ledger)
    say(found.describe())
    assert found.outcome is Outcome.EXACT, found.describe()
    assert found.unknown_appeared + found.unknown_absent == ledger.unknown


@pytest.mark.long
@pytest.mark.parametrize("what", ["stands still", "is killed"])
def test_a_broker_that_comes_back_in_time_costs_no_answer(
    what: str, job: Job, stack: Stack, say: Callable[[str], None],
) -> None:
    """Longer than a request may take, so that it is sent again, and less than the delivery time-out."""
    pid = stack.pid("kafka-1")
    assert pid is not None
    with feeding(job, delivery_timeout_s=30) as feed:
        wait_until(lambda: feed.acknowledged > 500, "records are acknowledged")
        if what == "is killed":
            os.kill(pid, signal.SIGKILL)
            stack.up(["kafka"])
        else:
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(17)
            finally:
                os.kill(pid, signal.SIGCONT)
        before = feed.acknowledged
        wait_until(lambda: feed.acknowledged > before + 500, "it goes on")
        ledger = feed.close()
    job.process(job.records())
    found = job.judged(ledger)
    say(found.describe())
    assert found.outcome is Outcome.EXACT, found.describe()
    assert ledger.unknown == 0, ledger.reasons


_KILLED = """
import sys, time
from pathlib import Path
from streamops.adapters.connections import Connection
from streamops.adapters.drills.feed import DrillFeed
kafka = Connection("kafka_default", extra={"bootstrap.servers": sys.argv[1]})
feed = DrillFeed.open(kafka, [sys.argv[2]], Path(sys.argv[3]), drill="drill-1", rate=3000)
while True:
    print(feed.acknowledged, flush=True)
    time.sleep(0.05)
"""


def test_a_drill_that_is_killed_leaves_a_ledger_that_can_be_judged(job: Job, say: Callable[[str], None]) -> None:
    path = job.root / "a.jsonl"
    servers = job.kafka.extra["bootstrap.servers"]
    drill = subprocess.Popen([sys.executable, "-c", _KILLED, servers, job.topic, str(path)],
                             stdout=subprocess.PIPE, text=True)
    assert drill.stdout is not None
    for line in drill.stdout:
        if int(line) > 2000:
            break
    drill.send_signal(signal.SIGKILL)
    drill.communicate(timeout=30)
    with pytest.raises(RefusedError, match="already"):
        DrillFeed.open(job.kafka, [job.topic], path, drill="drill-1", rate=1)
    ledger = ledger_files.read(path)
    assert (ledger.closed, ledger.acknowledged > 2000) == (False, True)
    job.process(job.records())
    found = job.judged(ledger)
    say(found.describe())
    assert found.outcome is Outcome.EXACT, found.describe()
    assert found.foreign == 0  # whatever reached Kafka was reserved in the ledger before


def test_a_topic_that_is_not_there(kafka: str, tmp_path: Path) -> None:
    connection = Connection("kafka_default", extra={"bootstrap.servers": kafka})
    with pytest.raises(ConfigurationError, match="no topic"):
        DrillFeed.open(connection, ["no-such"], tmp_path / "l", drill="d", rate=1)
    with pytest.raises(ConfigurationError, match="no ledger"):
        ledger_files.read(tmp_path / "l")


class TestBrokenJobs:
    """Each is found out, and named as what it does."""

    def test_a_sink_that_is_not_idempotent(self, job: Job) -> None:
        """A batch that is run again adds its rows to those of the first time."""
        ledger, records = sent(job), job.records()
        job.process(records)
        again = records[:30]
        job.put("generation=1/batch=2/part-1.parquet", again)
        found = job.judged(ledger)
        assert lost(found) == (0, 30, 0)
        assert [each.where for each in found.findings] == [Where.JOB]
        assert found.log is not None
        assert "batch 2" in found.log.problems[0]

    def test_commit_before_store(self, job: Job) -> None:
        """What was committed and not stored is in no batch, and the next one begins after it."""
        ledger, records = sent(job), job.records()
        lost_at = {record.offset for record in records if record.partition == 1} & set(range(20, 27))
        job.process([each for each in records if each.partition != 1 or each.offset not in lost_at])
        found = job.judged(ledger)
        assert lost(found) == (7, 0, 0)
        assert [(each.kind, each.where) for each in found.findings] == [(Kind.LOST, Where.JOB)]
        assert [each.offset for each in found.findings[0].examples] == list(range(20, 27))

    def test_a_batch_log_that_is_written_too_early(self, job: Job) -> None:
        """The driver died between log and sink, and whoever came next believed the log."""
        ledger, records = sent(job), job.records()
        job.process(records[:150])
        rows = records[150:]
        job.log(len(rows), {at: max((row.offset + 1 for row in rows if TopicPartition(row.topic, row.partition) == at),
                                    default=end) for at, end in job.ends.items()})
        found = job.judged(ledger)
        assert lost(found) == (len(rows), 0, 0)
        assert found.outcome is Outcome.WRONG
        assert found.log is not None
        assert not found.log.sound


class TestWhoDidIt:
    def test_what_kafka_lost(self, job: Job, kafka: str) -> None:
        """The topic is made again, as after a cluster was restored from nothing: what was not processed is gone."""
        ledger, records = sent(job), job.records()
        processed = [each for each in records if each.partition != 2]
        job.process(processed)
        with connected(kafka) as broker:
            broker.admin.delete_topics([job.topic])
            wait_until(lambda: job.topic not in broker.topic_names(), "the topic is gone")
            gone = job.judged(ledger)
            broker.admin.create_topics([NewTopic(job.topic, 3, 1)])
            broker.await_topics({job.topic: 3})
        for found in (gone, job.judged(ledger)):
            assert found.outcome is Outcome.KAFKA_WRONG
            assert found.count(Kind.LOST, Where.KAFKA) == found.count(Kind.LOST) == len(records) - len(processed)

    def test_what_retention_took(self, job: Job, kafka: str) -> None:
        ledger, records = sent(job), job.records()
        job.process([each for each in records if each.partition != 0 or each.offset >= 10])
        at = TopicPartition(job.topic, 0)
        with connected(kafka) as broker:
            broker.admin.delete_records({tuple_of(at): 6})
        found = job.judged(ledger)
        assert (found.count(Kind.LOST, Where.RETENTION), found.count(Kind.LOST, Where.JOB)) == (6, 4)

    def test_a_batch_that_comes_late(self, job: Job) -> None:
        ledger, records = sent(job), job.records()
        late = records[:5]
        job.process(records[5:])
        job.write(late)
        assert lost(job.judged(ledger)) == (0, 0, 5)


def test_what_a_restore_superseded_does_not_count(job: Job) -> None:
    ledger, records = sent(job), job.records()
    start = dict(job.ends)
    job.process(records)
    job.ends = start
    job.open(2, Superseded((Span(1, 0),)))
    job.process(records, 3)
    found = job.judged(ledger)
    assert (found.outcome, found.total.delivered) == (Outcome.EXACT, ledger.sent), found.describe()


def test_files_outside_of_any_batch_count_as_readers_see_them(job: Job) -> None:
    ledger, records = sent(job), job.records()
    job.process(records)
    job.put("_aside/1-9-1/part-0.parquet", records[:3])
    assert job.judged(ledger).outcome is Outcome.EXACT
    job.put("part-9.parquet", records[:3])
    assert lost(job.judged(ledger)) == (0, 3, 0)


def test_earlier_batches_are_not_read(job: Job) -> None:
    """A sink of years is not read for a drill of minutes: the folders from before it could hold anything."""
    with DrillFeed.open(job.kafka, [job.topic], job.root / "b.jsonl", drill="before", rate=1000) as feed:
        wait_until(lambda: feed.acknowledged >= 30, "some records are there")
    job.process(job.records())
    (job.root / "canary" / "output" / "generation=1" / "batch=1" / "part-0.parquet").write_bytes(b"torn")
    ledger = sent(job)
    job.process(job.records())
    found = job.judged(ledger)
    assert found.total.delivered == ledger.sent
    assert found.foreign == 0


def test_another_transform_is_refused(job: Job) -> None:
    ledger, records = sent(job), job.records()
    job.process(records)
    path = job.root / "canary" / "output" / "generation=1" / "batch=1" / "part-0.parquet"
    pq.write_table(pa.table({"word": [str(each) for each in range(pq.read_metadata(path).num_rows)]}), path)
    with pytest.raises(StateError, match="identity"):
        job.judged(ledger)


def tuple_of(at: TopicPartition) -> object:
    import kafka as kafka_python

    return kafka_python.TopicPartition(*at)


def test_under_what_a_drill_runs(job: Job, kafka: str) -> None:
    pipeline = Pipeline(
        name="canary", approach="receiver", topics=(job.topic,), transform="identity", sink=Sink(type="parquet"),
        resources=Resources(executor_cores=2, conf={"spark.locality.wait": "0s"}))
    with connected(kafka) as broker:
        found = surroundings.read(pipeline, broker)
    assert found.versions["spark"] == "4.2.0"
    assert found.versions["kafka"].startswith("4.")
    assert {"streamops", "airflow", "python"} <= set(found.versions)
    expected = {"interval_s": "10", "partitions": "3", "replication": "1", "min_insync_replicas": "1", "brokers": "1",
                "write_ahead_log": "true", "receivers": "1", "executor_cores": "2", "conf.spark.locality.wait": "0s"}
    assert {name: found.settings[name] for name in expected} == expected
