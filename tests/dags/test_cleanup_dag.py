"""The DAG of the cleanup, run in a process of its own, without a server: dry, then in earnest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from streamops.adapters.files.state_files import StateFiles
from streamops.settings import project_root
from streamops.state import generations, lease
from streamops.state.generations import Generation
from streamops.state.lease import Beat, JobState, Lease, Owner, OwnerKind

DECLARED = """
version: 1
pipelines:
  new_files: {source: folder, folder: {path: /data/incoming}, transform: word_count, sink: {type: parquet},
              cleanup: {leftover_h: 0}}
"""
AT = "2026-11-20T03:00:00+00:00"
LEFT = "output/_aside/1-7-1/part-00000.parquet"

_RUN = """
import sys
from airflow.dag_processing.dagbag import DagBag
from airflow.utils.db import initdb
initdb()
dag = DagBag(dag_folder=sys.argv[1], collect_dags=True).dags["clean_wal_and_checkpoints"]
for dry_run in (True, False):
    run = dag.test(run_conf={"pipelines": ["new_files"], "dry_run": dry_run})
    print(f"dry_run={dry_run}: {run.state}", flush=True)
"""


def test_a_dry_run_shows_and_a_run_takes(tmp_path: Path) -> None:
    (tmp_path / "pipelines.yaml").write_text(DECLARED)
    (tmp_path / "dags").mkdir()
    name = "clean_wal_and_checkpoints.py"
    (tmp_path / "dags" / name).write_text((project_root() / "dags" / name).read_text())
    files = StateFiles(f"file://{tmp_path}/new_files")
    files.write_new(generations.path(1), Generation("new_files", 1, "folder_stream", {}, "test", AT).to_json())
    files.write_new(lease.path(2), Lease("new_files", 2, "d", Owner(OwnerKind.SHELL), "h", 1, AT).to_json())
    files.replace(lease.beat_path(2), Beat(2, AT, JobState.STOPPED).to_json())
    files.replace(LEFT, "rows")
    database = {"conn_type": "generic", "extra": {"url": f"sqlite:///{tmp_path}/streamops.db"}}
    storage = {"conn_type": "generic", "extra": {"url": f"file://{tmp_path}"}}
    ran = subprocess.run(
        [sys.executable, "-c", _RUN, str(tmp_path / "dags" / name)], text=True, capture_output=True, check=False, env={
            **os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"), "STREAMOPS_HOME": str(tmp_path / "home"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
            "STREAMOPS_PIPELINES": str(tmp_path / "pipelines.yaml"),
            "AIRFLOW_CONN_STREAMOPS_STORAGE": json.dumps(storage), "AIRFLOW_CONN_STREAMOPS_DB": json.dumps(database)})
    assert ran.returncode == 0, ran.stderr[-3000:]
    dry, _, earnest = ran.stdout.partition("dry_run=True: success")
    assert f"goes   {LEFT}" in dry
    assert "taken" not in dry
    assert "new_files: 1 taken (4 bytes), 0 kept after all" in earnest
    assert "dry_run=False: success" in earnest
    assert files.read(LEFT) is None
    assert files.read(f".quarantine/000001/files/{LEFT}") == "rows"
