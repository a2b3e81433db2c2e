from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from streamops.declared import pipelines
from streamops.declared.pipelines import Pipelines
from streamops.drilling import campaign, drill_tasks
from streamops.drilling.open_faults import OpenFaults
from streamops.drills.faults import OpenFault
from streamops.errors import ConfigurationError, RefusedError
from streamops.settings import Settings

FILE = """
version: 1
topics:
  lines: {partitions: 1, replication: 1}
  canary: {partitions: 1, replication: 1}
defaults: {transform: identity, sink: {type: parquet}}
pipelines:
  lines: {approach: direct, topics: [lines], transform: word_count}
  allowed: {approach: direct, topics: [lines], drills: {allowed: true}}
  canary_direct: {approach: direct, topics: [canary], drills: {canary: true}, run: manual}
  canary_receiver: {approach: receiver, topics: [canary], drills: {canary: true}, resources: {executor_cores: 2}}
  files: {source: folder, folder: {path: "file:///in"}, transform: word_count}
"""


@pytest.fixture
def declared() -> Pipelines:
    return pipelines.load("pipelines.yaml", FILE)


def planned(declared: Pipelines, names: Sequence[str] = (), faults: Sequence[str] = (), seed: int = 7) -> Any:
    return campaign.plan(declared, names, faults, 2, seed, "local")


def test_by_default_every_canary_loses_driver_executor_and_broker(declared: Pipelines) -> None:
    found = planned(declared)
    assert [each.name for each in found.pipelines] == ["canary_direct", "canary_receiver"]
    assert {each.fault.name for each in found.strikes} == {"driver:kill", "executor:kill", "broker:kill"}
    assert len(found.strikes) == 2 * 2 * 3
    assert found.to_approve == []
    assert found.to_data() == planned(declared).to_data()


def test_production_is_refused_unless_it_allows_drills_and_then_it_is_to_be_approved(declared: Pipelines) -> None:
    with pytest.raises(RefusedError, match="lines: no canary") as refused:
        planned(declared, ["lines", "allowed"])
    assert "drills: {allowed: true}" in str(refused.value)
    found = planned(declared, ["allowed", "canary_direct"])
    assert found.to_approve == ["allowed"]
    assert any("PRODUCTION: nothing is sent into its topics" in line for line in found.lines())


def test_wrong_pipelines_and_wrong_faults_are_told_at_once(declared: Pipelines) -> None:
    with pytest.raises(ConfigurationError, match="drivr") as refused:
        planned(declared, ["canary_dirct"], ["drivr"])
    assert "canary_direct" in str(refused.value)
    with pytest.raises(ConfigurationError, match="about the approach"):
        planned(declared, ["canary_direct"], ["wal:tear"])


def test_a_file_without_canaries_says_what_one_is() -> None:
    bare = pipelines.load("pipelines.yaml", "version: 1\ntopics: {}\npipelines: {}\n")
    with pytest.raises(ConfigurationError, match="declares no canary") as refused:
        planned(bare)
    assert "drills: {canary: true}" in str(refused.value)


@pytest.mark.parametrize(("entry", "said"), [
    ("{approach: direct, topics: [canary], transform: word_count, sink: {type: parquet}, drills: {canary: true}}",
     "its sink does not show each record"),
    ("{approach: direct, topics: [canary], transform: identity, sink: {type: console}, drills: {canary: true}}",
     "its sink does not show each record"),
    ("{approach: direct, topics: [lines], transform: identity, sink: {type: parquet}, drills: {canary: true}}",
     "`wrong` is a canary and reads `lines`, as `lines` does"),
])
def test_a_canary_shows_each_record_and_reads_what_nobody_else_reads(entry: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        pipelines.load("pipelines.yaml", f"""
version: 1
topics: {{lines: {{partitions: 1, replication: 1}}, canary: {{partitions: 1, replication: 1}}}}
pipelines:
  lines: {{approach: direct, topics: [lines], transform: word_count, sink: {{type: parquet}}}}
  wrong: {entry}
""")


def test_the_dag_plans_what_its_form_says_and_shows_it(declared: Pipelines) -> None:
    form = {"pipelines": ["allowed"], "faults": ["driver"], "repetitions": 3, "seed": 7, "backend": "local"}
    said: list[str] = []
    shown, decided = drill_tasks.plan(declared, form, SimpleNamespace(run_type="manual"), said.append)
    assert "PRODUCTION" in shown
    assert decided == {"pipelines": ["allowed"], "seed": 7, "backend": "local", "faults": ["driver:kill"],
                       "repetitions": 3, "to_approve": ["allowed"]}
    with pytest.raises(ConfigurationError, match="a task of this Airflow"):
        drill_tasks.plan(declared, {**form, "faults": ["scheduler"]}, SimpleNamespace(run_type="manual"), said.append)


def test_what_a_killed_drill_left_standing_still_goes_on_again(
    declared: Pipelines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its pipeline is not running any more, and a victim has ended."""
    monkeypatch.setenv("STREAMOPS_STACK_DATA", str(tmp_path))
    left = subprocess.Popen(["sleep", "60"])
    try:
        found = psutil.Process(left.pid)
        found.suspend()
        gone = {"pid": 2**22 + 1, "started": 0.0, "server": None}
        victims = [{"pid": left.pid, "started": found.create_time(), "server": None}, gone]
        journal = OpenFaults(tmp_path)
        journal.open(OpenFault("k-0001", "executor:pause", "canary_direct", "local", {"victims": victims}, "host", 1,
                               0.0, "2026-11-20T03:00:00.000+00:00"))
        said: list[str] = []
        assert campaign.heal(declared, "local", Settings.load(), said.append) == 1
        deadline = time.monotonic() + 10
        while found.status() == psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert "healing what was left open: executor:pause on canary_direct" in said[0]
        assert campaign.heal(declared, "local", Settings.load(), said.append) == 0
    finally:
        left.kill()
        left.wait()
