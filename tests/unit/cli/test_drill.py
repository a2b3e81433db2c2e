"""`streamops drill` over a database of its own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner, Result

from streamops.adapters.database.drills import Drills
from streamops.adapters.database.session import Database
from streamops.adapters.database.upgrade import upgrade
from streamops.adapters.files.state_files import StateFiles
from streamops.cli.main import build
from streamops.drills.drill import Drill, DrillState, InflictedFault, Surroundings
from streamops.drills.recovery_times import RecoveryTimes
from streamops.drills.verdict import Example, Finding, Kind, LogProof, PartitionCounts, Verdict, Where
from streamops.state import generations
from streamops.state.generations import Generation

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
EXACT = Verdict((PartitionCounts("canary", 0, 100, 99, 1, 0, 100),), (), 1, 0, 0, 0, LogProof(True, 9, 100, 0, 0))
WRONG = Verdict((PartitionCounts("canary", 0, 100, 100, 0, 0, 99),), (
    Finding(Kind.LOST, Where.JOB, 1, (Example("canary", 0, 8, 48, "offset 48, in no batch"),)),), log=EXACT.log)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build(["drill", *arguments]), ["drill", *arguments])


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drills:
    url = f"sqlite:///{tmp_path}/streamops.db"
    database = Database(make_url(url))
    upgrade(database)
    monkeypatch.setenv("AIRFLOW_CONN_STREAMOPS_DB", json.dumps({"conn_type": "generic", "extra": {"url": url}}))
    (tmp_path / "pipelines.yaml").write_text(
        "version: 1\ntopics: {canary: {partitions: 1, replication: 1}}\npipelines:\n"
        "  canary: {approach: direct, topics: [canary], transform: identity, sink: {type: parquet},\n"
        "           objectives: {recovery_s: 20, fault_median_s: {driver: 12}}}\n")
    monkeypatch.setenv("STREAMOPS_PIPELINES", str(tmp_path / "pipelines.yaml"))
    return Drills(database)


def drilled(store: Drills, day: int, times: list[float | None], verdict: Verdict = EXACT) -> int:
    at = NOW + timedelta(days=day)
    around = Surroundings({"streamops": "0.1.0", "spark": "4.2.0"}, {"interval_s": "2"})
    number = store.begin(Drill(f"canary-{day}", "canary", "direct", 7, at.isoformat(), ledger="/l/canary.jsonl",
                               surroundings=around))
    for fault, time_s in enumerate(times, 1):
        store.plan_fault(number, InflictedFault(fault, "driver", "kill", at.isoformat()))
        store.inflicted(number, fault, at + timedelta(minutes=fault), "driver-7", {})
        store.healed(number, fault, at + timedelta(minutes=fault))
        store.measured(number, fault, RecoveryTimes(1.0, time_s), None if time_s is not None else "no batch in 300 s")
    state = DrillState.PASSED if verdict is EXACT and None not in times else DrillState.FAILED
    store.finish(number, state, at + timedelta(hours=1), verdict)
    return number


def test_there_is_nothing_yet(store: Drills) -> None:
    assert "no drills yet" in run("list").output
    found = run("compare")
    assert (found.exit_code, "nothing to compare" in found.output) == (0, True)
    assert run("list", "--json").output == "[]\n"


def test_list(store: Drills) -> None:
    drilled(store, 0, [9.0, 11.0])
    drilled(store, 1, [9.0, None], WRONG)
    store.begin(Drill("running", "canary", "direct", 7, (NOW + timedelta(days=2)).isoformat()))
    lines = run("list").output.splitlines()
    assert lines[0].split() == ["DRILL", "STARTED", "PIPELINE", "APPROACH", "STATE", "FAULTS", "WORST", "VERDICT",
                                "LOST", "DOUBLED", "REORDERED", "ALTERED"]
    assert lines[1].split()[5:] == ["running", "none", "?", "?", "?", "?", "?", "?"]
    assert lines[2].split()[5:] == ["failed", "driver", "kill", "×2", "never", "wrong", "1", "0", "0", "0"]
    assert lines[3].split()[5:] == ["passed", "driver", "kill", "×2", "11.0", "s", "exact", "0", "0", "0", "0"]
    [newest, *_] = json.loads(run("list", "--json", "--limit", "2").output)
    assert (newest["key"], newest["verdict"]) == ("running", None)
    assert run("list", "other").output.startswith("there are no drills")


def test_show(store: Drills) -> None:
    number = drilled(store, 0, [9.0, None], WRONG)
    text = run("show", str(number)).output
    for part in ("drill 1 (canary-0) of canary (direct, canary): failed", "streamops 0.1.0, spark 4.2.0",
                 "interval_s 2", "ledger: /l/canary.jsonl", "fault 2: no batch in 300 s",
                 "lost (by the job): 1, first 8 of canary-0"):
        assert part in text, part
    assert Drill.from_json(run("show", str(number), "--json").output).verdict == WRONG
    missing = run("show", "99")
    assert "there is no drill 99" in str(missing.exception)


def test_compare_passes_and_fails(store: Drills, tmp_path: Path) -> None:
    drilled(store, 0, [9.0 + turn / 10 for turn in range(10)])
    drilled(store, 1, [9.1 + turn / 10 for turn in range(10)])
    found = run("compare", "--png", str(tmp_path / "d.png"), "--html", str(tmp_path / "d.html"))
    assert found.exit_code == 0, found.output
    assert [line.split()[-1] for line in found.stdout.splitlines()] == ["GATE", "ok"]
    assert (tmp_path / "d.png").stat().st_size > 10_000
    assert "<svg" in (tmp_path / "d.html").read_text()
    slow = drilled(store, 2, [13.0 + turn / 10 for turn in range(10)])
    found = run("compare")
    assert found.exit_code == 1
    assert "the median is 13.4 s, over the objective of 12 s" in found.output
    assert "slower than the last 20: median 13.4 s after 9.5 s" in found.output
    data = json.loads(run("compare", str(slow), "--json").output)
    assert (data["passed"], data["drills"], data["groups"][0]["new"]["count"]) == (False, [slow], 10)
    assert run("compare", "1").exit_code == 0
    assert "drill 77 is not there" in str(run("compare", "77").exception)


def test_judge_without_a_ledger(store: Drills, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the batch log alone; no broker is asked. A generation that is missing is no proof."""
    url = {"conn_type": "generic", "extra": {"url": f"file://{tmp_path}"}}
    monkeypatch.setenv("AIRFLOW_CONN_STREAMOPS_STORAGE", json.dumps(url))
    found = run("judge", "canary")
    assert (found.exit_code, found.output.splitlines()[0]) == (0, "exact: by the batch log alone")
    opened = Generation("canary", 2, "direct", {}, "test", NOW.isoformat())
    StateFiles(f"file://{tmp_path}/canary").write_new(generations.path(2), opened.to_json())
    found = run("judge", "canary", "--json")
    assert (found.exit_code, json.loads(found.output)["outcome"]) == (7, "wrong")


@pytest.mark.parametrize("verb", ["list", "show", "compare", "judge"])
def test_help_teaches(verb: str) -> None:
    assert len(run(verb, "--help").output.splitlines()) > 8
