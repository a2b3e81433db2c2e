"""What is due: each pipeline has schedules of its own, and one DAG of each kind serves them all.

Pure: schedules and times are arguments. Times are UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

#: Airflow's presets as cron expressions.
_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}


def crons(schedules: Iterable[str | None]) -> list[str]:
    """Every schedule once, as cron expressions: what a DAG that serves all of them is started by."""
    return sorted({_PRESETS.get(each, each) for each in schedules if each is not None})


def is_due(schedule: str | None, last: datetime | None, now: datetime) -> bool:
    """Whether a time of the schedule has come since the last time it was done; None is never."""
    if schedule is None:
        return False
    if last is None:
        return True
    from croniter import croniter  # type: ignore[import-untyped]  # imported here because it takes 100 ms

    following: datetime = croniter(_PRESETS.get(schedule, schedule), last).get_next(datetime)
    return following <= now
