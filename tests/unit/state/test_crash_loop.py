"""When deaths of a driver are a loop, and how long the next process waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from streamops.state.crash_loop import LONGEST_WAIT_S, Crash, described, wait_s

NOW = datetime(2026, 11, 20, 3, tzinfo=UTC)


def crashed(*seconds_ago: float, error: str | None = "OutOfMemoryError: heap") -> list[Crash]:
    return [Crash((NOW - timedelta(seconds=each)).isoformat(), error) for each in seconds_ago]


def with_progress(crashes: list[Crash], index: int) -> list[Crash]:
    return [replace(each, has_progressed=number == index) for number, each in enumerate(crashes)]


@pytest.mark.parametrize(("crashes", "expected_s"), [
    pytest.param([], 0, id="never"),
    pytest.param(crashed(40, 20), 0, id="twice"),
    pytest.param(crashed(60, 40, 20), 10, id="three times"),
    pytest.param(crashed(80, 60, 40, 20), 20, id="four times"),
    pytest.param(crashed(*range(200, 0, -20)), LONGEST_WAIT_S, id="ten times"),
    pytest.param(crashed(900, 700, 20), 0, id="long apart"),
    pytest.param(with_progress(crashed(60, 40, 20), 2), 0, id="the last one had logged a batch"),
    pytest.param(with_progress(crashed(80, 60, 40, 20), 0), 10, id="the first one had, and none since"),
])
def test_how_long_the_next_process_waits(crashes: list[Crash], expected_s: float) -> None:
    assert wait_s(crashes, NOW) == expected_s


@pytest.mark.parametrize(("crashes", "expected"), [
    pytest.param(crashed(40, 20), None, id="no loop"),
    pytest.param(crashed(60, 40, 20), "the driver died 3 times in 10 min; at last it said: OutOfMemoryError: heap",
                 id="it said why"),
    pytest.param([*crashed(60), *crashed(40, 20, error=None)], "3 times in 10 min; at last it said: OutOfMemoryError",
                 id="it said why, once"),
    pytest.param(crashed(60, 40, 20, error=None), "could not say why", id="killed"),
    pytest.param(with_progress(crashed(60, 40, 20), 2), "3 times", id="a loop with a batch now and then"),
    pytest.param(crashed(*range(200, 0, -20)), "at least 10 times", id="as many as are kept"),
])
def test_a_loop_in_words(crashes: list[Crash], expected: str | None) -> None:
    found = described(crashes, NOW)
    assert found is None if expected is None else expected in str(found)
