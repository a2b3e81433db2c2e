"""### Stop drivers that no run owns

Airflow leaves a Spark driver behind when a task is marked failed in its first deferred second, or when a run is
deleted while its triggerer is down. Every five minutes this DAG compares all drivers that the pipelines know with the
runs that asked for them.

**Symptom**: `streamops drivers list` shows a running driver whose run is over; or a task fails because another driver
holds the lease.

**Steps**
1. Read this DAG's last log: the plan has one line for each driver, with the reason.
2. To have it done now, trigger this DAG, or run `streamops drivers reconcile --apply` at a shell.
3. A driver that a person started from a shell is shown and never stopped: `streamops drivers kill ID`.

**Is it safe to repeat?** Yes. Only what certainly belongs to nobody is stopped; when Airflow or Spark does not answer,
nothing is.

**How to undo**: clear the task `driver` of the pipeline's own DAG; a new driver goes on from the batch log.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, task

with DAG(
    "reconcile_drivers",
    schedule=timedelta(minutes=5),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(minutes=10),
    tags=["streamops", "operations"],
    doc_md=__doc__,
):

    @task(retries=2, retry_delay=timedelta(seconds=30))
    def reconcile() -> None:
        """Plan, show, apply and read back, one pipeline after the other."""
        from streamops.adapters.airflow.runs import is_owner_alive
        from streamops.adapters.pipelines import driver_census
        from streamops.errors import StreamopsError, together

        decided, errors = driver_census.decide(known := driver_census.of_all_pipelines(), is_owner_alive)
        for pipeline, plan in decided:
            print("\n".join(map(str, plan)) or f"{pipeline.pipeline.name} has no drivers")  # noqa: T201  a task's log
            try:
                driver_census.carry_out(pipeline, plan, say=print)
            except StreamopsError as error:
                errors.append(error)
        if errors:
            raise together(errors, of=len(known))

    reconcile()
