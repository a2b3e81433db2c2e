"""The drills in our own database.

    drills = Drills(database)
    number = drills.begin(drill)                        # 12
    drills.plan_fault(12, InflictedFault(1, "driver", "kill", now))
    drills.inflicted(12, 1, at, "driver-20261123-0007", {"pid": 4711})
    drills.healed(12, 1, at)
    drills.measured(12, 1, times)
    drills.finish(12, DrillState.PASSED, at, verdict)

A fault is stored before it is inflicted, so that the next drill finds what one that was killed has left.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Select, exc, select
from sqlalchemy.orm import Session, undefer

from streamops.adapters.database.models import DrillRow, FaultRow
from streamops.adapters.database.session import Database
from streamops.drills.drill import Drill, DrillState, InflictedFault, Surroundings
from streamops.drills.recovery_times import RecoveryTimes
from streamops.drills.verdict import Kind, Verdict
from streamops.errors import ConfigurationError, RefusedError, StateError
from streamops.state import stored_json

_TIMES = tuple(each.name for each in fields(RecoveryTimes))
#: Programs whose versions have a column of their own.
_PROGRAMS = ("streamops", "spark", "kafka", "airflow")


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
        around = drill.surroundings
        row = DrillRow(
            key=drill.key, pipeline=drill.pipeline, approach=drill.approach, canary=drill.canary, seed=drill.seed,
            ledger=drill.ledger, started_at=datetime.fromisoformat(drill.started_at), state=drill.state.value,
            surroundings=json.dumps({"versions": dict(around.versions), "settings": dict(around.settings)}),
            **{name: around.versions.get(name) for name in _PROGRAMS})
        try:
            with self._database.writing() as session:
                session.add(row)
                session.flush()
                return row.id
        except exc.IntegrityError:
            raise RefusedError(f"there is a drill {drill.key} already", "Give this one another key.") from None

    def plan_fault(self, drill: int, fault: InflictedFault) -> None:
        """Note a fault before it is inflicted, so that whoever comes next can heal it.

        Raises RefusedError where there is no such drill, or a fault of that number.
        """
        try:
            with self._database.writing() as session:
                session.add(FaultRow(
                    drill_id=drill, number=fault.number, kind=fault.kind, mode=fault.mode, target=fault.target,
                    undo=json.dumps(dict(fault.undo)), planned_at=datetime.fromisoformat(fault.planned_at)))
        except exc.IntegrityError:
            raise RefusedError(f"drill {drill} is not there, or has a fault {fault.number} already") from None

    def inflicted(self, drill: int, fault: int, at: datetime, target: str, undo: Mapping[str, Any]) -> None:
        """Note that it was inflicted (upon which target), and what healing it needs."""
        with self._database.writing() as session:
            row = _fault(session, drill, fault)
            row.inflicted_at, row.target, row.undo = at, target, json.dumps(dict(undo))

    def healed(self, drill: int, fault: int, at: datetime) -> None:
        """Note that it is healed. Safe to repeat: the first time stands."""
        with self._database.writing() as session:
            row = _fault(session, drill, fault)
            row.healed_at = row.healed_at or at

    def measured(self, drill: int, fault: int, times: RecoveryTimes, error: str | None = None) -> None:
        """Store a fault's recovery times, or why the pipeline did not come back."""
        with self._database.writing() as session:
            row = _fault(session, drill, fault)
            for name in _TIMES:
                setattr(row, name, getattr(times, name))
            row.error = error

    def finish(
        self, drill: int, state: DrillState, at: datetime, verdict: Verdict | None = None, error: str | None = None,
    ) -> None:
        """End a drill. Safe to repeat: the first end stands."""
        with self._database.writing() as session:
            row = session.get(DrillRow, drill)
            if row is None:
                raise _unknown(drill)
            if row.finished_at is not None:
                return
            row.state, row.finished_at, row.error = state.value, at, error
            if verdict is not None:
                row.verdict = gzip.compress(json.dumps(verdict.as_dict()).encode(), mtime=0)
                row.outcome = verdict.outcome.value
                row.lost, row.doubled, row.reordered, row.altered = (
                    verdict.count(kind) if verdict.partitions else None
                    for kind in (Kind.LOST, Kind.DOUBLED, Kind.REORDERED, Kind.ALTERED))

    def open_faults(self, pipeline: str | None = None) -> list[OpenFault]:
        """Faults without an end, of one pipeline or of all, oldest first: what the next drill heals first."""
        asked = select(FaultRow, DrillRow).join(DrillRow).where(FaultRow.healed_at.is_(None)).order_by(
            FaultRow.planned_at, FaultRow.drill_id, FaultRow.number)
        if pipeline is not None:
            asked = asked.where(DrillRow.pipeline == pipeline)
        with self._database.reading() as session:
            return [OpenFault(drill.id, drill.key, drill.pipeline, _as_fault(row))
                    for row, drill in session.execute(asked).all()]

    def drill(self, number: int) -> Drill | None:
        """One drill, whole; None where there is none of that number. Raises StateError."""
        asked = select(DrillRow).where(DrillRow.id == number).options(undefer(DrillRow.verdict))
        found = self._drills(asked, with_verdicts=True)
        return found[0] if found else None

    def drills(self, pipeline: str | None = None, *, limit: int | None = None) -> list[Drill]:
        """Drills with their faults and without their verdicts, newest first."""
        return self._drills(self._newest_first(pipeline, limit), with_verdicts=False)

    def counts(self, pipeline: str | None = None, *, limit: int | None = None) -> dict[int, VerdictCounts]:
        """What the verdicts of the same drills say in numbers; those without a verdict are left out."""
        with self._database.reading() as session:
            rows = session.scalars(self._newest_first(pipeline, limit)).all()
        return {row.id: VerdictCounts(row.outcome, row.lost, row.doubled, row.reordered, row.altered)
                for row in rows if row.outcome is not None}

    @staticmethod
    def _newest_first(pipeline: str | None, limit: int | None) -> Select[DrillRow]:
        asked = select(DrillRow).order_by(DrillRow.started_at.desc(), DrillRow.id.desc()).limit(limit)
        return asked if pipeline is None else asked.where(DrillRow.pipeline == pipeline)

    def _drills(self, asked: Select[DrillRow], *, with_verdicts: bool) -> list[Drill]:
        with self._database.reading() as session:
            rows = session.scalars(asked).all()
            faults: dict[int, list[InflictedFault]] = {row.id: [] for row in rows}
            for row in _faults_of(session, list(faults)):
                faults[row.drill_id].append(_as_fault(row))
        return [_as_drill(row, tuple(faults[row.id]), row.verdict if with_verdicts else None) for row in rows]


