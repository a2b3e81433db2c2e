"""The DAGs of the runbooks: their pages, their forms, and what is refused before anything starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from streamops.runbooks import catalogue
from streamops.settings import project_root

DECLARED = """
version: 1
topics: {lines: {partitions: 1, replication: 1}}
defaults: {transform: word_count, sink: {type: parquet}}
pipelines:
  lines: {approach: direct, topics: [lines]}
  words: {approach: direct, topics: [lines]}
  archive: {source: folder, folder: {path: /data/archive, mode: batch}}
"""


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("airflow")
    (folder / "pipelines.yaml").write_text(DECLARED)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("STREAMOPS_PIPELINES", str(folder / "pipelines.yaml"))
        patched.setenv("AIRFLOW_HOME", str(folder))
        patched.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
        from airflow.dag_processing.dagbag import DagBag

        found: dict[str, Any] = {}
        for file in sorted((project_root() / "dags").glob("runbook_*.py")):
            bag = DagBag(dag_folder=str(file), collect_dags=True)
            assert not bag.import_errors
            found.update(bag.dags)
        yield found


def test_every_runbook_has_a_dag_that_shows_its_page(dags: dict[str, Any]) -> None:
    pages = catalogue.pages()
    assert {name: dags[f"runbook_{name}"].doc_md for name in pages} == pages
    assert len(dags) == len(pages), "a runbook's DAG is not in the catalogue, and so has no command"


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_what_changes_something_is_approved_first(dags: dict[str, Any], name: str) -> None:
    dag = dags[f"runbook_{name}"]
    assert dag.get_task("approve").upstream_task_ids == {"ask"}
    assert dag.get_task("approve").downstream_task_ids == {"act"}
    assert dag.get_task("act").upstream_task_ids == {"ask", "approve", "look"}
    assert deepcopy(dag.params).validate()["approval"] is True


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_pipelines_are_choices_and_the_defaults_are_enough(dags: dict[str, Any], name: str) -> None:
    params = deepcopy(dags[f"runbook_{name}"].params)
    assert params.get_param("pipeline").schema["enum"] == ["lines", "words"]
    assert params.validate()["pipeline"] == "lines"


def test_what_follows_from_a_recommendation(tmp_path: Path) -> None:
    (tmp_path / "pipelines.yaml").write_text(DECLARED)
    (tmp_path / "dags").mkdir()
    script = tmp_path / "dags" / "scripted_runbooks.py"
    script.write_text((Path(__file__).parent / "scripted_runbooks.py").read_text())
    ran = subprocess.run([sys.executable, str(script)], text=True, capture_output=True, check=False, env={
        **os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(script.parent), "STREAMOPS_PIPELINES": str(tmp_path / "pipelines.yaml"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db"})
    assert ran.returncode == 0, ran.stderr[-3000:]
    ended = json.loads(ran.stdout.splitlines()[-1])
    tasks = ("run", "look", "approve", "act", "verify")
    assert {name: [states[task] for task in tasks] for name, states in ended.items()} == {
        "nothing": ["success", "success", "skipped", "skipped", "skipped"],
        "wait": ["success", "success", "skipped", "skipped", "success"],
        "act": ["success", "success", "skipped", "success", "success"],
        "advice": ["failed", "failed", *["upstream_failed"] * 3],
        "other": ["failed", "failed", *["upstream_failed"] * 3],
    }


@pytest.mark.parametrize(("name", "given", "expected"), [
    ("driver_lost", {"pipeline": "archive"}, "'archive' is not one of"),
    ("driver_lost", {"within_s": 0}, "less than the minimum of 1"),
    ("stuck_batch", {"longer_than_s": "soon"}, "'soon' is not of type"),
    ("broker_down", {"approval": "maybe"}, "'maybe' is not of type"),
    ("poison_record", {"most_records": 0}, "less than the minimum of 1"),
    ("offset_out_of_range", {"raise_retention": "no"}, "'no' is not of type"),
])
def test_what_is_refused(dags: dict[str, Any], name: str, given: dict[str, object], expected: str) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    params = deepcopy(dags[f"runbook_{name}"].params)
    with pytest.raises(ParamValidationError, match=expected):
        params.update(given)
