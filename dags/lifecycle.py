"""### Start, stop, restart, pause, resume or upgrade pipelines

Does what `streamops start|stop|restart|pause|resume|upgrade` does. Each action is planned, shown in the log of `plan`,
carried out step by step by `apply`, and read back: a stop succeeds when the drivers are gone, a start when the first
batch is in the batch log.

**Symptom**: a pipeline must not run for a while (maintenance, a broken sink); it hangs; it was stopped and should run.

**Steps**
1. Trigger with the pipelines, the action, and why. Wrong names are refused before anything starts.
2. `stop` lets a direct job finish its batch and receivers process what they received; a driver that has not ended
   within `within_s` is killed. It stays stopped until a `start`: no schedule, retry or reconciliation runs it.
3. `pause` is a stop that a `start`, or a run that somebody triggers, does not end: only `resume` does. Who paused it,
   when and why is in the refusal, and in `streamops status`.
4. `restart` is a stop and then a start; also for a driver that hangs.
5. `upgrade` runs the code and settings that are deployed now. When they log no batch within `within_s`, it starts the
   last version that worked, and fails with the driver's own error; nobody starts the failed one until an `upgrade`.
6. With Airflow down, `streamops stop PIPELINE` and the others do the same from a shell.

**Is it safe to repeat?** Yes, also after it was interrupted anywhere: it goes on from where things are. Two at once do
no harm; of two that contradict each other, one is refused, by name.

**How to undo**: `start` undoes a stop, `resume` a pause. Nothing that was processed is touched: the next driver goes on
from the batch log.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from streamops.declared import pipelines
from streamops.errors import ConfigurationError, JobStopped, RefusedError, RolledBackError
from streamops.retry_policy import failing_at_once_on
from streamops.running.lifecycle import Action
from streamops.settings import Settings

FILE = Settings.load().pipelines
NAMES = sorted(each.name for each in pipelines.load(FILE).pipelines.values() if each.job != "folder_batch")

with DAG(
    "lifecycle",
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(hours=2),
    tags=["streamops", "operations"],
    doc_md=__doc__,
    params={
        "pipelines": Param([], type="array", items={"type": "string", "enum": NAMES}, minItems=1, examples=NAMES,
                           title="Pipelines", description="One or more."),
        "action": Param(str(Action.RESTART), type="string", enum=[str(action) for action in Action], title="Action"),
        "why": Param(None, type=["null", "string"], title="Why", description="Shown to whoever meets it."),
        "within_s": Param(None, type=["null", "number"], minimum=0, title="Within, seconds", description="How long a "
                          "driver may take to end (stop, restart, pause) or to its first batch (start, resume, "
                          "upgrade). Empty for the pipeline's own times."),
    },
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=20),
        "retry_policy": failing_at_once_on(ConfigurationError, RefusedError, RolledBackError, JobStopped),
    },
):

    def planned(params: dict[str, Any], dag_run: Any) -> list[Any]:
        """The plans as things are now, in the log."""
        from streamops.actions import lifecycles

        action = Action(params["action"])
        given = lifecycles.given(action, lifecycles.in_airflow(dag_run), params["why"], params["within_s"])
        plans = lifecycles.plan(pipelines.load(FILE), action, params["pipelines"], given, say=print)
        print("\n".join(str(each.plan) for each in plans))  # noqa: T201  a task's log
        return plans

    @task
    def plan(params: dict[str, Any], dag_run: Any) -> None:
        """Show what would be done. Fails where all of it is refused."""
        from streamops.actions import lifecycles

        lifecycles.require_some_allowed(planned(params, dag_run))

    @task
    def apply(params: dict[str, Any], dag_run: Any) -> None:
        """Plan again, because things move, carry it out and read it back."""
        from streamops.actions import lifecycles

        lifecycles.require_done(lifecycles.apply(planned(params, dag_run)))

    plan() >> apply()
