"""Airflow on a real PostgreSQL: anybody's, or the stack's own."""

from __future__ import annotations

import os
import signal
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest

from streamops.stack import airflow_database
from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack

from .conftest import command
from .running import wait_until

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


def test_the_stacks_own_server_comes_back_with_its_data(tmp_path: Path) -> None:
    let_others_in(tmp_path)
    stack = Stack(StackSettings.on_free_ports(tmp_path / "stack", airflow_postgresql=True))
    url = airflow_database.url(stack.settings, stack.password).replace("+psycopg2", "")
    try:
        stack.up([airflow_database.NAME])
        with psycopg2.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("create table kept (number int); insert into kept values (4711)")
        connection.close()
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(url.replace(stack.password, "another"))
        for _ in range(3):
            pid = stack.pid(airflow_database.NAME)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            # Its parent, which is this process, takes no note of that: PostgreSQL takes such a one for alive.
            wait_until(lambda pid=pid: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, "it is dead")
            subprocess.run(command("stack", "up", airflow_database.NAME), check=True, stdout=subprocess.DEVNULL,
                           env={**os.environ, **stack.environment()})
        with psycopg2.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("select number from kept")
            assert cursor.fetchall() == [(4711,)]
        stack.down([airflow_database.NAME])  # a client that stays does not keep it from an orderly end
        connection.close()
        assert "database system is shut down" in stack.folder.log(airflow_database.NAME).read_text()
    finally:
        stack.down()


def let_others_in(folder: Path) -> None:
    """pytest's folders are its user's alone; where that is root, PostgreSQL runs as somebody else."""
    if os.geteuid() == 0:
        for each in (folder, *folder.parents):
            each.chmod(each.stat().st_mode | 0o001)
