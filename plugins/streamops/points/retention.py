"""Which recovery points are old enough to go.

All of them stay for a while, then the first of every hour, then the first of every day, by UTC. The first, because no
later point can take its place: the first point of a day is also the first of its hour, so what was kept for one reason
is there for the next, and a second run removes nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

_HOUR_S = 3600
_DAY_S = 24 * _HOUR_S


class Kept(Protocol):
    """What is known of a point: `needed` says that something still holds it."""

    @property
    def id(self) -> int: ...
    @property
    def taken_at(self) -> datetime: ...
    @property
    def needed(self) -> bool: ...


@dataclass(frozen=True)
class KeepRule:
    """Up to which age every point is kept, then one an hour, then one a day."""

    all_for: timedelta = timedelta(days=1)
    hourly_for: timedelta = timedelta(days=30)
    daily_for: timedelta = timedelta(days=365)

    def expired(self, points: Iterable[Kept], now: datetime) -> list[int]:
        """The ids of one pipeline's points that may go, oldest first; given all of them, to know the first of an hour.

        A point that something needs stays, and so does the last one, however long the pipeline has been idle.
        """
        found = sorted(points, key=lambda point: (point.taken_at, point.id))
        hours: set[int] = set()
        days: set[int] = set()
        gone = []
        for point in found:
            at_s = int(point.taken_at.timestamp())
            hour, day = at_s // _HOUR_S, at_s // _DAY_S
            age = now - point.taken_at
            kept = (
                point.needed
                or point is found[-1]
                or age <= self.all_for
                or (age <= self.hourly_for and hour not in hours)
                or (age <= self.daily_for and day not in days)
            )
            hours.add(hour)
            days.add(day)
            if not kept:
                gone.append(point.id)
        return gone
