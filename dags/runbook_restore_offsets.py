"""The runbook restore_offsets in Airflow. Its page is in plugins/streamops/runbooks/restore_offsets.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param, task

from streamops import errors
from streamops.declared import pipelines
from streamops.retry_policy import failing_at_once_on
from streamops.runbooks import restore_offsets, restore_tasks
from streamops.settings import Settings

FILE = Settings.load().pipelines
NAMES = sorted(name for name, each in pipelines.load(FILE).pipelines.items() if each.source == "kafka")
FINAL = (errors.ConfigurationError, errors.RefusedError, errors.StateError, errors.AlarmError)

with DAG(
    "runbook_restore_offsets",
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["streamops", "runbook"],
    doc_md=restore_offsets.PAGE,
    params={
        "pipeline": Param(NAMES[0] if NAMES else "", enum=NAMES or [""], title="Pipeline"),
        "target": Param(restore_tasks.DEFAULT_TARGET, enum=restore_tasks.TARGETS, title="To"),
        "point": Param(restore_tasks.DEFAULT_POINT, type="string", examples=restore_tasks.points(), title="Point",
                       description="For a point: one that is offered, or the number of any other."),
        "value": Param(None, type=["null", "string"], format="multiline", title="Time, records, offsets or CSV",
                       description="For the other targets; void for earliest, latest and undo."),
        "accept_loss": Param(False, type="boolean", title="Accept loss", description="Start later where retention has "
                             "taken the target."),
        "approval": Param(True, type="boolean", title="Approval", description="Ask a person before anything is "
                          "changed."),
        "start": Param(True, type="boolean", title="Start", description="Run the pipeline afterwards, and wait for its "
                       "first batch."),
    },
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=20),
        "retry_policy": failing_at_once_on(*FINAL),
    },
):

    @task
    def plan(params: dict[str, Any], ti: Any) -> dict[str, Any]:
        """The forecast, in the log and for the approval; what would be done, for `apply`."""
        shown, decision = restore_tasks.plan(pipelines.load(FILE), params, say=print)
        ti.xcom_push("forecast", shown)
        return decision

    @task.branch
    def ask(params: dict[str, Any]) -> str:
        return "approve" if params["approval"] else "apply"
    approve = ApprovalOperator(
        task_id="approve", subject="Restore {{ params.pipeline }}?", fail_on_reject=True,
        body="{{ ti.xcom_pull(task_ids='plan', key='forecast') }}")

    @task(trigger_rule="none_failed_min_one_success")
    def apply(decision: dict[str, Any], ti: Any) -> int:
        """Do what was shown, read it back; returns the generation."""
        return restore_tasks.apply(pipelines.load(FILE), decision, ti, say=print)

    @task.short_circuit
    def start(params: dict[str, Any], dag_run: Any) -> bool:
        """Run the pipeline as `streamops start` does, unless the form leaves that to a person."""
        return restore_tasks.start(pipelines.load(FILE), params, dag_run, say=print)

    @task
    def progress(generation: int, params: dict[str, Any]) -> None:
        """Succeed when the first batch begins at the stated offsets."""
        print(restore_tasks.await_progress(pipelines.load(FILE), params["pipeline"], generation))  # noqa: T201

    planned = plan()
    applied = apply(planned)
    planned >> (asked := ask()) >> approve >> applied
    asked >> applied >> start() >> progress(applied)
