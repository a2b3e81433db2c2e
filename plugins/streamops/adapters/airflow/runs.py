"""What a running Airflow task may ask Airflow about runs: through its supervisor, never through the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from streamops.running.run_backoff import MOST_RUNS, PastRun
from streamops.running.takeover import owner_lives
from streamops.state.lease import Owner


def is_owner_alive(owner: Owner) -> bool:
    """Whether the run and task that asked for a driver still go on; a run that was deleted does not."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    assert owner.dag_id is not None, owner
    assert owner.run_id is not None, owner
    assert owner.task_id is not None, owner
    states = RuntimeTaskInstance.get_task_states(
        dag_id=owner.dag_id, task_ids=[owner.task_id], run_ids=[owner.run_id]
    ).get(owner.run_id)
    return owner_lives((states or {}).get(owner.task_id), run_exists=states is not None)


def past_runs(dag_id: str, before: datetime | None) -> Iterator[PastRun]:
    """Runs of a DAG that have ended, newest first, before a logical date; nothing when that is None."""
    from airflow.sdk.execution_time.comms import GetPreviousDagRun
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    for _ in range(MOST_RUNS):
        if before is None:
            return
        answer: Any = SUPERVISOR_COMMS.send(msg=GetPreviousDagRun(dag_id=dag_id, logical_date=before))
        run = getattr(answer, "dag_run", None)
        if run is None or run.end_date is None:
            return
        yield PastRun(run.state == "failed", run.start_date or run.run_after, run.end_date)
        before = run.logical_date
