"""When and how the stack has a PostgreSQL of its own."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from streamops.errors import ConfigurationError, RefusedError
from streamops.stack import airflow_database
from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack, _start_order, _stop_order


def test_airflow_has_a_file_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    assert airflow_database.NAME not in {server.name for server in Stack(StackSettings(data=tmp_path)).servers}


def test_it_starts_before_airflow_and_stops_after_it(tmp_path: Path) -> None:
    servers = Stack(StackSettings(data=tmp_path, airflow_postgresql=True)).servers
    first, rest = _start_order(servers)
    assert [server.name for server in first] == [airflow_database.NAME]
    assert len(rest) == len(servers) - 1
    order = [[server.name for server in group] for group in _stop_order(servers)]
    assert "airflow-scheduler" in order[0]
    assert order[1] == [airflow_database.NAME]
    assert first[0].stop_signal is signal.SIGINT, "after SIGTERM it would wait for its clients to leave"


def test_it_comes_up_with_airflow(tmp_path: Path) -> None:
    stack = Stack(StackSettings(data=tmp_path, airflow_postgresql=True))
    assert airflow_database.NAME in {server.name for server in stack.selected(["airflow"])}


def test_airflow_is_sent_to_it_with_a_password(tmp_path: Path) -> None:
    stack = Stack(StackSettings(data=tmp_path, airflow_postgresql=True, airflow_database_port=15432))
    found = stack.environment()["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert found == f"postgresql+psycopg2://airflow:{stack.password}@127.0.0.1:15432/postgres"


def test_two_databases_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="Airflow has one database"):
        StackSettings.load(airflow_postgresql=True, airflow_database="postgresql://db/airflow")


def test_a_folder_that_its_user_cannot_enter_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    folder = closed / "data"
    folder.mkdir(parents=True)
    closed.chmod(0o700)
    with pytest.raises(RefusedError, match=rf"chmod o\+x .*{closed}"):
        airflow_database._require_reachable(folder, "nobody")
