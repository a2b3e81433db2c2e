"""Airflow connections to our own database, and the URLs that SQLAlchemy gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamops.adapters.connections import parse
from streamops.adapters.database.address import url_of
from streamops.adapters.database.models import VERSION
from streamops.adapters.database.session import Database
from streamops.adapters.database.upgrade import versions
from streamops.errors import ConfigurationError
from streamops.stack import environment
from streamops.stack.credentials import Credentials
from streamops.stack.settings import StackSettings


def as_json(url: str, **more: str) -> str:
    return json.dumps({"conn_type": "generic", "extra": {"url": url}, **more})


@pytest.mark.parametrize(("value", "url"), [
    (as_json("sqlite:////var/s.db"), "sqlite+pysqlite:////var/s.db"),
    (as_json("sqlite:////var/s.db?timeout=5"), "sqlite+pysqlite:////var/s.db?timeout=5"),
    (as_json("postgresql://u:p@h:5433/d"), "postgresql+psycopg2://u:p@h:5433/d"),
    (as_json("postgres://h/d"), "postgresql+psycopg2://h/d"),
    (as_json("postgresql+psycopg2://u@h/d", password="s/e"), "postgresql+psycopg2://u:s%2Fe@h/d"),
    (as_json("postgresql://u:first@h/d", password="second"), "postgresql+psycopg2://u:first@h/d"),
    (as_json("postgresql:///d?host=/run/pg"), "postgresql+psycopg2:///d?host=/run/pg"),
    ("postgres://u:s%2Fe@h:5433/d?sslmode=require", "postgresql+psycopg2://u:s%2Fe@h:5433/d?sslmode=require"),
    ("postgresql://u:p@h/d", "postgresql+psycopg2://u:p@h/d"),
])
def test_the_url(value: str, url: str) -> None:
    found = url_of(parse("streamops_db", value)).render_as_string(hide_password=False)
    assert found.replace("%2Frun%2Fpg", "/run/pg") == url


@pytest.mark.parametrize(("value", "reason"), [
    ('{"conn_type": "generic"}', "no `url`"),
    (as_json("secret"), "cannot read"),
    (as_json("mysql://u:secret@h/d"), "mysql"),
    (as_json("postgresql+asyncpg://u:secret@h/d"), "asyncpg"),
    (as_json("sqlite://"), "no file"),
    (as_json("sqlite:///relative.db"), "relative file"),
])
def test_what_is_refused_is_named_without_its_secret(value: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as refused:
        url_of(parse("streamops_db", value))
    assert "secret" not in str(refused.value)


def test_the_text_form_has_no_password() -> None:
    database = Database.of(parse("streamops_db", "postgres://u:secret@h/d"))
    assert str(database) == "postgresql+psycopg2://u:***@h/d"


def test_the_embedded_stack_has_one_as_a_file(tmp_path: Path) -> None:
    credentials = Credentials.load_or_make(tmp_path)
    for given, url in ((None, f"sqlite+pysqlite:///{tmp_path}/streamops.db"),
                       ("postgresql://h/d", "postgresql+psycopg2://h/d")):
        found = environment.connections(StackSettings(data=tmp_path, database=given), credentials)
        database = Database.of(parse("streamops_db", found["AIRFLOW_CONN_STREAMOPS_DB"]))
        assert str(database) == url


def test_the_version_that_the_code_needs_is_the_last_migration() -> None:
    assert versions()[-1] == VERSION
    assert versions() == sorted(versions())
