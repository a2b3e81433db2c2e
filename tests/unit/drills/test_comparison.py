"""The comparison of drills: what fails the gate, what does not, and what is compared with what."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from math import inf

import pytest

from streamops.drills.comparison import (
    ALPHA,
    Comparison,
    Group,
    Promise,
    Recovery,
    compare,
    newest,
    recoveries_of,
    seconds,
    version_of,
)
from streamops.drills.drill import Drill, DrillState, InflictedFault, Surroundings
from streamops.drills.recovery_times import RecoveryTimes

DRIVER = Group("driver", "kill", "direct", "canary_direct")
BROKER = Group("broker", "pause", "direct", "canary_direct")
CALM = [9.0, 9.4, 9.8, 10.2, 10.6, 11.0, 9.2, 9.6, 10.0, 10.4]


def recoveries(drill: int, times: Sequence[float | None], group: Group = DRIVER, version: str = "1") -> list[Recovery]:
    return [Recovery(group, drill, number, f"2026-11-{drill:02d}T03:{number:02d}:00", version, 1.0, time_s,
                     None if time_s is None else time_s + 2) for number, time_s in enumerate(times, 1)]


def compared(new: Sequence[float | None], before: Sequence[float | None], promise: Promise | None = None) -> Comparison:
    return compare([*recoveries(1, before), *recoveries(2, new)], {"canary_direct": promise or Promise()}, {2})


@pytest.mark.parametrize(("what", "new", "before", "promise", "failures"), [
    ("the same", CALM, CALM * 3, Promise(30), []),
    ("nothing before", CALM, [], Promise(30), []),
    ("slower by half", [each + 5 for each in CALM], CALM * 3, Promise(30), ["slower than the last 30: median 14.9 s"]),
    ("certain, and too little to care about", [10.6] * 10, CALM * 3, Promise(30), []),
    ("higher, and too few to tell", [20.0], CALM * 3, Promise(30), []),
    ("over the objective once", [*CALM[:9], 31.0], CALM * 3, Promise(30),
     ["1 of 10 recoveries took longer than the objective of 30 s: the worst 31.0 s"]),
    ("an objective of its own kind", [*CALM[:9], 31.0], CALM * 3, Promise(30, {"driver": 40}), []),
    ("the median's objective", CALM, CALM, Promise(30, {}, {"driver": 9.5}),
     ["the median is 9.9 s, over the objective of 9.5 s"]),
    ("another kind's objective", CALM, CALM, Promise(30, {}, {"broker": 9.5}), []),
    ("not back at all", [*CALM[:8], None, None], CALM, Promise(30), ["2 of 10 times it did not come back"]),
    ("no objective at all", [*CALM[:9], 3000.0], CALM, Promise(), []),
])
def test_the_gate(
    what: str, new: list[float | None], before: list[float | None], promise: Promise, failures: list[str],
) -> None:
    found = compared(new, before, promise)
    assert len(found.failures) == len(failures), (what, found.failures)
    for said, expected in zip(found.failures, failures, strict=True):
        assert said.startswith(f"driver kill of canary_direct (direct): {expected}"), what


def test_a_gate_that_cries_wolf_at_most_as_often_as_it_says() -> None:
    """Three groups a night, all as before: the share of nights with any alarm, over 700 of them."""
    chance = random.Random(7)
    groups = [DRIVER, BROKER, replace_kind("executor")]
    nights = alarms = 0
    while nights < 700:
        nights += 1
        past = [each for group in groups for each in recoveries(1, [
            round(chance.lognormvariate(2.3, 0.3), 1) for _ in range(30)], group)]
        new = [each for group in groups for each in recoveries(2, [
            round(chance.lognormvariate(2.3, 0.3), 1) for _ in range(10)], group)]
        alarms += bool(compare([*past, *new], {}, {2}).failures)
    assert alarms / nights <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / nights) ** 0.5


def replace_kind(kind: str) -> Group:
    return DRIVER._replace(kind=kind)


def test_groups_are_not_mixed() -> None:
    found = compare([*recoveries(1, CALM), *recoveries(1, CALM, BROKER), *recoveries(2, CALM, BROKER)], {}, {2})
    assert [(each.group, len(each.new), len(each.before)) for each in found.groups] == [(BROKER, 10, 10)]


def test_only_the_last_ones_before_and_never_later_ones() -> None:
    found = compare([*recoveries(1, [50.0] * 10), *recoveries(2, CALM), *recoveries(3, CALM), *recoveries(4, [1.0])],
                    {}, {3}, last=10)
    [group] = found.groups
    assert {each.drill for each in group.before} == {2}


def test_by_version() -> None:
    past = [*recoveries(1, CALM, version="spark 4.1.1"), *recoveries(2, [3.0], version="spark 4.2.0")]
    new = recoveries(3, CALM, version="spark 4.2.0")
    [group] = compare([*past, *new], {}, {3}).groups
    assert [(version, each.count, each.median_s) for version, each in group.by_version.items()] == [
        ("spark 4.1.1", 10, 9.9), ("spark 4.2.0", 11, 9.8)]
    [against] = compare([*past, *new], {}, {3}, against="4.1.1").groups
    assert {each.version for each in against.before} == {"spark 4.1.1"}


def test_json_has_null_for_never() -> None:
    [group] = compared([None, None, 4.0], CALM).as_dict()["groups"]
    assert group["new"] == {"count": 3, "came_back": 1, "median_s": None, "worst_s": None, "detected_median_s": 1.0,
                            "caught_up_median_s": 6.0}
    assert not compared([None], CALM).as_dict()["passed"]


def test_what_is_taken_from_drills() -> None:
    fault = InflictedFault(1, "driver", "kill", "2026-11-23T03:00:00", inflicted_at="2026-11-23T03:00:01",
                           times=RecoveryTimes(0.5, 9.5, 12.0))
    drill = Drill("k", "canary_direct", "direct", 1, "2026-11-23T03:00:00", number=4, state=DrillState.FAILED,
                  surroundings=Surroundings({"spark": "4.2.0", "java": "17", "streamops": "0.1.0"}),
                  faults=(fault, replace(fault, number=2, inflicted_at=None)))
    [found] = recoveries_of([drill, replace(drill, state=DrillState.ENDED), replace(drill, state=DrillState.RUNNING)])
    assert (found.group, found.drill, found.fault, found.time_s) == (DRIVER, 4, 1, 9.5)
    assert found.version == "streamops 0.1.0, spark 4.2.0"
    assert version_of({}) == "unknown"


def test_the_newest_of_each_pipeline() -> None:
    other = DRIVER._replace(pipeline="canary_receiver")
    assert newest([*recoveries(1, CALM), *recoveries(3, CALM), *recoveries(2, CALM, other)]) == {2, 3}
    assert newest([]) == set()
    assert compare([], {}, set()).failures == ()


def test_seconds() -> None:
    assert [seconds(each) for each in (None, inf, 12.34)] == ["?", "never", "12.3 s"]
