"""The main job on the embedded stack, step by step: topic, streaming job, live input, counts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from streamops.errors import StateError, UnavailableError
from streamops.stack.stack import Stack

if TYPE_CHECKING:
    from streamops.adapters.airflow.api import AirflowApi
    from streamops.state.counts import CountsFollower

DIRECT, RECEIVER = "lines_direct", "lines_receiver"
PROVISION = "provision_topics"

#: Airflow reads new DAG files every 10 s; a cold one on a busy machine takes a few rounds.
_DAG_TIMEOUT_S = 120
_PROVISION_TIMEOUT_S = 120
#: Submission, driver, Python, session, executor and a first batch take about 30 s; the operator's own limit is 180 s.
_COUNTS_TIMEOUT_S = 300
_POLL_S = 0.5

Found = TypeVar("Found")


class Demo:
    """Brings the main job up on a stack. Every step may be repeated."""

    def __init__(self, stack: Stack, say: Callable[[str], None]) -> None:
        self._stack = stack
        self._say = say

    def run(self) -> dict[str, CountsFollower]:
        """Every step, with its time; returns the counts of both pipelines, which are live.

        One job after the other: two JVMs that start at once take each other's processor.
        """
        for name, step in (
            ("servers are up", self._stack.up),
            ("topics are provisioned, by the DAG " + PROVISION, self._provision),
            ("text flows: the stack's own logs", partial(self._stack.up, ["feeder"])),
        ):
            self._timed(name, step)
        return {
            pipeline: self._timed(
                f"counts of {pipeline} are live, by the DAG {_dag(pipeline)}", partial(self._live_counts, pipeline)
            )
            for pipeline in (DIRECT, RECEIVER)
        }

    def _timed(self, name: str, step: Callable[[], Found]) -> Found:
        began = time.monotonic()
        found = step()
        self._say(f"{time.monotonic() - began:6.1f} s  {name}")
        return found

    def _airflow(self) -> AirflowApi:
        from streamops.adapters.airflow.api import CONN_ID, AirflowApi
        from streamops.adapters.connections import connection

        return AirflowApi(connection(CONN_ID, self._stack.environment()))

    def _provision(self) -> None:
        airflow = self._airflow()
        self._unpause(airflow, PROVISION)
        run = airflow.request("POST", f"/dags/{PROVISION}/dagRuns", json={"logical_date": None})["dag_run_id"]

        def ended() -> str | None:
            state = airflow.request("GET", f"/dags/{PROVISION}/dagRuns/{run}")["state"]
            return str(state) if state in ("success", "failed") else None

        if _until(ended, _PROVISION_TIMEOUT_S, f"the run {run} of {PROVISION} does not end") == "failed":
            raise StateError(
                f"The run {run} of {PROVISION} failed. {self._task_log(PROVISION)}",
                f"Correct the cause, then run this again. Airflow: {self._stack.airflow_url}/dags/{PROVISION}",
            )

    def _live_counts(self, pipeline: str) -> CountsFollower:
        """Let the pipeline's DAG run, and wait for words in a batch from now."""
        dag = _dag(pipeline)
        self._unpause(self._airflow(), dag)
        # The readers take connections from the environment, as in a shell.
        os.environ.update(self._stack.environment())
        from streamops.adapters.pipelines.files import declared, state_files
        from streamops.adapters.sink.sink_reader import SinkReader
        from streamops.state.counts import CountsFollower

        files = state_files(declared().pipeline(pipeline))
        counts = CountsFollower(files, SinkReader(files).word_counts)
        began = time.time()

        def live() -> bool:
            # A job that ran before has counts already: what shows that it is alive is a batch from now.
            counts.update()
            if counts.last is None or not counts.totals:
                return False
            return datetime.fromisoformat(counts.last.finished_at).timestamp() > began

        try:
            _until(live, _COUNTS_TIMEOUT_S, f"{pipeline} has no batch")
        except UnavailableError as error:
            raise StateError(
                f"{error.found} {self._task_log(dag)}",
                f"Look at {self._stack.airflow_url}/dags/{dag} and `streamops status {pipeline}`; "
                "correct the cause, then run this again.",
            ) from None
        return counts

    def _unpause(self, airflow: AirflowApi, dag: str) -> None:
        def there() -> Any:
            return airflow.request("GET", f"/dags/{dag}")

        try:
            _until(there, _DAG_TIMEOUT_S, f"Airflow does not know the DAG {dag}")
        except UnavailableError as error:
            errors = (airflow.request("GET", "/importErrors") or {}).get("import_errors", [])
            traces = "\n".join(f"{one['filename']}: {one['stack_trace'][-500:]}" for one in errors)
            raise StateError(
                f"{error.found}\n{traces}".strip(), "Correct the DAG file; see also: streamops stack logs dag-processor"
            ) from None
        airflow.request("PATCH", f"/dags/{dag}", json={"is_paused": False})

    def _task_log(self, dag: str, lines: int = 20) -> str:
        """The end of the newest task log of a DAG."""
        logs = (self._stack.settings.data / "airflow" / "logs" / f"dag_id={dag}").rglob("*.log")
        newest = max(logs, key=lambda path: path.stat().st_mtime, default=None)
        if newest is None:
            return "No task of it has run."
        last = newest.read_text("utf-8", errors="replace").splitlines()[-lines:]
        return f"The last lines of {newest}:\n" + "\n".join(f"  {line[:300]}" for line in last)


def _dag(pipeline: str) -> str:
    return f"stream_{pipeline}"


def _until(question: Callable[[], Found | None], timeout_s: float, otherwise: str) -> Found:
    """The first answer that is not empty. Raises UnavailableError with `otherwise` when none came in time."""
    deadline = time.monotonic() + timeout_s
    while not (answer := question()):
        if time.monotonic() > deadline:
            raise UnavailableError(f"After {timeout_s:.0f} s, {otherwise}.")
        time.sleep(_POLL_S)
    return answer
