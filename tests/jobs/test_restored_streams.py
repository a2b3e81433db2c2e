"""Restores of jobs that really run: to each kind of target and back, the forecast against what then happened.

The sink is read record by record: with `identity`, a row is a record, known by its partition and offset.
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from streamops.actions import snapshots
from streamops.actions.restores import Restores
from streamops.adapters.database.upgrade import upgrade
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.kafka import consumer_groups
from streamops.adapters.pipelines.files import declared, state_files
from streamops.errors import RefusedError, StreamopsError
from streamops.restoring.plan import Plan
from streamops.restoring.targets import TargetKind
from streamops.state import batch_log, generations
from streamops.state.batch_log import OUTPUT
from streamops.state.generations import Generation
from streamops.state.job_spec import JobSpec, ReceiverSpec
from streamops.state.lease import Owner, OwnerKind
from streamops.state.offsets import Offsets, TopicPartition

from .conftest import RunningStream, Topics
from .observing import until

Say = Callable[[str], None]
Record = tuple[int, int]
ME = Owner(OwnerKind.SHELL)


@dataclass
class Streamed:
    """A pipeline over a topic of two partitions, its job in this process."""

    name: str
    topic: str
    topics: Topics
    spec: JobSpec
    start_driver: Callable[..., RunningStream]
    drivers: int = 0
    running: RunningStream | None = None

    @property
    def files(self) -> StateFiles:
        return state_files(declared().pipeline(self.name))

    def start(self) -> None:
        self.drivers += 1
        self.running = self.start_driver(self.spec, f"{self.name}-{self.drivers}")

    def stop(self) -> None:
        """End the driver, and wait until its receivers have left their group: they would refuse a restore."""
        assert self.running is not None
        self.running.stop()
        pipeline = declared().pipeline(self.name)
        with self.restores() as restores:
            until(lambda: not consumer_groups.members(restores._broker(), pipeline), f"{self.name} has no members")

    def send(self, *counts: int) -> None:
        for partition, count in enumerate(counts):
            self.topics.send(self.topic, [b"line"] * count, partition)

    def positions(self) -> Offsets:
        """Where the current generation stands, by its batch log."""
        current = generations.current(self.files)
        assert current is not None
        last = batch_log.read_head(self.files, current.number)
        return {**current.start, **({taken.topic_partition: taken.until for taken in last.ranges} if last else {})}

    def ends(self) -> Offsets:
        with self.restores() as restores:
            return restores._broker().latest_offsets([self.topic])

    def wait_until_caught_up(self) -> None:
        ends = self.ends()
        until(lambda: self._checked() and self.positions() == ends, f"{self.name} has processed everything")

    def _checked(self) -> bool:
        assert self.running is not None
        if self.running.ended_with is not None:
            raise self.running.ended_with
        return generations.current(self.files) is not None

    def held(self) -> Counter[Record]:
        """The records in the sink that count, by (partition, offset)."""
        current = generations.current(self.files)
        assert current is not None
        found: Counter[Record] = Counter()
        for number in range(1, current.number + 1):
            for entry in batch_log.entries(self.files, number):
                if entry.output is not None and not current.superseded.covers(number, entry.batch):
                    folder = Path(self.files.url.removeprefix("file://")) / OUTPUT / entry.output
                    for part in folder.glob("*.parquet"):
                        rows = pq.read_table(part, columns=["partition", "offset"], partitioning=None).to_pylist()
                        found.update((row["partition"], row["offset"]) for row in rows)
        return found

    def restores(self) -> Restores:
        return Restores(declared().pipeline(self.name), snapshots.store(), say=print)

    def point(self) -> int:
        (taken,) = snapshots.take([declared().pipeline(self.name)], snapshots.store(), say=print)
        return taken.number

    def apply(self, plan: Plan) -> Generation:
        with self.restores() as restores:
            return restores.apply(plan.decision, ME)

    def plan(self, kind: TargetKind, value: str) -> Plan:
        with self.restores() as restores:
            return restores.plan(kind, value)

    def plan_undo(self) -> Plan:
        with self.restores() as restores:
            return restores.plan_undo()


DIRECT_ONLY = pytest.mark.parametrize("streamed", ["direct"], indirect=True)


@pytest.fixture(params=["direct", pytest.param("receiver", marks=pytest.mark.long)])
def streamed(
    request: pytest.FixtureRequest, topics: Topics, kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    spec: Callable[..., JobSpec], receivers: Callable[..., RunningStream],
) -> Streamed:
    name, topic = f"p-{uuid.uuid4().hex[:8]}", topics.create(partitions=2)
    (tmp_path / "pipelines.yaml").write_text(json.dumps({
        "version": 1, "topics": {topic: {"partitions": 2, "replication": 1}},
        "pipelines": {name: {"approach": request.param, "topics": [topic], "transform": "identity",
                             "sink": {"type": "parquet"}, "state_directory": "state",
                             "resources": {"executor_cores": 2}}}}))
    monkeypatch.setenv("STREAMOPS_PIPELINES", str(tmp_path / "pipelines.yaml"))
    for conn_id, extra in (("kafka_default", {"bootstrap.servers": kafka}),
                           ("streamops_storage", {"url": f"file://{tmp_path}"}),
                           ("streamops_db", {"url": f"sqlite:///{tmp_path}/streamops.db"})):
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "generic", "extra": extra}))
    # No master is there: drivers in this process are known by their beats.
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT",
                       "spark://spark%3A%2F%2F127.0.0.1:1?deploy-mode=cluster&rest-port=1")
    upgrade(snapshots.store()._database)
    receiver = ReceiverSpec(1, name, True, stop_within_s=20) if request.param == "receiver" else None
    made = spec(topic, pipeline=name, approach=request.param, transform="identity", receiver=receiver,
                consumer_group=name if receiver is None else None)
    return Streamed(name, topic, topics, made, receivers)


def happened(streamed: Streamed, before: Offsets, restored: Generation) -> list[list[int]]:
    """Of each partition: where the generation began, and how many offsets it processed again, and skipped."""
    first: Offsets = {}
    again: Counter[int] = Counter()
    done: Counter[int] = Counter()
    for entry in batch_log.entries(streamed.files, restored.number):
        for taken in entry.ranges:
            at = taken.topic_partition
            first.setdefault(at, taken.first)
            again[at.partition] += len(range(taken.first, min(taken.until, before[at])))
            done[at.partition] += len(range(max(taken.first, before[at]), taken.until))
    ends = streamed.ends()
    return [[first[at], again[at.partition], ends[at] - before[at] - done[at.partition]] for at in sorted(before)]


def test_each_kind_of_target_and_back(streamed: Streamed, tmp_path: Path, say: Say) -> None:
    at = [TopicPartition(streamed.topic, number) for number in range(2)]
    streamed.start()
    streamed.send(20, 10)
    streamed.wait_until_caught_up()
    point = streamed.point()
    time.sleep(0.05)
    middle = datetime.now(UTC)
    time.sleep(0.05)
    streamed.send(15, 25)
    streamed.wait_until_caught_up()
    with pytest.raises(RefusedError, match="a living driver"):
        streamed.apply(streamed.plan(TargetKind.EARLIEST, ""))
    streamed.stop()
    (tmp_path / "offsets.csv").write_text(f'"{streamed.topic}",0,12\n"{streamed.topic}",1,34\n')
    targets = [
        (TargetKind.POINT, str(point)),
        (TargetKind.BY, "-7"),
        (TargetKind.LATEST, ""),
        (TargetKind.TIME, middle.isoformat()),
        (TargetKind.EARLIEST, ""),
        (TargetKind.OFFSETS, f"{streamed.topic}:0=3,{streamed.topic}:1=30"),
        (TargetKind.FILE, (tmp_path / "offsets.csv").read_text()),
    ]
    if streamed.spec.approach == "receiver":
        del targets[3:]  # what differs is how a driver starts at stated offsets: at a boundary, within a batch, later
    for kind, value in targets:
        streamed.send(2, 1)  # which wait, so that there is something to skip
        before = streamed.positions()
        counted = streamed.held()
        plan = streamed.plan(kind, value)
        plan.require_allowed()
        restored = streamed.apply(plan)
        streamed.start()
        streamed.send(1, 1)  # so that there is a batch also after the latest record
        streamed.wait_until_caught_up()
        with streamed.restores() as restores:
            progress = restores.await_progress(restored.number, timeout_s=60)
        streamed.stop()
        foretold = [[each.start, each.replayed, each.skipped] for each in plan.forecast.partitions]
        assert foretold == happened(streamed, before, restored), kind
        expected: Counter[Record] = Counter((each.partition, offset) for each in at
                                            for offset in range(streamed.ends()[each]))
        for each in plan.forecast.partitions:  # what is skipped is not there
            number = each.topic_partition.partition
            for offset in range(each.processed or 0, each.start):
                del expected[number, offset]
        for overlap in plan.forecast.boundaries.overlaps:  # and what was said to be doubled is
            for doubled in overlap.doubled:
                expected.update((doubled.partition, offset) for offset in range(doubled.first, doubled.until))
        assert streamed.held() == expected, kind
        say(f"{streamed.spec.approach} {kind:8}: [start, again, skipped] {foretold}, as foretold; "
            f"{sum(expected.values()) - len(expected)} records twice, as named; {progress[:30]}…")

        back = streamed.apply(streamed.plan_undo())
        assert back.start == before
        assert streamed.held() == counted, f"undo of {kind}"
    streamed.start()
    streamed.wait_until_caught_up()
    streamed.stop()
    whole = Counter((each.partition, offset) for each in at for offset in range(streamed.ends()[each]))
    assert streamed.held() == whole, "after the undo of each"


@DIRECT_ONLY
def test_a_state_directory_without_its_log_is_restored_from_a_point_and_the_output(
    streamed: Streamed, say: Say
) -> None:
    streamed.start()
    for count in (5, 6, 7):
        streamed.send(count, count)
        streamed.wait_until_caught_up()
    point = streamed.point()
    streamed.send(9, 9)
    streamed.wait_until_caught_up()
    streamed.stop()
    counted = streamed.held()
    delete(streamed.files, but=OUTPUT)
    plan = streamed.plan(TargetKind.POINT, str(point))
    assert [each.replayed for each in plan.forecast.partitions] == [9, 9]
    restored = streamed.apply(plan)
    assert restored.number == 2
    assert sum(streamed.held().values()) == 36
    streamed.start()
    streamed.wait_until_caught_up()
    streamed.stop()
    assert streamed.held() == counted
    say(f"{streamed.spec.approach}: {sum(counted.values())} records, each once, from point {point} and the output")


@pytest.mark.long
@DIRECT_ONLY
def test_a_state_directory_that_is_gone_with_its_output_is_restored_from_a_point(streamed: Streamed) -> None:
    streamed.start()
    streamed.send(5, 5)
    streamed.wait_until_caught_up()
    point = streamed.point()
    streamed.send(9, 9)
    streamed.wait_until_caught_up()
    streamed.stop()
    delete(streamed.files)
    plan = streamed.plan(TargetKind.POINT, str(point))
    assert "the output was deleted with it" in " ".join(plan.forecast.lost_state)
    streamed.apply(plan)
    streamed.start()
    streamed.wait_until_caught_up()
    streamed.stop()
    assert streamed.held() == Counter((partition, offset) for partition in (0, 1) for offset in range(5, 14))


def delete(files: StateFiles, but: str | None = None) -> None:
    for path in Path(files.url.removeprefix("file://")).iterdir():
        if path.name != but:
            shutil.rmtree(path)


def test_nobody_starts_into_the_remains_of_a_state_directory(streamed: Streamed) -> None:
    streamed.start()
    streamed.send(5, 5)
    streamed.wait_until_caught_up()
    delete(streamed.files, but=OUTPUT)
    assert streamed.running is not None
    stopped = streamed.running.join()
    assert isinstance(stopped, StreamopsError), stopped
    delete(streamed.files, but=OUTPUT)
    streamed.start()
    stopped = streamed.running.join()
    assert "its state directory was deleted" in str(stopped)