@dataclass(frozen=True)
class VerdictCounts:
    """A verdict in numbers; None where records were not judged by identity."""

    outcome: str
    lost: int | None
    doubled: int | None
    reordered: int | None
    altered: int | None


def _faults_of(session: Session, drills: Sequence[int]) -> list[FaultRow]:
    found: list[FaultRow] = []
    for first in range(0, len(drills), 500):  # far below SQLite's 32,766 variables
        asked = select(FaultRow).where(FaultRow.drill_id.in_(drills[first : first + 500])).order_by(FaultRow.number)
        found += session.scalars(asked).all()
    return found


def _fault(session: Session, drill: int, fault: int) -> FaultRow:
    row = session.get(FaultRow, (drill, fault))
    if row is None:
        raise ConfigurationError(f"drill {drill} has no fault {fault}", "Plan it first.")
    return row


def _unknown(drill: int) -> ConfigurationError:
    return ConfigurationError(f"there is no drill {drill}", "List them: streamops drill list")


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat(timespec="milliseconds")


def _as_fault(row: FaultRow) -> InflictedFault:
    with stored_json.reading(row.undo, None, f"what heals fault {row.number} of drill {row.drill_id}") as undo:
        return InflictedFault(
            row.number, row.kind, row.mode, str(_time(row.planned_at)), row.target, undo, _time(row.inflicted_at),
            _time(row.healed_at), RecoveryTimes(**{name: getattr(row, name) for name in _TIMES}), row.error)


def _as_drill(row: DrillRow, faults: tuple[InflictedFault, ...], document: bytes | None) -> Drill:
    with stored_json.reading(row.surroundings, None, f"the surroundings of drill {row.id}") as around:
        surroundings = Surroundings(**around)
    return Drill(
        row.key, row.pipeline, row.approach, row.seed, str(_time(row.started_at)), row.canary, row.ledger,
        surroundings, DrillState(row.state), _time(row.finished_at), faults, _verdict(row.id, document), row.error,
        row.id)


def _verdict(number: int, document: bytes | None) -> Verdict | None:
    if document is None:
        return None
    try:
        text = gzip.decompress(document).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise StateError(f"the verdict of drill {number} is not gzipped text: {error}",
                         "Something else changed this row. Judge again, by its ledger: streamops drill judge") from None
    with stored_json.reading(text, None, f"the verdict of drill {number}") as data:
        return Verdict.from_dict(data)
