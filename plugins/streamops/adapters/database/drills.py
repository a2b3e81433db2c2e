"""The drills in our own database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from streamops.adapters.database.session import Database
from streamops.drills import Drill, DrillState, InflictedFault
from streamops.recovery_times import RecoveryTimes
from streamops.verdict import Verdict


@dataclass(frozen=True)
class OpenFault:
    """A fault that was planned or inflicted and not healed, with its drill."""

    drill: int
    key: str
    pipeline: str
    fault: InflictedFault


class Drills:
    """The store of drills. Every method is one transaction; its errors are those of `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, drill: Drill) -> int:
        """Store a drill that begins, without faults; its number. Raises RefusedError when its key is there already."""
        raise NotImplementedError

    def plan_fault(self, drill: int, fault: InflictedFault) -> None:
        """Note a fault before it is inflicted, so that whoever comes next can heal it."""
        raise NotImplementedError

    def inflicted(self, drill: int, fault: int, at: datetime, target: str, undo: Mapping[str, Any]) -> None:
        """Note that it was inflicted (upon which target), and what healing it needs."""
        raise NotImplementedError

    def healed(self, drill: int, fault: int, at: datetime) -> None:
        """Note that it is healed. Safe to repeat: the first time stands."""
        raise NotImplementedError

    def measured(self, drill: int, fault: int, times: RecoveryTimes, error: str | None = None) -> None:
        """Store a fault's recovery times, or why the pipeline did not come back."""
        raise NotImplementedError

    def finish(
        self, drill: int, state: DrillState, at: datetime, verdict: Verdict | None = None, error: str | None = None,
    ) -> None:
        """End a drill. Safe to repeat: the first end stands."""
        raise NotImplementedError

    def open_faults(self, pipeline: str | None = None) -> list[OpenFault]:
        """Faults without an end, of one pipeline or of all, oldest first: what the next drill heals first."""
        raise NotImplementedError

    def drill(self, number: int) -> Drill | None:
        """One drill, whole."""
        raise NotImplementedError

    def drills(self, pipeline: str | None = None, *, limit: int | None = None) -> list[Drill]:
        """Drills with their faults and without their verdicts' examples, newest first."""
        raise NotImplementedError
