"""Holds: what still needs a recovery point."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table. Its foreign key is what refuses to delete a point in the moment in which it is held."""
    op.create_table(
        "point_holds",
        sa.Column("point_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("holder", sa.Text, primary_key=True),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["point_id"], ["recovery_points.id"], name="point_holds_point"),
    )
    op.create_index("point_holds_holder", "point_holds", ["holder"])
