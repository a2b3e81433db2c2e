"""One drill: what was done to a pipeline, on which versions and settings, how long it took to come back, the verdict.

The format is public, `streamops.drill/1`, one JSON object with the fields of `Drill` (docs/drills.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from streamops.drills.recovery_times import RecoveryTimes
from streamops.drills.verdict import Verdict
from streamops.state import stored_json

FORMAT = "streamops.drill/1"
_UNKNOWN_TIMES = RecoveryTimes()


class DrillState(StrEnum):
    """How far a drill got, or how it ended."""

    RUNNING = "running"
    PASSED = "passed"  # every fault was healed, the pipeline came back, the verdict is exact
    FAILED = "failed"  # a record is wrong, or the pipeline did not come back in time
    ENDED = "ended"  # cancelled or killed before it had a verdict; its faults are healed


@dataclass(frozen=True)
class Surroundings:
    """Under what a drill ran: versions of programs, and settings by name, as text."""

    versions: Mapping[str, str] = field(default_factory=dict)  # streamops, spark, kafka, airflow, python, java
    settings: Mapping[str, str] = field(default_factory=dict)  # interval_s, executors, cores, brokers, storage, rate, …


@dataclass(frozen=True)
class InflictedFault:
    """One fault, from before it was inflicted on. Times are UTC, ISO 8601.

    `kind` is what was hit (`driver`, `broker`), `mode` how (`kill`, `pause`, `restart`), `target` which one, in words.
    `undo` is what healing it needs, as JSON: whoever heals may be another process, a day later. `inflicted_at` and
    `healed_at` are None until it was; `error` says why it could not be, or why the pipeline did not come back.
    """

    number: int
    kind: str
    mode: str
    planned_at: str
    target: str = ""
    undo: Mapping[str, Any] = field(default_factory=dict)
    inflicted_at: str | None = None
    healed_at: str | None = None
    times: RecoveryTimes = _UNKNOWN_TIMES
    error: str | None = None


@dataclass(frozen=True)
class Drill:
    """One drill of one pipeline. `key` names it in ledgers and logs, and is unique; `number` is the database's.

    `canary` is whether the pipeline was made for drills. `ledger` is the path of its ledger, None without one.
    """

    key: str
    pipeline: str
    approach: str
    seed: int
    started_at: str
    canary: bool = True
    ledger: str | None = None
    surroundings: Surroundings = field(default_factory=Surroundings)
    state: DrillState = DrillState.RUNNING
    finished_at: str | None = None
    faults: tuple[InflictedFault, ...] = ()
    verdict: Verdict | None = None
    error: str | None = None
    number: int | None = None

    @property
    def version(self) -> str:
        """The streamops that it ran under."""
        return self.surroundings.versions.get("streamops", "?")

    def to_json(self) -> str:
        """The drill in the public format, on one line."""
        data = {**asdict(self), "verdict": self.verdict and self.verdict.as_dict()}
        return json.dumps({"format": FORMAT, **data}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Drill:
        """The drill that `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, FORMAT, "a drill") as data:
            return cls(**{
                **data,
                "surroundings": Surroundings(**data["surroundings"]),
                "state": DrillState(data["state"]),
                "faults": tuple(InflictedFault(**{**each, "times": RecoveryTimes(**each["times"])})
                                for each in data["faults"]),
                "verdict": data["verdict"] and Verdict.from_dict(data["verdict"]),
            })


def state_after(verdict: Verdict | None, faults: tuple[InflictedFault, ...]) -> DrillState:
    """How a drill ended that was not cut short: passed only when every fault was survived and the verdict is exact."""
    came_back = all(each.error is None and each.times.first_batch_s is not None for each in faults)
    return DrillState.PASSED if came_back and verdict is not None and verdict.outcome == "exact" else DrillState.FAILED
