"""The trigger form of the DAG `runbook_restore_offsets`: the points that it offers, with and without the database."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from streamops.adapters.connections import Connection
from streamops.adapters.database.address import url_of
from streamops.adapters.database.points import Points
from streamops.adapters.database.session import Database
from streamops.adapters.database.upgrade import upgrade
from streamops.points.recovery_points import RecoveryPoint
from streamops.settings import project_root


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database without tables, which the connection `streamops_db` means."""
    given = {"conn_type": "generic", "extra": {"url": f"sqlite:///{tmp_path}/streamops.db"}}
    monkeypatch.setenv("AIRFLOW_CONN_STREAMOPS_DB", json.dumps(given))
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    return Database(url_of(Connection("streamops_db", extra=given["extra"])))


def offered() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(project_root() / "dags" / "runbook_restore_offsets.py"), collect_dags=True)
    assert not bag.import_errors
    return bag.dags["runbook_restore_offsets"].params.get_param("point").schema["examples"]


def test_points_of_the_last_day_are_choices(database: Database) -> None:
    upgrade(database)
    now = datetime.now(UTC).replace(minute=30)
    numbers = [Points(database).insert(
        RecoveryPoint("lines", "direct", taken_at.isoformat(), generation=1, last_batch=2, last_batch_finished_at=None,
                      checkpoint_batch=None, sink_batch=None, topic_ids={}, partitions={}), None)
        for taken_at in (now - timedelta(days=2), now - timedelta(hours=2), now - timedelta(hours=1))]
    assert [each.split()[:2] for each in offered()] == [
        ["newest"], [str(numbers[2]), "lines"], [str(numbers[1]), "lines"]]


def test_the_form_shows_while_the_database_has_no_tables(database: Database) -> None:
    assert database.version() is None
    assert offered() == ["newest"]
