"""What a person would use against the run's stack: the command line, and Airflow's API with a login."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from streamops.stack.stack import Stack


class Airflow:
    """Airflow's REST API as its user `admin`."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        # Two requests of Airflow's API can wait for each other on SQLite, until that gives one of them up after 60 s.
        self._http = httpx.Client(base_url=stack.airflow_url, timeout=90, trust_env=False)

    def call(self, method: str, path: str, **given: Any) -> Any:
        """The JSON of an answer below /api/v2; None when there is none. Fails the test on an error status."""
        if "Authorization" not in self._http.headers:
            login = {"username": "admin", "password": self._stack.password}
            token = self._http.post("/auth/token", json=login).raise_for_status().json()["access_token"]
            self._http.headers["Authorization"] = f"Bearer {token}"
        answer = self._http.request(method, f"/api/v2{path}", **given)
        for _ in range(5):
            # SQLite under load: another server of Airflow held its lock for longer than the API waits.
            if answer.status_code != httpx.codes.INTERNAL_SERVER_ERROR:
                break
            time.sleep(2)
            answer = self._http.request(method, f"/api/v2{path}", **given)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def close(self) -> None:
        self._http.close()

    def unpause(self, dag: str) -> None:
        self.call("PATCH", f"/dags/{dag}", json={"is_paused": False})

    def pause(self, dag: str) -> None:
        self.call("PATCH", f"/dags/{dag}", json={"is_paused": True})

    def trigger(self, dag: str, **conf: Any) -> str:
        run = f"test__{uuid.uuid4().hex}"  # with an id of its own, asking again makes no second run
        self.call("POST", f"/dags/{dag}/dagRuns", json={"logical_date": None, "conf": conf, "dag_run_id": run})
        return run

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """Every run, oldest first."""
        return list(self.call("GET", f"/dags/{dag}/dagRuns", params={"order_by": "run_after"})["dag_runs"])

    def task(self, dag: str, run: str, task: str = "driver") -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}")
        return found

    def wait_for_run(self, dag: str, run: str, timeout_s: float = 120) -> str:
        """The state in which the run ends."""
        deadline = time.monotonic() + timeout_s
        while (state := self.call("GET", f"/dags/{dag}/dagRuns/{run}")["state"]) not in ("success", "failed"):
            assert time.monotonic() < deadline, f"run {run} of {dag} is still {state} after {timeout_s:.0f} s"
            time.sleep(1)
        return str(state)


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real text of more than 100,000 lines, on any machine: the source of Python's own standard library."""
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    content = b"".join(source.read_bytes() for source in sources)
    content.decode("utf-8")
    lines = content.split(b"\n")[:120_000]
    assert len(lines) >= 100_000
    path = tmp_path_factory.mktemp("text") / "text"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@pytest.fixture(scope="session")
def airflow_api(airflow: Stack) -> Iterator[Airflow]:
    """Airflow with the topics of tests/pipelines.yaml provisioned by its own DAG."""
    api = Airflow(airflow)
    deadline = time.monotonic() + 90
    while "provision_topics" not in {dag["dag_id"] for dag in api.call("GET", "/dags")["dags"]}:
        assert time.monotonic() < deadline, f"Airflow does not show the DAGs: {api.call('GET', '/importErrors')}"
        time.sleep(1)
    api.unpause("provision_topics")
    assert api.wait_for_run("provision_topics", api.trigger("provision_topics")) == "success"
    yield api
    api.close()


Streamops = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def streamops(stack: Stack) -> Streamops:
    """Runs the command in a process of its own, with the stack's variables as the only thing it knows of it."""

    def run(*arguments: str, check: bool = True, **given: Any) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            command(*arguments), env=environment(stack), text=True, capture_output=True, timeout=300, **given
        )
        assert not check or ended.returncode == 0, f"streamops {' '.join(arguments)}: {ended.stdout}{ended.stderr}"
        return ended

    return run


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "streamops.cli.main", *arguments]


def environment(stack: Stack) -> dict[str, str]:
    return {**os.environ, **stack.environment()}


@pytest.fixture
def background(stack: Stack) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the command and leaves it running; the test's end ends it."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **given: Any) -> subprocess.Popen[str]:
        started.append(subprocess.Popen(command(*arguments), env=environment(stack), text=True, **given))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.wait(timeout=30)


