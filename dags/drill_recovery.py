"""### Drill recovery: a fault on purpose, judged at the sink

Starts a canary, sends numbered records through it, inflicts faults, heals them, and says which records were lost,
doubled or reordered, and how long the pipeline took to come back. Everything is in our database: `streamops drill
list|show|compare`. What the faults are: `streamops drill faults`.

**Symptom**: nobody knows whether it would come back; or something has changed (a version, a setting), and it should
be known before the night. A failed run: a record was lost or doubled, or a pipeline did not come back; the log of
`drill` says which.

**Steps**
1. Trigger with pipelines and faults; without any, every canary, with driver, executor and broker killed.
2. A pipeline of production is refused unless its entry says `drills: {allowed: true}`, and then waits for a person
   (Required Actions). Nothing is sent into its topics.
3. To cancel, mark the task `drill` as failed: what it has inflicted is healed at once. After a crash,
   `streamops drill heal` heals, and so does the next run.
4. Faults on Airflow's own scheduler and database are for a shell: a task cannot outlive them.

**Is it safe to repeat?** Yes. Two at once: the second is refused. On canaries it disturbs nobody else, but for faults
on servers (broker, worker, master), which hit whoever uses them.

**How to undo**: every fault is healed before the verdict. `streamops drill heal` repeats that without harm.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, MultipleCronTriggerTimetable, Param, task

from streamops import errors
from streamops.declared import pipelines, schedules
from streamops.drilling.drill_operator import DrillOperator
from streamops.drills import faults
from streamops.retry_policy import failing_at_once_on
from streamops.settings import Settings

FILE = Settings.load().pipelines
PIPELINES = [each for each in pipelines.load(FILE).pipelines.values() if each.drills.canary or each.drills.allowed]
NAMES = sorted(each.name for each in PIPELINES)
CRONS = schedules.crons(each.schedules.drill for each in PIPELINES if each.drills.canary)
FINAL = (errors.ConfigurationError, errors.RefusedError, errors.StateError, errors.AlarmError)

with DAG(
    "drill_recovery",
    schedule=MultipleCronTriggerTimetable(*CRONS, timezone="UTC") if CRONS else None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(hours=12),
    tags=["streamops", "operations"],
    doc_md=__doc__,
    params={
        "pipelines": Param([], type="array", items={"type": "string"}, examples=NAMES, title="Pipelines",
                           description="None means every canary, and in a scheduled run those whose time has come."),
        "faults": Param(list(faults.USUAL), type="array", items={"type": "string"}, examples=sorted(faults.FAULTS),
                        title="Faults", description="Each is inflicted on each pipeline."),
        "repetitions": Param(1, type="integer", minimum=1, title="Repetitions", description="Of each fault."),
        "seed": Param(None, type=["null", "integer"], title="Seed", description="The same seed inflicts the same, in "
                      "the same order. Empty: by chance."),
        "rate": Param(200, type="number", minimum=1, title="Rate", description="Records a second into a canary."),
        "backend": Param("local", enum=["local", "compose", "kubernetes", "yarn"], title="Backend",
                         description="Where the servers run."),
    },
    default_args={
        "retries": 1,
        "retry_delay": timedelta(seconds=20),
        "retry_policy": failing_at_once_on(*FINAL),
    },
):

    @task
    def plan(params: dict[str, Any], dag_run: Any, ti: Any) -> dict[str, Any]:
        """What would be inflicted, in the log and for the approval. Fails where it is refused."""
        from streamops.drilling import drill_tasks

        shown, planned = drill_tasks.plan(pipelines.load(FILE), params, dag_run, say=print)
        ti.xcom_push("shown", shown)
        return planned

    @task.branch
    def ask(planned: Any) -> str | None:
        """Whether a person has to approve; nothing is due in most scheduled runs."""
        return None if not planned else "approve" if planned["to_approve"] else "drill"
    approve = ApprovalOperator(task_id="approve", subject="Drill production?", fail_on_reject=True,
                               body="{{ ti.xcom_pull(task_ids='plan', key='shown') }}")
    planned = plan()
    drill = DrillOperator(task_id="drill", planned=planned, rate="{{ params.rate }}",
                          trigger_rule="none_failed_min_one_success")
    (asked := ask(planned)) >> approve >> drill
    asked >> drill
