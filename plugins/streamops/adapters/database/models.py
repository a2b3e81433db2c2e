"""The tables of our own database, as they are at `VERSION`.

A change here needs a migration: a new file in `migrations/versions/`, and its number as `VERSION`. A test compares the
tables that the migrations make with these.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

#: The migration that this code works with.
VERSION = "0003"

#: Where Alembic notes the version. Its own name for it would be that of Airflow, with which a database may be shared.
VERSION_TABLE = "streamops_version"

#: SQLite counts up by itself only in a column that is called INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")


class UtcTime(TypeDecorator[datetime]):
    """A moment. SQLite keeps no time zone, so there it is written in UTC and read as that."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Model(DeclarativeBase):
    """What every table has in common."""


class PointRow(Model):
    """One recovery point: its public JSON, gzipped, and a copy of what is asked for in queries."""

    __tablename__ = "recovery_points"
    __table_args__: Any = (
        UniqueConstraint("pipeline", "taken_at", name="recovery_points_pipeline_taken_at"),
        {"sqlite_autoincrement": True},  # a number that a person wrote down never comes to name another point
    )

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    pipeline: Mapped[str] = mapped_column(Text)
    taken_at: Mapped[datetime] = mapped_column(UtcTime)
    generation: Mapped[int | None] = mapped_column(BigInteger)
    last_batch: Mapped[int | None] = mapped_column(BigInteger)
    lag_records: Mapped[int | None] = mapped_column(BigInteger)
    lag_s: Mapped[float | None] = mapped_column(Double)
    data_loss_s: Mapped[float | None] = mapped_column(Double)
    state: Mapped[str | None] = mapped_column(Text)
    document: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)


class HoldRow(Model):
    """Something that still needs a point, which therefore is not deleted: a restore's undo, a drill."""

    __tablename__ = "point_holds"
    __table_args__: Any = (Index("point_holds_holder", "holder"),)

    point_id: Mapped[int] = mapped_column(_Id, ForeignKey("recovery_points.id", name="point_holds_point"),
                                          primary_key=True)
    holder: Mapped[str] = mapped_column(Text, primary_key=True)
    held_at: Mapped[datetime] = mapped_column(UtcTime)


class DrillRow(Model):
    """One drill: the verdict, gzipped, and a copy of what is asked for in queries."""

    __tablename__ = "drills"
    __table_args__: Any = (
        UniqueConstraint("key", name="drills_key"),
        Index("drills_pipeline_started_at", "pipeline", "started_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    key: Mapped[str] = mapped_column(Text)
    pipeline: Mapped[str] = mapped_column(Text)
    approach: Mapped[str] = mapped_column(Text)
    canary: Mapped[bool] = mapped_column(Boolean)
    seed: Mapped[int] = mapped_column(BigInteger)
    ledger: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)
    state: Mapped[str] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    streamops: Mapped[str | None] = mapped_column(Text)
    spark: Mapped[str | None] = mapped_column(Text)
    kafka: Mapped[str | None] = mapped_column(Text)
    airflow: Mapped[str | None] = mapped_column(Text)
    surroundings: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str | None] = mapped_column(Text)
    lost: Mapped[int | None] = mapped_column(BigInteger)
    doubled: Mapped[int | None] = mapped_column(BigInteger)
    reordered: Mapped[int | None] = mapped_column(BigInteger)
    altered: Mapped[int | None] = mapped_column(BigInteger)
    verdict: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)


class FaultRow(Model):
    """One fault of a drill, from before it was inflicted on. Times are those of the drill, `_s` seconds since then."""

    __tablename__ = "drill_faults"
    __table_args__: Any = (Index("drill_faults_kind_mode", "kind", "mode"),)

    drill_id: Mapped[int] = mapped_column(_Id, ForeignKey("drills.id", name="drill_faults_drill"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Text)
    mode: Mapped[str] = mapped_column(Text)
    target: Mapped[str] = mapped_column(Text)
    undo: Mapped[str] = mapped_column(Text)
    planned_at: Mapped[datetime] = mapped_column(UtcTime)
    inflicted_at: Mapped[datetime | None] = mapped_column(UtcTime)
    healed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    detected_s: Mapped[float | None] = mapped_column(Double)
    first_batch_s: Mapped[float | None] = mapped_column(Double)
    caught_up_s: Mapped[float | None] = mapped_column(Double)
    longest_gap_s: Mapped[float | None] = mapped_column(Double)
    sign: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
