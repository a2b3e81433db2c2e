"""Bringing our own database to the version that this code works with.

Safe to repeat, to interrupt, and to run from several processes at once: all migrations run in one transaction that
holds a lock from its first statement on, so one process does the work and the others find it done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from streamops.adapters.database.models import VERSION
from streamops.adapters.database.session import WAIT_S, Database
from streamops.errors import RefusedError

_MIGRATIONS = Path(__file__).parent / "migrations"

#: Names the lock among all advisory locks of a PostgreSQL database: "streamop" in ASCII, which nobody else takes.
_LOCK = int.from_bytes(b"streamop", "big")


def versions() -> list[str]:
    """Every version there is, oldest first: `["0001", "0002"]`."""
    scripts = ScriptDirectory(str(_MIGRATIONS)).walk_revisions()
    return [script.revision for script in reversed(list(scripts))]


def upgrade(database: Database, to: str = VERSION) -> tuple[str | None, str]:
    """Bring the database to a version; what it was at before, and what it is at now.

    Raises RefusedError when a newer streamops has upgraded it beyond what this one knows.
    """
    with locked(database) as connection:
        before = database.version_on(connection)
        known = versions()
        if before is not None and before not in known:
            raise RefusedError(
                f"the database {database} is at version {before}; this streamops knows versions up to {known[-1]}",
                "A newer streamops has upgraded it. Use that one; versions do not go back.",
            )
        migrate(connection, to)
        return before, str(database.version_on(connection))


@contextlib.contextmanager
def locked(database: Database) -> Iterator[Connection]:
    """A transaction that is the only upgrade of this database; another one waits for it, up to a minute."""
    with database.connected("EXCLUSIVE") as connection:
        if not database.is_sqlite:
            connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT_S}s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        yield connection


def migrate(connection: Connection, to: str) -> None:
    """Run the migrations that a database lacks up to a version, in the connection's transaction."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, to)
