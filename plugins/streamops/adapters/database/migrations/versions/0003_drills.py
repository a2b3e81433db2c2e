"""Drills and their faults."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables. A fault is a row before it is inflicted, so that whoever comes after a kill can heal it."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    time = sa.DateTime(timezone=True)
    op.create_table(
        "drills",
        sa.Column("id", number, primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("approach", sa.Text, nullable=False),
        sa.Column("canary", sa.Boolean, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("ledger", sa.Text),
        sa.Column("started_at", time, nullable=False),
        sa.Column("finished_at", time),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("streamops", sa.Text),
        sa.Column("spark", sa.Text),
        sa.Column("kafka", sa.Text),
        sa.Column("airflow", sa.Text),
        sa.Column("surroundings", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("lost", sa.BigInteger),
        sa.Column("doubled", sa.BigInteger),
        sa.Column("reordered", sa.BigInteger),
        sa.Column("altered", sa.BigInteger),
        sa.Column("verdict", sa.LargeBinary),
        sa.UniqueConstraint("key", name="drills_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("drills_pipeline_started_at", "drills", ["pipeline", "started_at"])
    op.create_table(
        "drill_faults",
        sa.Column("drill_id", number, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("undo", sa.Text, nullable=False),
        sa.Column("planned_at", time, nullable=False),
        sa.Column("inflicted_at", time),
        sa.Column("healed_at", time),
        sa.Column("detected_s", sa.Double),
        sa.Column("first_batch_s", sa.Double),
        sa.Column("caught_up_s", sa.Double),
        sa.Column("longest_gap_s", sa.Double),
        sa.Column("sign", sa.Text),
        sa.Column("error", sa.Text),
        sa.ForeignKeyConstraint(["drill_id"], ["drills.id"], name="drill_faults_drill"),
    )
    op.create_index("drill_faults_kind_mode", "drill_faults", ["kind", "mode"])
