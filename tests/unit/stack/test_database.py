"""When the stack brings our own database to the version that the code works with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import make_url

from streamops.adapters.database.models import VERSION
from streamops.adapters.database.session import Database
from streamops.errors import RefusedError
from streamops.stack import jars, ports
from streamops.stack.process import Server
from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack
from streamops.stack.starting import Starter


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str | None]:
    """The version of the database whenever servers would have been started; none are."""
    found: list[str | None] = []

    def run(_self: Starter, _servers: Sequence[Server]) -> None:
        found.append(Database(make_url(f"sqlite:///{tmp_path}/streamops.db")).version())

    monkeypatch.setattr(Starter, "run", run)
    monkeypatch.setattr(jars, "ensure", lambda *_: None)
    monkeypatch.setattr(ports, "require_free", lambda *_: None)
    return found


def test_before_airflow_starts(started: list[str | None], tmp_path: Path) -> None:
    said: list[str] = []
    stack = Stack(StackSettings(data=tmp_path), said.append)
    stack.up(["kafka"])
    assert started == [None]
    stack.up(["airflow"])
    stack.up()
    assert started == [None, VERSION, VERSION]
    assert said == [f"our database is at version {VERSION} (from empty)"]


def test_a_database_of_a_newer_streamops_stops_it(started: list[str | None], tmp_path: Path) -> None:
    stack = Stack(StackSettings(data=tmp_path))
    stack.up(["airflow"])
    with Database(make_url(f"sqlite:///{tmp_path}/streamops.db")).connected("IMMEDIATE") as connection:
        connection.exec_driver_sql("UPDATE streamops_version SET version_num = '9999'")
    with pytest.raises(RefusedError, match="newer"):
        stack.up(["airflow"])
    assert len(started) == 1
