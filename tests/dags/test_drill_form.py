"""The DAG `drill_recovery`: what its form offers, when it runs by itself, and that nothing skips an approval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamops.settings import project_root

DECLARED = """
version: 1
topics: {lines: {partitions: 1, replication: 1}, canary: {partitions: 1, replication: 1}}
defaults: {transform: identity, sink: {type: parquet}}
pipelines:
  lines: {approach: direct, topics: [lines], schedules: {drill: "@daily"}}
  allowed: {approach: direct, topics: [lines], drills: {allowed: true}, schedules: {drill: "@daily"}}
  canary: {approach: direct, topics: [canary], drills: {canary: true}, schedules: {drill: "30 3 * * *"}, run: manual}
"""


@pytest.fixture
def dag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "pipelines.yaml").write_text(DECLARED)
    monkeypatch.setenv("STREAMOPS_PIPELINES", str(tmp_path / "pipelines.yaml"))
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(project_root() / "dags" / "drill_recovery.py"), collect_dags=True)
    assert not bag.import_errors
    return bag.dags["drill_recovery"]


def test_pipelines_that_may_be_drilled_are_offered_and_canaries_alone_have_a_schedule(dag: Any) -> None:
    assert dag.params.get_param("pipelines").schema["examples"] == ["allowed", "canary"]
    assert "driver:kill" in dag.params.get_param("faults").schema["examples"]
    assert [each.expression for each in dag.timetable.timetables] == ["30 3 * * *"]


def test_what_asks_a_person_comes_before_what_drills(dag: Any) -> None:
    assert dag.get_task("ask").downstream_task_ids == {"approve", "drill"}
    assert dag.get_task("approve").downstream_task_ids == {"drill"}
    assert dag.get_task("drill").on_kill.__func__.__qualname__ == "DrillOperator.on_kill"
