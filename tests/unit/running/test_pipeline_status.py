"""Status rules: state, rate, lag and positions, with the time as an argument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.pipelines.status_reader import observe
from streamops.running.pipeline_status import (
    Observed,
    State,
    assess,
    duration,
    lag_records,
    positions,
    rate,
    unreadable,
)
from streamops.state import batch_log, drivers, generations, lease
from streamops.state.batch_log import Entry
from streamops.state.crash_loop import Crash
from streamops.state.drivers import DriverRecord
from streamops.state.generations import Generation
from streamops.state.lease import TTL_S, Beat, JobState, Lease, Owner, OwnerKind
from streamops.state.offsets import OffsetRange, Offsets, TopicPartition
from streamops.state.orders import Order, Wish

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
P0, P1 = TopicPartition("lines", 0), TopicPartition("lines", 1)
OWNER = Owner(OwnerKind.AIRFLOW, "lines", "run-1", "job", 1)


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def entry(batch: int, ended_s: float, records: int = 100, partition: int = 0, first: int | None = None) -> Entry:
    """A batch of one second that ended `ended_s` seconds ago."""
    first = batch * 100 if first is None else first
    return Entry("lines", 1, batch, (OffsetRange("lines", partition, first, first + records),), 9,
                 f"generation=1/batch={batch}", 1, "driver-1", 1, ago(ended_s + 1), ago(ended_s), 700)


GENERATION = Generation("lines", 1, "direct", {P0: 0, P1: 50}, "first start", ago(1000))
LEASE = Lease("lines", 2, "driver-1", OWNER, "host", 1, ago(300))
RECORD = DriverRecord("driver-1", "lines", OWNER, ago(301), 2)
RUNNING = Observed(GENERATION, [entry(0, 4), entry(1, 2)], {P0: 200, P1: 50}, LEASE,
                   Beat(2, ago(1), JobState.RUNNING, 1), RECORD)

GONE = replace(RUNNING, beat=Beat(2, ago(60), JobState.RUNNING))
STOP = Order("lines", 1, Wish.STOP, "alice@shell", ago(60))
LOOPING = replace(RECORD, crashes=tuple(Crash(ago(age_s), "OutOfMemoryError: heap") for age_s in (90, 60, 30)))


@pytest.mark.parametrize(("observed", "state", "reason"), [
    pytest.param(Observed(), State.NEW, None, id="never started"),
    pytest.param(Observed(GENERATION), State.STOPPED, "no driver holds the lease", id="a generation without a driver"),
    pytest.param(replace(RUNNING, beat=None, lease=replace(LEASE, taken_at=ago(2))), State.STARTING, None,
                 id="the lease was taken a moment ago"),
    pytest.param(replace(RUNNING, beat=None), State.GONE, "took the lease 5 min ago and never showed life",
                 id="a driver without a beat"),
    pytest.param(replace(RUNNING, beat=Beat(2, ago(1), JobState.STARTING)), State.STARTING, None, id="starting"),
    pytest.param(RUNNING, State.RUNNING, None, id="running"),
    pytest.param(replace(RUNNING, beat=Beat(2, ago(TTL_S), JobState.IDLE)), State.IDLE, None, id="idle, a late beat"),
    pytest.param(replace(RUNNING, beat=Beat(2, ago(1), JobState.RESTARTING)), State.RESTARTING, None, id="restarting"),
    pytest.param(replace(RUNNING, beat=Beat(2, ago(TTL_S + 1), JobState.RUNNING)), State.GONE,
                 "driver driver-1 last showed life 13 s ago", id="the driver is gone"),
    pytest.param(replace(RUNNING, beat=Beat(2, ago(-3), JobState.RUNNING)), State.RUNNING, None,
                 id="a clock that is ahead"),
    pytest.param(replace(RUNNING, beat=Beat(2, ago(900), JobState.STOPPED),
                         driver=replace(RECORD, stop_kind="bad_record", reason="lines-0 offset 7")),
                 State.STOPPED, "bad_record: lines-0 offset 7", id="the driver ended itself"),
    pytest.param(replace(RUNNING, beat=Beat(2, ago(900), JobState.STOPPED), driver=None), State.STOPPED,
                 "driver driver-1 ended", id="stopped, and its record is gone"),
    pytest.param(replace(RUNNING, order=STOP), State.STOPPING, "stopped by alice@shell", id="stopped, it lives yet"),
    pytest.param(replace(GONE, order=STOP), State.STOPPED, "stopped by alice@shell", id="stopped by a person"),
    pytest.param(replace(GONE, order=replace(STOP, wish=Wish.PAUSE, why="new disks")), State.PAUSED, "new disks",
                 id="paused by a person"),
    pytest.param(Observed(order=STOP), State.STOPPED, "alice", id="stopped before it ever started"),
    pytest.param(replace(RUNNING, order=replace(STOP, wish=Wish.RUN)), State.RUNNING, None, id="started by a person"),
    pytest.param(replace(GONE, newest=LOOPING), State.CRASHING, "OutOfMemoryError: heap", id="in a crash loop"),
    pytest.param(replace(RUNNING, newest=LOOPING), State.RUNNING, "died 3 times", id="just out of a crash loop"),
    pytest.param(replace(GONE, newest=LOOPING, order=STOP), State.STOPPED, "alice", id="a loop that a person ended"),
])
def test_the_state(observed: Observed, state: State, reason: str | None) -> None:
    status = assess("lines", observed, {}, NOW)
    assert status.state is state
    assert (status.reason is None) if reason is None else (reason in str(status.reason))


def test_everything_about_a_running_pipeline() -> None:
    assert assess("lines", RUNNING, {P0: 230, P1: 51}, NOW).as_dict() == {
        "pipeline": "lines",
        "state": "running",
        "reason": None,
        "generation": 1,
        "last_batch": 1,
        "last_batch_finished_at": ago(2),
        "last_batch_age_s": 2.0,
        "rate_records_per_s": 40.0,
        "lag_records": 31,
        "lag_unknown": None,
        "driver": "driver-1",
        "owner": "run run-1 of DAG lines, try 1",
        "epoch": 2,
        "beat_age_s": 1.0,
        "version": None,
        "release": None,
    }


def test_lag_is_unknown_and_never_0_without_a_broker() -> None:
    status = assess("lines", RUNNING, "no Kafka broker answers", NOW)
    assert (status.lag, status.lag_unknown) == (None, "no Kafka broker answers")
    assert status.state is State.RUNNING


def test_lag_is_unknown_before_the_first_generation() -> None:
    status = assess("lines", Observed(), {P0: 5}, NOW)
    assert (status.lag, status.lag_unknown) == (None, "nothing was processed yet")


def test_a_state_directory_that_cannot_be_read() -> None:
    status = unreadable("lines", "cannot read hdfs://nn/lines: refused")
    assert (status.state, status.lag, status.rate, status.reason) == (
        State.UNKNOWN, None, None, "cannot read hdfs://nn/lines: refused")


@pytest.mark.parametrize(("recent", "expected"), [
    pytest.param([], None, id="no batch ever"),
    pytest.param([entry(0, 61)], 0.0, id="the last batch is older than the window"),
    pytest.param([entry(0, 100), entry(1, 30), entry(2, 0)], 200 / 60, id="the window is full"),
    pytest.param([entry(0, 9)], 10.0, id="the first batch began 10 s ago"),
    pytest.param([entry(n, 9 - n) for n in range(10)], 100.0, id="more batches than were read: since the first read"),
    pytest.param([entry(0, -5)], 100 / 0.001, id="a clock that is ahead never divides by zero"),
])
def test_the_rate(recent: Sequence[Entry], expected: float | None) -> None:
    found = rate(recent, NOW)
    assert found == (expected if expected is None else pytest.approx(expected, abs=0.1))


@pytest.mark.parametrize(("processed", "latest", "lag", "why"), [
    pytest.param({P0: 5, P1: 7}, {P0: 5, P1: 7}, 0, None, id="none"),
    pytest.param({P0: 5, P1: 7}, {P0: 6, P1: 17}, 11, None, id="summed over partitions"),
    pytest.param({P0: 5, P1: 7}, {P0: 6}, 1, None, id="a partition that Kafka no longer has"),
    pytest.param({P0: 5}, {P0: 6, P1: 3}, None, "processed of lines-1 is unknown", id="a partition without position"),
    pytest.param({P0: 5}, {P0: 2}, None, "ends at offset 2, below the 5", id="a topic that was made again"),
    pytest.param({P0: 5}, {}, None, "none of the pipeline's partitions", id="no topic"),
])
def test_lag(processed: Offsets, latest: Offsets, lag: int | None, why: str | None) -> None:
    found, reason = lag_records(processed, latest)
    assert found == lag
    assert (reason is None) if why is None else (why in str(reason))


@pytest.mark.parametrize(("last", "expected"), [
    pytest.param(None, {P0: 0, P1: 50}, id="no batch yet: where the generation starts"),
    pytest.param(entry(70, 1), {P0: 7100, P1: 50}, id="a partition that the entry does not name stands at the start"),
])
def test_positions(last: Entry | None, expected: Offsets) -> None:
    assert positions(GENERATION, last) == expected


@pytest.mark.parametrize(("seconds", "text"), [
    (-2, "0 s"), (0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (200_000, "2 d"),
])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# Reading a state directory

@pytest.fixture
def files(tmp_path: Path) -> StateFiles:
    return StateFiles(f"file://{tmp_path}")


def test_an_empty_state_directory(files: StateFiles) -> None:
    assert observe(files) == Observed()


def test_what_a_driver_left_is_observed(files: StateFiles) -> None:
    at = datetime.now(UTC)
    files.write_new(generations.path(1), GENERATION.to_json())
    for batch in range(120):
        ended = (at - timedelta(seconds=240 - 2 * batch)).isoformat(timespec="milliseconds")
        files.write_new(batch_log.entry_path(1, batch), replace(entry(batch, 0), finished_at=ended).to_json())
    files.replace(batch_log.head_path(1), '{"batch": 110}')
    files.write_new(lease.path(1), replace(LEASE, epoch=1).to_json())
    files.write_new(lease.path(2), LEASE.to_json())
    files.replace(lease.beat_path(2), Beat(2, ago(1), JobState.RUNNING, 119).to_json())
    files.replace(drivers.path("driver-1"), RECORD.to_json())

    found = observe(files)

    assert found.generation == GENERATION
    assert [seen.batch for seen in found.recent] == list(range(120 - len(found.recent), 120))
    assert 29 <= len(found.recent) <= 32, "a minute of batches, one every two seconds, and one before it"
    assert found.positions == {P0: 12000, P1: 50}
    assert found.lease == LEASE
    assert found.beat is not None
    assert found.beat.batch == 119
    assert found.driver == found.newest == RECORD
