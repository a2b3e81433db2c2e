"""One DAG of Airflow, seen and acted on over its REST API."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from streamops.adapters.airflow.api import AirflowApi, ServerError
from streamops.errors import ConfigurationError, StateError
from streamops.running.lifecycle import WAITING, SeenDag, SeenRun

#: Runs that are not over.
_ACTIVE = ("queued", "running")


class AirflowDag:
    """A DAG with one task. Nothing is sent until a method is called; they raise what `AirflowApi.request` does."""

    def __init__(self, api: AirflowApi, dag_id: str, task_id: str) -> None:
        self.dag_id = dag_id
        self._api = api
        self._task_id = task_id

    def look(self) -> SeenDag | None:
        """The DAG and its runs that are not over; None where Airflow does not know it."""
        found = self._call("GET", "")
        if found is None:
            return None
        health = self._api.request("GET", "/monitor/health") or {}
        is_scheduled = (health.get("scheduler") or {}).get("status") == "healthy"
        return SeenDag(self.dag_id, bool(found["is_paused"]), is_scheduled, tuple(self.active_runs()))

    def active_runs(self) -> list[SeenRun]:
        """The runs that are not over, oldest first."""
        found = self._call("GET", "/dagRuns", params={"state": _ACTIVE, "order_by": "run_after"}) or {"dag_runs": []}
        return [SeenRun(each["dag_run_id"], each["state"], self.task_state(each["dag_run_id"]))
                for each in found["dag_runs"]]

    def task_state(self, run: str) -> str | None:
        """The state of a run's task; None before it is scheduled, and where there is no such run."""
        found = self._call("GET", f"/dagRuns/{quote(run, safe='')}/taskInstances/{self._task_id}")
        return found["state"] if found else None

    def run_state(self, run: str) -> str | None:
        """The state of a run; None where there is none such."""
        found = self._call("GET", f"/dagRuns/{quote(run, safe='')}")
        return found["state"] if found else None

    def set_paused(self, is_paused: bool) -> None:
        """Pause or unpause it. Raises StateError when Airflow says that it is not so."""
        answer = self._call("PATCH", "", json={"is_paused": is_paused})
        if answer is None or answer["is_paused"] is not is_paused:
            raise StateError(f"Airflow did not {'pause' if is_paused else 'unpause'} DAG {self.dag_id}",
                             "See whether it knows the DAG: `airflow dags list`.")

    def trigger(self, run: str, note: str) -> None:
        """Make a run of that id; nothing happens when there is one already."""
        try:
            self._call("POST", "/dagRuns", is_repeatable=True,
                       json={"logical_date": None, "dag_run_id": run, "note": note})
        except ConfigurationError:
            if self.run_state(run) is None:
                raise

    def end(self, run: str) -> None:
        """Mark a run, and its task, as success."""
        self._call("PATCH", f"/dagRuns/{quote(run, safe='')}", json={"state": "success"})

    def clear_waiting(self, run: str) -> bool:
        """Let a run's task go on now; False, and nothing done, when it does not wait any more."""
        if self.task_state(run) not in WAITING:
            return False
        wanted = {"dag_run_id": run, "task_ids": [self._task_id], "only_failed": False, "dry_run": False}
        try:
            self._call("POST", "/clearTaskInstances", json={**wanted, "reset_dag_runs": True})
        except ServerError:
            if self.task_state(run) in WAITING:  # else it was cleared, and clearing it again would end what it does
                self._call("POST", "/clearTaskInstances", json={**wanted, "reset_dag_runs": True})
        return True

    def _call(self, method: str, path: str, **given: Any) -> Any:
        return self._api.request(method, f"/dags/{quote(self.dag_id, safe='')}{path}", **given)
