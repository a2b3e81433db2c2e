"""Transactions on our own database.

    database = Database.of(connection("streamops_db"))
    with database.writing() as session:
        session.add(…)                     # committed at the end of the block, rolled back when it raises

Every transaction has a connection of its own, so nothing is held between two and nothing is carried over a fork.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine, create_engine, event, exc, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from streamops.adapters.database.address import DatabaseConnection, url_of
from streamops.adapters.database.models import VERSION, VERSION_TABLE
from streamops.errors import ConfigurationError, StateError, StreamopsError, UnavailableError

#: How SQLite begins. A writer takes its place at once: one that begins by reading cannot be made to wait when it then
#: writes behind another's back, and fails whatever the timeout is.
Begin = Literal["DEFERRED", "IMMEDIATE", "EXCLUSIVE"]
_BEGIN = "streamops_begin"

#: How long a writer waits for the others. As for Airflow's database: on a busy machine the usual 5 s are not enough.
WAIT_S = 60
#: A PostgreSQL that is there answers in milliseconds; one behind a firewall that drops packets would cost minutes.
_CONNECT_S = 10


class Database:
    """The database at a URL.

    Raises UnavailableError where it does not answer, ConfigurationError where it is not what this version of streamops
    works with, StateError for what it refuses to store.
    """

    def __init__(self, url: URL) -> None:
        self.url = url
        self._version_is_right = False

    @classmethod
    def of(cls, found: DatabaseConnection) -> Database:
        """The database of an Airflow connection. Raises ConfigurationError."""
        return cls(url_of(found))

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that waits for no writer."""
        with self._session("DEFERRED") as session:
            yield session

    @contextlib.contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that writes. On SQLite there is one of these at a time, and others wait."""
        with self._session("IMMEDIATE") as session:
            yield session

    def version(self) -> str | None:
        """The migration that the database is at; None before the first."""
        if self.is_sqlite and not Path(str(self.url.database)).exists():
            return None  # connecting would leave an empty file, at whatever path was mistyped
        with self.connected("DEFERRED") as connection:
            return self.version_on(connection)

    @staticmethod
    def version_on(connection: Connection) -> str | None:
        """The migration that a connection's transaction sees; None before the first."""
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
        return None if found is None else str(found)

    @contextlib.contextmanager
    def connected(self, begin: Begin) -> Iterator[Connection]:
        """A connection in a transaction, without asking for the version: for migrations."""
        with self._worded(), self._engine.connect().execution_options(**{_BEGIN: begin}) as connection, \
                connection.begin():
            yield connection

    @contextlib.contextmanager
    def _session(self, begin: Begin) -> Iterator[Session]:
        self._require_version()
        with self.connected(begin) as connection, Session(connection, expire_on_commit=False) as session:
            yield session
            session.flush()

    def _require_version(self) -> None:
        if self._version_is_right:
            return
        found = self.version()
        if found != VERSION:
            raise ConfigurationError(
                f"the database {self} is {f'at version {found}' if found else 'empty'}, and this streamops works with "
                f"version {VERSION}",
                "Bring it there: streamops db upgrade" if found is None or found < VERSION
                else "A newer streamops has upgraded it. Use that one.",
            )
        self._version_is_right = True

    @cached_property
    def _engine(self) -> Engine:
        if not self.is_sqlite:
            limits = {} if "connect_timeout" in self.url.query else {"connect_timeout": _CONNECT_S}
            return create_engine(self.url, poolclass=NullPool, connect_args=limits, hide_parameters=True)
        limits = {} if "timeout" in self.url.query else {"timeout": WAIT_S}
        engine = create_engine(self.url, poolclass=NullPool, connect_args=limits, hide_parameters=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    @contextlib.contextmanager
    def _worded(self) -> Iterator[None]:
        """Word what SQLAlchemy raises; its own messages repeat the statement."""
        try:
            yield
        except exc.IntegrityError:
            raise  # whoever writes knows what it means
        except exc.SQLAlchemyError as error:
            raise self._worded_error(error) from error

    def _worded_error(self, error: exc.SQLAlchemyError) -> StreamopsError:
        said = (str(getattr(error, "orig", None) or error).strip().splitlines() or ["no reason given"])[0][:300]
        if "unable to open database file" in said or "readonly database" in said:
            return ConfigurationError(
                f"the database {self} cannot be used: {said}",
                "See that its folder exists and that the user who runs streamops may write there.")
        if isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError):
            return UnavailableError(f"the database {self} does not answer: {said}",
                                    "See that it is up and that the connection names it rightly, then try again.")
        return StateError(f"the database {self} refuses: {said}", "Grant what is missing, or restore it from a copy.")


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says, not where sqlite3 guesses
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    # Readers then do not wait for writers. Whoever else is at work while it is switched on will do it, or the next.
    with contextlib.suppress(connection.OperationalError):
        cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get(_BEGIN, 'DEFERRED')}")
