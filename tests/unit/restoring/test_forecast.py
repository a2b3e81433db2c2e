"""Restores before they are done: the forecast of each partition, and the time to catch up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamops.restoring.batch_boundaries import Boundaries
from streamops.restoring.forecast import Forecast, Pace, assess, catch_up_s, forecast
from streamops.restoring.targets import ObservedPositions, Target, TargetKind, resolve
from streamops.state.batch_log import Entry
from streamops.state.offsets import OffsetRange, Offsets, TopicPartition

P0, P1 = (TopicPartition("lines", number) for number in range(2))
OBSERVED = ObservedPositions(frozenset({P0, P1}), {P0: 0, P1: 0}, {P0: 50, P1: 40}, {P0: 40, P1: 40})


def entry(span: int, started_at: str, finished_at: str) -> Entry:
    return Entry("lines", 1, 0, (OffsetRange("lines", 0, 0, span),), 1, None, 1, "driver-1", 1,
                 f"2026-11-20T03:00:{started_at}+00:00", f"2026-11-20T03:00:{finished_at}+00:00", 1)


def to(offsets: Offsets) -> Target:
    return Target(TargetKind.OFFSETS, "stated", offsets)


def foretold(target: Target, observed: ObservedPositions, pace: Pace | None = None) -> Forecast:
    return forecast(target, assess(resolve(target, observed), observed), Boundaries(), pace or Pace(10.0), ())


@pytest.mark.parametrize(("earliest", "processed", "target", "start", "replayed", "skipped", "taken", "to_read"), [
    pytest.param(0, 40, 10, 10, 30, 0, 0, 40, id="back"),
    pytest.param(0, 40, 40, 40, 0, 0, 0, 10, id="where it stands"),
    pytest.param(0, 40, 45, 45, 0, 5, 0, 5, id="forward: unprocessed records are skipped"),
    pytest.param(0, 40, 50, 50, 0, 10, 0, 0, id="to the end"),
    pytest.param(20, 40, 10, 20, 20, 0, 10, 30, id="back beyond retention: half of it is gone"),
    pytest.param(45, 40, 45, 45, 0, 0, 5, 5, id="retention overtook us: to the earliest record"),
    pytest.param(45, 40, 48, 48, 0, 3, 5, 2, id="retention overtook us: beyond the earliest record"),
    pytest.param(45, 40, 30, 45, 0, 0, 15, 5, id="back, and retention overtook us"),
    pytest.param(45, 40, 42, 45, 0, 0, 5, 5, id="forward, into what retention took"),
    pytest.param(5, None, 10, 10, None, None, 0, 40, id="it is unknown what was processed"),
])
def test_the_forecast_of_a_partition(
    earliest: int, processed: int | None, target: int, start: int, replayed: int | None, skipped: int | None,
    taken: int, to_read: int,
) -> None:
    known = {} if processed is None else {P0: processed}
    observed = ObservedPositions(frozenset({P0}), {P0: earliest}, {P0: 50}, known)
    found = foretold(to({P0: target}), observed)
    (each,) = found.partitions
    assert (each.start, each.replayed, each.skipped, each.taken_by_retention, each.to_read) == (
        start, replayed, skipped, taken, to_read)
    assert found.start == {P0: start}


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_each_offset_is_counted_once(earliest: int, processed: int, target: int) -> None:
    observed = ObservedPositions(frozenset({P0}), {P0: earliest}, {P0: 60}, {P0: processed})
    (each,) = foretold(to({P0: target}), observed).partitions
    assert each.replayed is not None
    assert each.skipped is not None
    gone = set(range(min(target, processed), earliest))
    assert each.taken_by_retention == len(gone)
    assert each.replayed == len(set(range(each.start, processed)))
    assert each.skipped == len(set(range(processed, each.start)) - gone)


def test_totals_and_notes() -> None:
    found = foretold(Target(TargetKind.POINT, "point 7", {P0: 20}), OBSERVED, Pace(30.0, 10.0))
    assert (found.replayed, found.skipped, found.taken_by_retention) == (60, 0, 0)
    assert [each.note for each in found.partitions] == ["", "added after the point: starts at its first record"]
    assert (found.catch_up_s, found.catch_up_unknown) == (3.5, None)


@pytest.mark.parametrize(("to_read", "pace", "seconds", "why"), [
    pytest.param(100, Pace(20.0), 5.0, None, id="nobody produces"),
    pytest.param(100, Pace(20.0, 10.0), 10.0, None, id="half of the rate goes into new records"),
    pytest.param(0, Pace(None), 0.0, None, id="nothing to read"),
    pytest.param(100, Pace(None), None, "no rate was measured", id="an unknown rate"),
    pytest.param(100, Pace(20.0, 20.0), None, "never", id="producers are as fast"),
])
def test_the_time_to_catch_up(to_read: int, pace: Pace, seconds: float | None, why: str | None) -> None:
    found, unknown = catch_up_s(to_read, pace)
    assert found == seconds
    assert (unknown is None) if why is None else (why in str(unknown))


@pytest.mark.parametrize(("recent", "limit", "rate"), [
    pytest.param([entry(100, "00", "02"), entry(50, "04", "05")], None, 50.0, id="offsets over the time of batches"),
    pytest.param([entry(100, "00", "02"), entry(0, "04", "05")], None, 50.0, id="without those in which nothing came"),
    pytest.param([entry(100, "00", "02")], 20.0, 20.0, id="no more than the pipeline's limit"),
    pytest.param([entry(0, "00", "02")], None, None, id="nothing came"),
    pytest.param([], None, None, id="no batch"),
])
def test_the_measured_pace(recent: list[Entry], limit: float | None, rate: float | None) -> None:
    assert Pace.measured(recent, 3.0, limit) == Pace(rate, 3.0)
