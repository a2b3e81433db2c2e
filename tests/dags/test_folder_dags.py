"""Pipelines that read a folder: which DAG each gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamops.settings import project_root

DECLARED = """
version: 1
topics: {lines: {partitions: 1, replication: 1}}
defaults: {transform: word_count, sink: {type: parquet}}
pipelines:
  lines: {approach: direct, topics: [lines]}
  new_files: {source: folder, folder: {path: /data/incoming}}
  archive: {source: folder, folder: {path: /data/archive, mode: batch}}
"""


def test_a_stream_and_a_batch_have_dags_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pipelines.yaml").write_text(DECLARED)
    monkeypatch.setenv("STREAMOPS_PIPELINES", str(tmp_path / "pipelines.yaml"))
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(project_root() / "dags"), safe_mode=True, collect_dags=True)
    assert not bag.import_errors
    jobs = {name: dag for name, dag in bag.dags.items() if {"stream", "batch"} & set(dag.tags)}
    assert {name: Path(dag.fileloc).name for name, dag in jobs.items()} == {
        "stream_lines": "submit_direct_jobs.py",
        "stream_new_files": "submit_folder_jobs.py",
        "batch_archive": "submit_folder_jobs.py",
    }
    batch = bag.dags["batch_archive"]
    assert batch.doc_md is not None
    assert "reads the folder `/data/archive`, once" in batch.doc_md
    assert batch.schedule is None, "nobody but a person, or another DAG, starts it"
    assert [task.pipeline for task in batch.tasks] == ["archive"]
