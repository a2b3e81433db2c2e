"""Airflow on a real PostgreSQL, by one setting."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    """URL of an empty database of a server that only this test has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where the machine has no XDG_RUNTIME_DIR
        import pgserver

        server = pgserver.get_server(tmp_path / "pg")
    yield server.get_uri()
    server.cleanup()


@pytest.mark.long
def test_airflow_runs_on_postgresql(database: str, tmp_path: Path) -> None:
    stack = Stack(StackSettings.on_free_ports(tmp_path / "stack", airflow_database=database))
    try:
        stack.up(["airflow"])
        states = {status.name: status.state for status in stack.status() if status.name.startswith("airflow")}
        assert set(states.values()) == {"healthy"}, states
        assert not list((tmp_path / "stack").rglob("airflow.db"))
        with psycopg2.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute("select count(*) from dag")
            assert cursor.fetchone() is not None
        connection.close()
    finally:
        stack.down()
