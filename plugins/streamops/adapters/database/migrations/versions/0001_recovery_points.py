"""Recovery points: one row each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table. The unique key is also the index by which a pipeline's points are listed."""
    op.create_table(
        "recovery_points",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("generation", sa.BigInteger),
        sa.Column("last_batch", sa.BigInteger),
        sa.Column("lag_records", sa.BigInteger),
        sa.Column("lag_s", sa.Double),
        sa.Column("data_loss_s", sa.Double),
        sa.Column("state", sa.Text),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("pipeline", "taken_at", name="recovery_points_pipeline_taken_at"),
        sqlite_autoincrement=True,
    )
