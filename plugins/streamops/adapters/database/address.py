"""Where our own database is: the URL of the Airflow connection `streamops_db`, in SQLAlchemy's words.

    {"conn_type": "generic", "extra": {"url": "sqlite:////var/lib/streamops/streamops.db"}}
    {"conn_type": "generic", "extra": {"url": "postgresql://streamops@db/streamops"}, "password": "…"}
    postgres://streamops:…@db:5432/streamops?sslmode=require        (Airflow's own form)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from streamops.errors import ConfigurationError

#: What SQLAlchemy is to use for each database. By default 2.1 takes psycopg 3, which Airflow does not come with.
_DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg2", "postgres": "postgresql+psycopg2"}
_FORMS = 'For example {"url": "sqlite:////var/lib/streamops/streamops.db"} or {"url": "postgresql://user@host/name"}.'


class DatabaseConnection(Protocol):
    """What is read of an Airflow connection."""

    @property
    def conn_id(self) -> str: ...
    @property
    def conn_type(self) -> str | None: ...
    @property
    def host(self) -> str | None: ...
    @property
    def port(self) -> int | None: ...
    @property
    def login(self) -> str | None: ...
    @property
    def password(self) -> str | None: ...
    @property
    def schema(self) -> str | None: ...
    @property
    def extra(self) -> Mapping[str, Any]: ...


def url_of(found: DatabaseConnection) -> URL:
    """The URL of a connection. Raises ConfigurationError, whose text never holds the URL: it may hold a password."""
    where = f"the database connection `{found.conn_id}`"
    if found.conn_type == "postgres" and "url" not in found.extra:
        query = {key: str(value) for key, value in found.extra.items()}
        return URL.create("postgresql+psycopg2", found.login, found.password, found.host, found.port, found.schema,
                          query)
    text = found.extra.get("url")
    if not isinstance(text, str) or not text:
        raise ConfigurationError(f"{where} has no `url` in its extra", _FORMS)
    try:
        url = make_url(text)
    except (SQLAlchemyError, ValueError):
        raise ConfigurationError(f"{where} has a `url` that SQLAlchemy cannot read", _FORMS) from None
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    if url.drivername not in _DRIVERS.values():
        raise ConfigurationError(f"{where} asks for {url.drivername}; SQLite and PostgreSQL (psycopg2) are known",
                                 _FORMS)
    if url.get_backend_name() == "sqlite":
        if not url.database or not Path(url.database).is_absolute():
            raise ConfigurationError(
                f"{where} names {'a relative file' if url.database else 'no file'}, which every process would take "
                "to be another one", "Write the absolute path, after four slashes: sqlite:////var/lib/streamops.db")
        return url
    if url.password is None and found.password:
        url = url.set(password=found.password)
    return url
