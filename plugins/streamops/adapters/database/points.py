"""The recovery points in our own database.

    points = Points(database)
    number = points.insert(point, LagState.OK)             # 12
    points.summaries("orders", until=at, limit=1)          # the last one before a time
    RecoveryPoint.from_json(points.document(12))
    points.hold(12, "restore of orders", now)              # not deleted until released
    points.prune("orders", KeepRule(), now)

A point is one row and its partitions are inside its document, because they are only ever read together; the reasons and
figures are in docs/database.md.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, delete, exc, exists, select

from streamops.adapters.database.models import HoldRow, PointRow
from streamops.adapters.database.session import Database
from streamops.errors import RefusedError, StateError
from streamops.points.lag import LagState
from streamops.points.recovery_points import RecoveryPoint
from streamops.points.retention import KeepRule

#: Of 10,000 partitions (2.8 MB), level 3 makes 0.65 MB in 23 ms; level 6 needs 71 ms to save another 11 %.
_GZIP_LEVEL = 3
#: Rows in one delete: few enough to hold no lock for long, and far below SQLite's 32,766 variables.
_DELETED_AT_ONCE = 500


@dataclass(frozen=True)
class PointSummary:
    """A stored point without its partitions. `holders` are those who still need it."""

    id: int
    pipeline: str
    taken_at: datetime
    generation: int | None
    last_batch: int | None
    lag_records: int | None
    lag_s: float | None
    data_loss_s: float | None
    state: str | None
    holders: tuple[str, ...] = ()

    @property
    def needed(self) -> bool:
        return bool(self.holders)


class Points:
    """The store of recovery points. Every method is one transaction; its errors are those of `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, point: RecoveryPoint, state: LagState | None) -> int:
        """Store a point, judged as `state`; its number. A point that is there already, to the letter, is stored once.

        Raises RefusedError when another point of this pipeline has the very same time.
        """
        text = point.to_json()
        taken_at = datetime.fromisoformat(point.taken_at)
        row = PointRow(
            pipeline=point.pipeline, taken_at=taken_at, generation=point.generation, last_batch=point.last_batch,
            lag_records=point.lag_records, lag_s=point.lag_s, data_loss_s=point.data_loss_s,
            state=None if state is None else state.value,
            document=gzip.compress(text.encode(), _GZIP_LEVEL, mtime=0),
        )
        try:
            with self._database.writing() as session:
                session.add(row)
                session.flush()
                return row.id
        except exc.IntegrityError:
            there = self.summaries(point.pipeline, since=taken_at, until=taken_at)
            if not there:
                raise  # it was deleted just now, or it is no clash of times
            if self.document(there[0].id) == text:
                return there[0].id
            raise RefusedError(
                f"there is another recovery point of {point.pipeline} at {point.taken_at}",
                "It was kept, and this one was not stored: take the point again.",
            ) from None

    def document(self, number: int) -> str | None:
        """The public JSON of a point, or None where there is none of that number. Raises StateError."""
        with self._database.reading() as session:
            found = session.scalar(select(PointRow.document).where(PointRow.id == number))
        if found is None:
            return None
        try:
            return gzip.decompress(found).decode()
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise StateError(
                f"recovery point {number} is not gzipped text: {error}",
                "Something else changed this row. Choose another point.",
            ) from error

    def summaries(
        self,
        pipeline: str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> list[PointSummary]:
        """Stored points, newest first: of one pipeline or of all, between two times, both included."""
        asked = select(PointRow).order_by(PointRow.taken_at.desc(), PointRow.id.desc()).limit(limit)
        if pipeline is not None:
            asked = asked.where(PointRow.pipeline == pipeline)
        if since is not None:
            asked = asked.where(PointRow.taken_at >= since)
        if until is not None:
            asked = asked.where(PointRow.taken_at <= until)
        return self._summaries(asked)

    def summary(self, number: int) -> PointSummary | None:
        """One stored point, or None where there is none of that number."""
        found = self._summaries(select(PointRow).where(PointRow.id == number))
        return found[0] if found else None

    def hold(self, number: int, holder: str, now: datetime) -> None:
        """Keep a point until `holder` releases it; nothing happens when it is held by it already.

        Raises RefusedError when there is no such point (any more).
        """
        try:
            with self._database.writing() as session:
                if session.get(HoldRow, (number, holder)) is None:
                    session.add(HoldRow(point_id=number, holder=holder, held_at=now))
        except exc.IntegrityError:
            held = self.summary(number)
            if held is None or holder not in held.holders:
                raise RefusedError(f"there is no recovery point {number}",
                                   "List them, and choose another: streamops offsets points PIPELINE") from None

    def release(self, number: int, holder: str) -> bool:
        """`holder` needs the point no more; False where it did not hold it."""
        held = (HoldRow.point_id == number, HoldRow.holder == holder)
        with self._database.writing() as session:
            return bool(session.scalars(delete(HoldRow).where(*held).returning(HoldRow.point_id)).all())

    def delete(self, numbers: Sequence[int]) -> int:
        """Delete points but those that something needs by now; how many went."""
        deleted = 0
        for first in range(0, len(numbers), _DELETED_AT_ONCE):
            chosen = PointRow.id.in_(sorted(numbers)[first : first + _DELETED_AT_ONCE])
            with self._database.writing() as session:
                # PostgreSQL: waits for a hold that is being put on one of them. The next statement then sees it.
                session.execute(select(PointRow.id).where(chosen).order_by(PointRow.id).with_for_update())
                held = exists().where(HoldRow.point_id == PointRow.id)
                gone = session.scalars(delete(PointRow).where(chosen, ~held).returning(PointRow.id))
                deleted += len(gone.all())
        return deleted

    def prune(self, pipeline: str, rule: KeepRule, now: datetime) -> int:
        """Delete what a pipeline's rule no longer keeps; how many went. Two at once delete each point once."""
        return self.delete(rule.expired(self.summaries(pipeline), now))

    def _summaries(self, asked: Select[PointRow]) -> list[PointSummary]:
        with self._database.reading() as session:
            rows = session.scalars(asked).all()
            holds = session.execute(select(HoldRow.point_id, HoldRow.holder).order_by(HoldRow.holder)).all()
        holders: dict[int, list[str]] = {}
        for number, holder in holds:
            holders.setdefault(number, []).append(holder)
        return [
            PointSummary(
                row.id, row.pipeline, row.taken_at, row.generation, row.last_batch, row.lag_records, row.lag_s,
                row.data_loss_s, row.state, tuple(holders.get(row.id, ())),
            )
            for row in rows
        ]
