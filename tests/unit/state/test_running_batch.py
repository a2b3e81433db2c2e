"""How long batches take, how fast they get on, and when one that runs counts as stuck."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from streamops.state.running_batch import RunningBatch, recent_per_s, stuck_after_s, times

from ..on_call import NOW, ago, entry

STEADY = [entry(number, 20 - 2 * number, 1.0) for number in range(10)]


def test_times_leave_out_the_cold_batch_of_a_driver() -> None:
    cold = replace(entry(3, 40, 30.0), epoch=3)
    found = times([entry(1, 90), entry(2, 80), cold, replace(entry(4, 10, 2.0), epoch=3)])
    assert found is not None
    assert (found.batches, found.usual_s, found.longest_s) == (2, 2.0, 2.0)
    assert times([cold]) is not None, "one batch is better than none"
    assert times([]) is None


@pytest.mark.parametrize(("longest_s", "interval_s", "expected_s"), [(None, 1, 60), (1.0, 2, 60), (30.0, 2, 150),
                                                                     (1.0, 600, 3000)])
def test_when_a_batch_is_stuck(longest_s: float | None, interval_s: float, expected_s: float) -> None:
    known = None if longest_s is None else times([entry(0, 200, longest_s), entry(1, 100, longest_s)])
    assert stuck_after_s(known, interval_s) == expected_s


def test_the_rate_is_of_the_last_seconds_and_falls_while_a_batch_takes_longer() -> None:
    assert recent_per_s(STEADY, NOW) == pytest.approx(50)
    assert recent_per_s(STEADY, NOW + timedelta(seconds=10)) == pytest.approx(500 / 22)
    assert recent_per_s(STEADY[:1], NOW) is None
    assert recent_per_s([entry(0, 300), entry(1, 200), entry(2, 100)], NOW) == pytest.approx(1)


def test_a_batch_has_run_since_it_began() -> None:
    assert RunningBatch(1, 3, ago(30), {}).age_s(NOW) == 30
