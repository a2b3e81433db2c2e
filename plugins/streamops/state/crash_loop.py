"""A driver that dies again and again: when that is a loop, and how long its next process waits.

Spark relaunches a supervised driver that crashed within seconds, and without end: one that dies after its start-up each
time would load the cluster, Kafka and the storage with nothing but start-ups. So each process counts, in the driver's
record, how those before it died (see drivers.py), and waits. Pure: the time is an argument.

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

#: Crashes further apart than this have nothing to do with each other.
WINDOW = timedelta(minutes=10)

#: So many within the window are a loop: one may be chance, and a second one its echo.
IN_A_LOOP = 3

#: Before the next start in a loop without progress; doubled each time, up to the longest. Airflow's waits are alike.
FIRST_WAIT_S, LONGEST_WAIT_S = 10.0, 300.0

#: How many crashes a record keeps: more would not lengthen the wait.
KEPT = 10


@dataclass(frozen=True)
class Crash:
    """The death of one process of a driver. `at` is UTC, ISO 8601: when it died, or when that was found out.

    `error` is what it said itself, None where it could not: killed, or out of memory. `has_progressed`: it had logged a
    batch.
    """

    at: str
    error: str | None = None
    has_progressed: bool = False


def recent(crashes: Sequence[Crash], now: datetime) -> list[Crash]:
    """Those that the newest process is to be judged by, oldest first."""
    return [crash for crash in crashes if now - datetime.fromisoformat(crash.at) <= WINDOW]


def wait_s(crashes: Sequence[Crash], now: datetime) -> float:
    """Seconds for which the next process waits: none unless the last ones died without logging a batch."""
    fruitless = 0
    for crash in reversed(recent(crashes, now)):
        if crash.has_progressed:
            break
        fruitless += 1
    if fruitless < IN_A_LOOP:
        return 0.0
    doubled: int = 2 ** (fruitless - IN_A_LOOP)
    return min(FIRST_WAIT_S * doubled, LONGEST_WAIT_S)


def described(crashes: Sequence[Crash], now: datetime) -> str | None:
    """The loop in words, with the driver's own last error; None when there is none."""
    found = recent(crashes, now)
    if len(found) < IN_A_LOOP:
        return None
    often = f"{len(found)} times" if len(found) < KEPT else f"at least {KEPT} times"
    error = next((crash.error for crash in reversed(found) if crash.error is not None), None)
    said = f"at last it said: {error}" if error is not None else "it could not say why: killed, or out of memory"
    return f"the driver died {often} in {WINDOW.seconds // 60} min; {said}"
