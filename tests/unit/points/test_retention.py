"""Which recovery points are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest

from streamops.points.retention import KeepRule

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Stored:
    id: int
    taken_at: datetime
    needed: bool = False


def at(*ages: timedelta) -> list[Stored]:
    return [Stored(number, NOW - age) for number, age in enumerate(ages)]


def minutes(count: int) -> timedelta:
    return timedelta(minutes=count)


@pytest.mark.parametrize(("case", "points", "expired"), [
    ("none", [], []),
    ("within a day, all are kept", at(minutes(1), minutes(2), timedelta(days=1)), []),
    # 12:30, 12:45 and 13:05 of the day before yesterday
    ("after a day, the first of each hour", at(timedelta(0), minutes(2850), minutes(2835), minutes(2815)), [2]),
    # 01:00 and 02:00 of one day, 01:00 of the next
    ("after a month, the first of each day",
     at(timedelta(0), timedelta(days=40, hours=11), timedelta(days=40, hours=10), timedelta(days=39, hours=11)), [2]),
    ("after a year, none", at(timedelta(0), timedelta(days=366), timedelta(days=367)), [2, 1]),
    ("the last one stays, whatever its age", at(timedelta(days=800), timedelta(days=900)), [1]),
    ("what is needed stays", [*at(timedelta(0)), Stored(7, NOW - timedelta(days=900), needed=True)], []),
    ("what is needed is still the first of its hour",
     [*at(timedelta(0), minutes(2845)), Stored(7, NOW - minutes(2850), needed=True)], [1]),
    ("of the future, all are kept", at(-minutes(1), -minutes(2)), []),
], ids=lambda value: value if isinstance(value, str) else "")
def test_what_goes(case: str, points: list[Stored], expired: list[int]) -> None:
    assert KeepRule().expired(points, NOW) == expired


def test_pruning_every_minute_keeps_what_pruning_once_keeps() -> None:
    rule = KeepRule(timedelta(hours=2), timedelta(hours=30), timedelta(days=4))
    taken = [NOW - minutes(count) for count in range(5 * 1440, 0, -17)]
    kept: list[Stored] = []
    for number, moment in enumerate(taken):
        kept.append(Stored(number, moment))
        gone = set(rule.expired(kept, moment))
        kept = [point for point in kept if point.id not in gone]
    kept = [point for point in kept if point.id not in rule.expired(kept, NOW)]
    every = [Stored(number, moment) for number, moment in enumerate(taken)]
    assert kept == [point for point in every if point.id not in rule.expired(every, NOW)]
    assert len(kept) < 50 < len(every)


def test_hours_are_those_of_utc() -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    points = [Stored(number, (NOW - minutes(20 * number)).astimezone(zone)) for number in range(7)]
    rule = KeepRule(timedelta(0), timedelta(hours=2), timedelta(0))
    assert set(range(7)) - set(rule.expired(points, NOW)) == {0, 3, 6}
