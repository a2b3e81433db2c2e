"""When the next run of a pipeline may start, after runs that failed.

A pipeline that is to run always has a continuous DAG, whose next run follows the last one at once: without this, a job
that cannot start would fail some hundred times an hour. Pure: past runs and the time are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

#: The wait after the first failed run; it doubles with each further one, up to the longest.
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=10)

#: A run that went on for so long before it failed has worked, and starts the count anew.
HAS_WORKED = timedelta(minutes=10)

#: How many runs are looked at: more would not lengthen the wait.
MOST_RUNS = 6


@dataclass(frozen=True)
class PastRun:
    """A run that has ended."""

    failed: bool
    started_at: datetime
    ended_at: datetime


def not_before(past: Iterable[PastRun]) -> datetime | None:
    """The time before which the next run must not start; None when it may start now. `past` is newest first."""
    latest: datetime | None = None
    wait = FIRST_WAIT / 2
    for run in past:
        if not run.failed or run.ended_at - run.started_at >= HAS_WORKED:
            break
        latest = latest or run.ended_at
        wait = min(wait * 2, LONGEST_WAIT)
    return latest + wait if latest is not None else None
