"""### Take away what is provably not needed any more

Write-ahead logs that Spark left, checkpoints of older generations, temporary and backup files, batch-log entries that
are in recovery points, output of attempts that died, dead consumer groups, unused code, Spark's event logs and work
folders, recovery points past retention. Each has its own rule and proof (docs/cleanup.md); nothing goes by its age
alone. What goes lies in `.quarantine` of its directory first, for the pipeline's `cleanup: {quarantine_d: 7}`. Runs
when the `schedules.cleanup` of a pipeline comes round.

**Symptom**: a disk, a quota of HDFS or the NameNode's memory fills up; or the task fails.

**Steps**
1. See what would go and why all else is kept: trigger with `dry_run`, or `streamops clean plan PIPELINE`.
2. Have it done now: trigger without it, or `streamops clean apply PIPELINE`. Jobs may run meanwhile.
3. Much is kept as `unproven` or `in_use`: the lines say what did not answer (Kafka, the Spark master, the database).
4. The task failed: the storage refused (safe mode, rights), or another cleanup works. Nothing is lost by that; what was
   moved is in quarantine, and the next run goes on.

**Is it safe to repeat?** Yes, also after it was killed, and beside another one: two exclude each other. Everything is
judged once more in the moment it is taken.

**How to undo**: `streamops clean list PIPELINE`, then `streamops clean restore PIPELINE [PATH…]`, until it is purged.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, MultipleCronTriggerTimetable, Param, task

from streamops.declared import pipelines, schedules
from streamops.errors import ConfigurationError, StateError
from streamops.retry_policy import failing_at_once_on
from streamops.settings import Settings

FILE = Settings.load().pipelines
PIPELINES = pipelines.load(FILE).pipelines
CRONS = schedules.crons(pipeline.schedules.cleanup for pipeline in PIPELINES.values())

with DAG(
    "clean_wal_and_checkpoints",
    schedule=MultipleCronTriggerTimetable(*CRONS, timezone="UTC") if CRONS else None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(hours=6),
    tags=["streamops", "operations"],
    doc_md=__doc__,
    params={
        "pipelines": Param(
            [],
            type="array",
            items={"type": "string"},
            examples=[*sorted(PIPELINES), "code", "work", "events", "orphans"],
            title="Pipelines",
            description="Only these; none means all, and in a scheduled run those whose time has come.",
        ),
        "dry_run": Param(False, type="boolean", title="Dry run", description="Show the plan and change nothing."),
    },
    default_args={
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "retry_policy": failing_at_once_on(ConfigurationError, StateError),
    },
):

    @task
    def clean(params: dict[str, Any], dag_run: Any, prev_start_date_success: datetime | None = None) -> None:
        """Plan, show, apply and read back, one place after the other. Fails with what kept one of them from it."""
        from streamops.actions import cleanups
        from streamops.errors import together

        declared, wanted = pipelines.load(FILE), params["pipelines"]
        if dag_run.run_type == "scheduled" and not wanted:
            # Airflow hands in a stand-in, which is never None but false where there was no such run.
            last = datetime.fromisoformat(prev_start_date_success.isoformat()) if prev_start_date_success else None
            wanted = cleanups.due(declared, last, datetime.now(UTC))
            if not wanted:
                return
        with cleanups.Cleanups(declared, print) as cleaning:
            errors = cleaning.clean(wanted, dry_run=params["dry_run"])
        if errors:
            raise together(errors, of=max(len(errors), len(declared.pipelines)))

    clean()
