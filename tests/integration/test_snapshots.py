"""Recovery points of jobs under load, idle, too slow, dead, and without a broker; and the DAG that takes them."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streamops.points.lag import LagState
from streamops.points.recovery_points import RecoveryPoint, Source
from streamops.stack.stack import Stack

from .running import head, state_of, wait_until

if TYPE_CHECKING:
    from .conftest import Airflow, Streamops

Say = Callable[[str], None]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

PIPELINES = ("pointed_direct", "pointed_receiver")
SLOW = "pointed_slow"
SNAPSHOTS = 6
#: Seconds longer than `lag.stop_after_s` of PIPELINES, 20.
LONGER_S = 22


class Pointed:
    """The two pipelines of these tests, and their points."""

    def __init__(self, api: Airflow, stack: Stack, streamops: Streamops) -> None:
        self.api, self.stack, self.streamops = api, stack, streamops
        self.runs: dict[str, str] = {}

    def start(self, *names: str) -> None:
        for name in names:
            self.runs[name] = self.api.trigger(f"stream_{name}")
        for name in names:
            wait_until(lambda name=name: self.api.task(f"stream_{name}", self.runs[name])["state"] == "deferred",
                       f"{name} is deferred")

    def stop(self, *names: str) -> None:
        for name in names:
            self.api.call("PATCH", f"/dags/stream_{name}/dagRuns/{self.runs[name]}", json={"state": "failed"})
        wait_until(lambda: all(each["state"] in ("stopped", "gone") for each in self.status(*names)),
                   f"{', '.join(names)} have ended")

    def status(self, *names: str) -> list[dict[str, str]]:
        shown = json.loads(self.streamops("status", "--json").stdout)["pipelines"]
        return [each for each in shown if each["pipeline"] in names]

    def snapshot(self, *names: str) -> dict[str, tuple[LagState, list[str], RecoveryPoint]]:
        """State, alarms and point of each pipeline, as they were stored; of the two where none is named."""
        asked = names or PIPELINES
        taken = json.loads(self.streamops("offsets", "snapshot", *asked, "--json", check=False).stdout)
        return {each["pipeline"]: (LagState(each["state"]), each["alarms"], self.point(each["point"]))
                for each in taken}

    def point(self, number: int) -> RecoveryPoint:
        return RecoveryPoint.from_json(self.streamops("offsets", "show", str(number), "--json").stdout)

    def lag(self, name: str) -> int | None:
        return self.snapshot(name)[name][2].lag_records

    def run_dag(self) -> tuple[str, dict[str, str]]:
        """How a run over both pipelines ends, and the state of each task."""
        run = self.api.trigger("snapshot_offsets", pipelines=list(PIPELINES))
        ended = self.api.wait_for_run("snapshot_offsets", run)
        found = self.api.call("GET", f"/dags/snapshot_offsets/dagRuns/{run}/taskInstances")["task_instances"]
        return ended, {each["task_id"]: each["state"] for each in found}

    def alarm_events(self) -> set[str]:
        """The pipelines of which an asset event says that they have alarms."""
        events = self.api.call("GET", "/assets/events", params={"limit": 100})["asset_events"]
        return {each["extra"]["pipeline"] for each in events if "alarms" in (each["extra"] or {})}


@pytest.mark.long
def test_points_of_jobs_under_load_idle_slow_dead_and_without_a_broker(
    airflow_api: Airflow, stack: Stack, streamops: Streamops, background: Callable[..., subprocess.Popen[str]],
    text: Path, say: Say,
) -> None:
    def feed() -> subprocess.Popen[str]:
        return background("feed", "--topic", "pointed", str(text), "--rate", "2000", "--repeat", "0",
                          stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    pointed = Pointed(airflow_api, stack, streamops)
    pointed.start(*PIPELINES)
    feeder = feed()
    for name in PIPELINES:
        wait_until(lambda name=name: head(state_of(stack, name)).span > 0, f"{name} processes what is fed")

    chance = random.Random(5)
    wal_bytes = 0
    for _ in range(SNAPSHOTS):
        time.sleep(chance.uniform(0, 1.5))
        for name, (_, alarms, point) in pointed.snapshot().items():
            assert [each for each in point.disagreements if not each.expected] == [], f"{name}: {alarms}"
            assert sorted(at.partition for at in point.partitions) == [0, 1, 2, 3]
            for each in point.partitions.values():
                assert each.processed is not None
                assert each.latest is not None
                assert each.earliest == 0
                assert each.processed <= each.latest
                assert each.group_committed is not None
                assert each.leader_epoch is not None
                assert each.lag_s is not None
            assert None not in (point.generation, point.last_batch, point.sink_batch)
            assert point.last_batch is not None
            assert point.sink_batch in (point.last_batch, point.last_batch + 1)
            if name == "pointed_direct":
                assert point.checkpoint_batch in range(point.last_batch - 1, point.last_batch + 2)
                assert point.why_unknown("wal") is not None
            else:
                assert point.wal is not None
                assert point.wal.offsets is not None
                wal_bytes = max(wal_bytes, point.wal.size_bytes)
    assert wal_bytes > 0
    ended, tasks = pointed.run_dag()
    assert (ended, tasks["snapshot"], tasks["alarm"]) == ("success", "success", "skipped")

    feeder.terminate()
    feeder.wait()
    for name in PIPELINES:
        wait_until(lambda name=name: pointed.lag(name) == 0, f"{name} has processed everything")
    time.sleep(LONGER_S)
    for name, (state, alarms, point) in pointed.snapshot().items():
        assert (state, alarms, point.lag_records) == (LagState.OK, [], 0), f"{name} has nothing to do"

    pointed.start(SLOW)
    feed()
    wait_until(lambda: pointed.snapshot(SLOW)[SLOW][0] is LagState.ERR, f"{SLOW} falls behind")
    say(f"slower than its topic: {pointed.snapshot(SLOW)[SLOW][1][0]}")
    pointed.stop(SLOW)

    pointed.stop(*PIPELINES)
    dead = pointed.snapshot()
    time.sleep(LONGER_S)
    later = pointed.snapshot()
    for name in PIPELINES:
        before, (state, alarms, after) = dead[name][2], later[name]
        assert after.processed == before.processed
        assert (after.lag_records or 0) > (before.lag_records or 0)
        assert (after.lag_s or 0) >= (before.lag_s or 0) + 20
        assert state is LagState.STOP, alarms
        assert {each.source for each in after.disagreements if not each.expected} <= {Source.GROUP}
        say(f"{name} is dead: {alarms[0]}")
    ended, tasks = pointed.run_dag()
    assert (ended, tasks["snapshot"], tasks["alarm"]) == ("failed", "success", "failed")
    assert set(PIPELINES) <= pointed.alarm_events()

    stack.down(["kafka"])
    try:
        for name, (state, _, point) in pointed.snapshot().items():
            assert state is LagState.NOTFOUND
            assert point.processed == later[name][2].processed
            assert {each.latest for each in point.partitions.values()} == {None}
            assert str(point.why_unknown("lag_records", next(iter(point.partitions)))) != ""
    finally:
        stack.up(["kafka"])
