"""### Record where every pipeline stands, and say so when one falls behind

Takes a recovery point of each pipeline whose `schedules.snapshot` has come round, judges it by its points of the last
hour, stores it and drops points that are too old. One process does it for all pipelines.

**Symptom**: the task `alarm` fails. Its log has a line for each pipeline that is at ERR (too much lag), STOP (no batch
ends), STALL (batches end, and a partition gets no further), whose consumer group or checkpoint disagrees with its batch
log, or whose unprocessed records retention is about to take. An asset event says the same for other DAGs.

**Steps**
1. Read the line in the log of `alarm`. At a shell, `streamops lag PIPELINE` has it too, and `streamops offsets show
   POINT` every partition of the point, with the reason for all that is unknown.
2. STOP: see why no batch ends: `streamops status`, then the task `driver` of `stream_<pipeline>`.
3. ERR and STALL: `streamops batches PIPELINE`. A batch that takes longer than the interval needs more cores.
4. Retention near: raise `retention.ms` of the topic first (`provision_topics`), then look for the cause.
5. A disagreement: the batch log is right. The line says what may have set the group or the checkpoint.
6. To take points at once, trigger this DAG; `pipelines` narrows it down to some.

**Is it safe to repeat?** Yes. It only reads, but for its own database, and two at once take two points.

**How to undo**: there is nothing to undo. A point that must stay is kept by `streamops offsets hold POINT --for …`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetAlias, MultipleCronTriggerTimetable, Param, task

from streamops.declared import pipelines, schedules
from streamops.errors import AlarmError, ConfigurationError
from streamops.retry_policy import failing_at_once_on
from streamops.settings import Settings

FILE = Settings.load().pipelines
PIPELINES = [pipeline for pipeline in pipelines.load(FILE).pipelines.values() if pipeline.source == "kafka"]
CRONS = schedules.crons(pipeline.schedules.snapshot for pipeline in PIPELINES)
ALARMS = AssetAlias("streamops_alarms")

with DAG(
    "snapshot_offsets",
    schedule=MultipleCronTriggerTimetable(*CRONS, timezone="UTC") if CRONS else None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(minutes=10),
    tags=["streamops", "operations"],
    doc_md=__doc__,
    params={
        "pipelines": Param(
            [],
            type="array",
            items={"type": "string"},
            examples=sorted(pipeline.name for pipeline in PIPELINES),
            title="Pipelines",
            description="Only these; none means all, and in a scheduled run those whose time has come.",
        ),
    },
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=20),
        "retry_policy": failing_at_once_on(AlarmError, ConfigurationError),
    },
):

    @task.short_circuit(outlets=[ALARMS])
    def snapshot(params: dict[str, Any], dag_run: Any, outlet_events: Any) -> list[str]:
        """Take and store the points; returns the alarms. Without any, `alarm` is skipped."""
        from streamops.actions import snapshots

        points, alarms = snapshots.store(), []
        wanted = snapshots.chosen(pipelines.load(FILE), params["pipelines"])
        if dag_run.run_type == "scheduled" and not params["pipelines"]:
            wanted = snapshots.due(wanted, points, datetime.now(UTC))
        for taken in snapshots.take(wanted, points, say=print):
            print(taken)  # noqa: T201  a task's log
            if found := snapshots.alarms_of(taken.lag):
                alarms += found
                asset = Asset(f"streamops_alarm_{taken.point.pipeline}")
                outlet_events[ALARMS].add(asset, extra=snapshots.alarm_event(taken.lag))
        return alarms

    @task
    def alarm(alarms: list[str]) -> None:
        """Fail with the alarms."""
        from streamops.actions import snapshots

        snapshots.require_no_alarms(alarms)

    alarm(snapshot())
