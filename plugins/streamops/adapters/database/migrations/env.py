"""Run by Alembic for every command. `upgrade.py` hands over a connection whose transaction holds the lock."""

from __future__ import annotations

from alembic import context

from streamops.adapters.database.models import VERSION_TABLE, Model

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Model.metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
