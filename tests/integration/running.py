"""A pipeline that runs under its DAG, as tests see it: start it, feed it, count independently, stop it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from streamops.adapters.connections import Connection
from streamops.adapters.files.state_files import StateFiles
from streamops.stack.stack import Stack
from streamops.state import batch_log
from streamops.state.batch_log import Entry

if TYPE_CHECKING:
    from .conftest import Airflow

#: Ends a test that hangs, and no other: how long something takes depends on what else the machine does.
LIMIT_S = 300.0


def words(lines: Iterator[bytes]) -> Counter[str]:
    """An independent count: words are what splitting at single spaces gives, empty ones left out."""
    return Counter(word for line in lines for word in line.decode("utf-8").split(" ") if word)


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().removesuffix(b"\n").split(b"\n")


def state_of(stack: Stack, pipeline: str) -> StateFiles:
    storage = Connection("streamops_storage", "generic", extra={"url": stack.settings.streams.as_uri()})
    return StateFiles.at(storage, pipeline)


def covered(files: StateFiles) -> int:
    return sum(entry.span for entry in batch_log.entries(files, 1))


def head(files: StateFiles) -> Entry:
    entry = batch_log.read_head(files, 1)
    assert entry is not None
    return entry


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """The limit only ends a test that hangs: how long something takes depends on what else the machine does."""
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {LIMIT_S:.0f} s"
        time.sleep(0.2)


def started(api: Airflow, files: StateFiles, dag: str) -> None:
    """Let the pipeline's DAG run, and wait until its task is deferred behind a driver with a batch."""
    api.unpause(dag)

    def deferred() -> bool:
        runs = api.runs(dag)
        return bool(runs) and api.task(dag, runs[-1]["dag_run_id"])["state"] == "deferred"

    wait_until(deferred, f"{dag} is deferred")
    assert batch_log.read_head(files, 1) is not None


def stopped(api: Airflow, dag: str) -> None:
    """Pause the DAG and mark its running run as failed, which ends the driver."""
    api.pause(dag)
    for run in api.runs(dag):
        if run["state"] in ("running", "queued"):
            api.call("PATCH", f"/dags/{dag}/dagRuns/{run['dag_run_id']}", json={"state": "failed"})
