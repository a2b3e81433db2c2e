"""What a watch sees in a state directory and at a Spark master; Kafka is not there, and is not asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from streamops.adapters.files.state_files import StateFiles
from streamops.declared import pipelines
from streamops.drilling import watch
from streamops.drilling.watch import Watch
from streamops.drills.recovery_times import SeenLatest
from streamops.settings import Settings
from streamops.state import batch_log, generations, lease
from streamops.state.batch_log import Entry
from streamops.state.generations import Generation
from streamops.state.lease import Beat, JobState, Lease, Owner, OwnerKind
from streamops.state.offsets import OffsetRange, TopicPartition

DECLARED = """
version: 1
topics: {canary: {partitions: 1, replication: 1}}
pipelines:
  canary: {approach: direct, topics: [canary], transform: identity, sink: {type: parquet}, drills: {canary: true}}
"""
AT = "2026-11-20T03:00:00.000+00:00"


class Cluster(BaseHTTPRequestHandler):
    """A master and its worker, with one driver and one executor, at one port."""

    state = "RUNNING"
    executor = "0"

    def do_GET(self) -> None:
        server = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
        if "/submissions/status/" in self.path:
            found: dict[str, Any] = {"success": True, "driverState": self.state, "workerId": "worker-1",
                                     "submissionId": "driver-1", "action": "SubmissionStatusResponse"}
        elif self.path.startswith("/worker"):
            found = {"executors": [{"id": self.executor, "appid": "app-1", "appdesc": {"name": "streamops canary"}}]}
        else:
            found = {"status": "ALIVE", "workers": [{"id": "worker-1", "webuiaddress": f"{server}/worker"}]}
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def watching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """A watch that looks when it is told to."""
    Cluster.state, Cluster.executor = "RUNNING", "0"
    with HTTPServer(("127.0.0.1", 0), Cluster) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", "spark://spark%3A%2F%2F127.0.0.1:7077?deploy-mode=cluster"
                           f"&rest-port={port}&webui-port={port}")
        monkeypatch.setenv("AIRFLOW_CONN_STREAMOPS_STORAGE", json.dumps(
            {"conn_type": "generic", "extra": {"url": f"file://{tmp_path}"}}))
        yield Watch(pipelines.load("pipelines.yaml", DECLARED).pipeline("canary"), Settings.load())
        server.shutdown()


@pytest.fixture
def files(tmp_path: Path) -> StateFiles:
    """A pipeline with a driver that holds the lease."""
    found = StateFiles(f"file://{tmp_path}/canary")
    opened = Generation("canary", 1, "direct", {TopicPartition("canary", 0): 0}, "test", AT)
    found.write_new(generations.path(1), opened.to_json())
    held = Lease("canary", 1, "driver-1", Owner(OwnerKind.SHELL), "host", 1, AT)
    found.write_new(lease.path(1), held.to_json())
    beat(found, 0)
    return found


def beat(files: StateFiles, batch: int) -> None:
    files.replace(lease.beat_path(1), Beat(1, AT, JobState.RUNNING, batch).to_json())


def log(files: StateFiles, batch: int) -> None:
    ranges = (OffsetRange("canary", 0, batch * 10, batch * 10 + 10),)
    entry = Entry("canary", 1, batch, ranges, 10, None, 1, "driver-1", 1, AT, AT, 5)
    files.write_new(batch_log.entry_path(1, batch), entry.to_json())


def test_batches_are_seen_as_they_come_and_one_that_is_missing_is_passed_over(
    watching: Watch, files: StateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_LIST_S", 0.0)
    watching._look_at_batches()
    assert watching.last is None
    for batch in (0, 1, 3):
        log(files, batch)
        watching._look_at_batches()
    assert [seen.batch for seen in watching.since(0.0).batches] == [0, 1, 3]
    assert watching.last is not None
    assert watching.last.ends == {TopicPartition("canary", 0): 40}


def test_a_driver_that_goes_on_beating_shows_nothing_and_a_silent_one_does(
    watching: Watch, files: StateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "TTL_S", 0.0)
    for batch in (1, 2, 3):
        beat(files, batch)
        watching._look_for_signs()
    assert watching.since(0.0).signs == []
    watching._look_for_signs()
    assert [sign.what for sign in watching.since(0.0).signs] == ["driver driver-1 shows no life"]


def test_records_that_wait_without_a_batch_are_a_sign_once(
    watching: Watch, files: StateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_LATE_S", 0.0)
    monkeypatch.setattr(watch, "_LATE_INTERVALS", 0)
    log(files, 0)
    watching._look_at_batches()
    watching._look_for_lateness()
    assert watching.since(0.0).signs == [], "nobody has asked Kafka yet"
    for latest in (10, 11):
        watching._latest.append(SeenLatest(time.monotonic(), {TopicPartition("canary", 0): latest}))
        for _ in range(2):
            watching._look_for_lateness()
        said = [sign.what for sign in watching.since(0.0).signs]
        assert said == ([] if latest == 10 else ["records wait, and no batch has come for 0 s"])


def test_executors_that_are_replaced_and_a_driver_that_does_not_run_are_signs(
    watching: Watch, files: StateFiles
) -> None:
    watching._look_for_signs()
    Cluster.executor = "1"
    watching._look_for_signs()
    Cluster.state = "RELAUNCHING"
    watching._look_for_signs()
    said = [sign.what for sign in watching.since(0.0).signs]
    assert said[0] == "1 executors are gone"
    assert said[1].startswith("Spark's master: driver driver-1 is ")
