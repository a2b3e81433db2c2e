"""What every DAG of this project must be; each failure names its repair. Runs without any server."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streamops.settings import project_root

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

DAGS = project_root() / "dags"
FILES = sorted(path for path in DAGS.glob("*.py"))

#: What an on-call engineer looks for in a docstring.
RUNBOOK_PARTS = ("**Symptom**", "**Steps**", "**Is it safe to repeat?**", "**How to undo**")

#: Imported by every parse of every DAG file, every few seconds, if a module had them at its top.
HEAVY = ("pyspark", "kafka", "pandas", "pyarrow", "matplotlib")

#: Lines of wiring; more of them is logic, which belongs into plugins/streamops.
MOST_LINES = 100

#: Seconds of processor time for one file, without Airflow's own start-up.
MOST_PARSE_S = 2.0


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagBag]:
    """The DAGs as Airflow finds them: only in files that speak of both Airflow and DAGs."""
    home = tmp_path_factory.mktemp("airflow")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AIRFLOW_HOME", str(home))
        patched.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
        from airflow.dag_processing.dagbag import DagBag

        yield DagBag(dag_folder=str(DAGS), safe_mode=True, collect_dags=True)


@pytest.fixture(scope="module")
def dags(bag: DagBag) -> list[Any]:
    assert bag.dags, "Airflow finds no DAG in dags/: does each file name both `dag` and `airflow`?"
    return list(bag.dags.values())


def test_every_file_is_imported_without_error(bag: DagBag) -> None:
    assert not bag.import_errors, "Correct the import: " + "\n".join(
        f"{file}: {error}" for file, error in bag.import_errors.items())


def test_every_file_gives_a_dag(bag: DagBag) -> None:
    found = {Path(dag.fileloc).name for dag in bag.dags.values()}
    missing = {file.name for file in FILES} - found
    # No pipeline of that approach may be declared.
    missing -= {name for name in missing if name.startswith("submit_")}
    assert not missing, f"{missing}: import DAG from airflow.sdk, without which Airflow passes the file over"


def test_every_dag_has_a_runbook(dags: list[Any]) -> None:
    for dag in dags:
        absent = [part for part in RUNBOOK_PARTS if part not in (dag.doc_md or "")]
        assert not absent, f"{dag.dag_id}: write {absent} into the docstring of its file, and give doc_md=__doc__"


def test_every_dag_can_be_found_by_its_tags(dags: list[Any]) -> None:
    for dag in dags:
        assert "streamops" in dag.tags, f"{dag.dag_id}: add tags=['streamops', …]"
        assert len(dag.tags) > 1, f"{dag.dag_id}: add a tag that says what it is for"


def test_no_dag_runs_beside_itself(dags: list[Any]) -> None:
    for dag in dags:
        assert dag.max_active_runs == 1, f"{dag.dag_id}: add max_active_runs=1; two runs would act on one pipeline"
        assert not dag.catchup, f"{dag.dag_id}: add catchup=False; past intervals have nothing to do"


def test_every_task_is_tried_again(dags: list[Any]) -> None:
    for dag in dags:
        for task in dag.tasks:
            assert task.retries > 0, f"{dag.dag_id}.{task.task_id}: add retries, servers are away at times"


def test_a_streaming_task_waits_longer_after_each_failure_and_has_no_time_limit(dags: list[Any]) -> None:
    streaming = [task for dag in dags if "stream" in dag.tags for task in dag.tasks]
    assert streaming
    for task in streaming:
        name = f"{task.dag_id}.{task.task_id}"
        assert task.retry_exponential_backoff, f"{name}: add retry_exponential_backoff and max_retry_delay"
        assert task.max_retry_delay is not None, f"{name}: add max_retry_delay"
        assert task.execution_timeout is None, f"{name}: a time limit would leave its driver behind"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_only_wires(file: Path) -> None:
    source = file.read_text("utf-8")
    tree = ast.parse(source)
    assert len(source.splitlines()) <= MOST_LINES, f"{file.name}: move logic into plugins/streamops"
    at_the_top = {
        name.split(".")[0]
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert not at_the_top & set(HEAVY), f"{file.name}: import {at_the_top & set(HEAVY)} inside the task"
    assert "logical_date }}" not in source, f"{file.name}: use dag_run.run_after; a manual run has no logical date"
    assert "{{ ds }}" not in source, f"{file.name}: use dag_run.run_after; a manual run has no logical date"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_is_parsed_fast_and_without_heavy_imports(file: Path, tmp_path: Path) -> None:
    script = (
        "import sys, time, runpy, airflow.sdk, airflow.sdk.definitions.decorators\n"
        "began = time.process_time()\n"
        "runpy.run_path(sys.argv[1])\n"
        f"heavy = sorted(set({HEAVY!r}) & set(sys.modules))\n"
        "print(time.process_time() - began, *heavy)\n"
    )
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}
    for _ in range(2):  # the first one may have to write byte code
        ended = subprocess.run(
            [sys.executable, "-c", script, str(file)], env=environment, text=True, capture_output=True, check=False
        )
        assert ended.returncode == 0, f"{file.name}: correct its import\n{ended.stderr[-2000:]}"
        took_s, *heavy = ended.stdout.splitlines()[-1].split()
        if float(took_s) <= MOST_PARSE_S:
            break
    assert not heavy, f"{file.name}: something it imports has {heavy} at its top; move that into a function"
    assert float(took_s) <= MOST_PARSE_S, f"{file.name} takes {took_s} s of processor time; see `python -X importtime`"
