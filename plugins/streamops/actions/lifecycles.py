"""Starting, stopping and upgrading pipelines: what the DAG `lifecycle` and the command line both do.

    planned = plan(pipelines, Action.STOP, ["lines"], Given("alice@host"), say=print)
    results = apply(planned, say=print)       # one pipeline after the other; an error of one does not keep the others
    require_done(results)
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from streamops.actions import snapshots
from streamops.adapters.airflow.api import AirflowApi
from streamops.adapters.airflow.dags import AirflowDag
from streamops.adapters.pipelines.drivers import PipelineDrivers
from streamops.adapters.pipelines.lifecycle_steps import Given, LifecycleSteps
from streamops.adapters.pipelines.upgrade_steps import UpgradeSteps
from streamops.declared.pipeline import Pipeline
from streamops.declared.pipelines import Pipelines
from streamops.errors import ConfigurationError, RefusedError, StreamopsError, together
from streamops.running.lifecycle import Action, Plan, Situation
from streamops.running.lifecycle import plan as plan_one
from streamops.running.upgrade import plan_upgrade
from streamops.settings import Settings

Say = Callable[[str], None]

#: The task of a pipeline's DAG; see stream_dag.py, which imports what a command has no need for.
_TASK_ID = "driver"


@dataclass(frozen=True)
class Planned:
    """The plan for one pipeline, with what it was made from and what carries it out."""

    plan: Plan
    seen: Situation
    steps: LifecycleSteps


@dataclass(frozen=True)
class Result:
    """What became of a plan; `error` is None when it is done, and read back."""

    plan: Plan
    error: StreamopsError | None = None

    def as_dict(self) -> dict[str, object]:
        """The plan's, and `done` and `error`."""
        return {**self.plan.as_dict(), "done": self.error is None, "error": str(self.error) if self.error else None}


def given(action: Action, by: str, why: str | None, within_s: float | None) -> Given:
    """Who acts and why; `within_s` is how long a driver may take to its first batch, or else to its end."""
    starts = action in (Action.START, Action.RESUME, Action.UPGRADE)
    return Given(by, why, None if starts else within_s, within_s if starts else None)


def chosen(declared: Pipelines, names: Collection[str]) -> list[Pipeline]:
    """The pipelines of those names, each once, in order. Raises ConfigurationError with everything that is wrong."""
    found, problems = [], []
    for name in dict.fromkeys(names):
        try:
            pipeline = declared.pipeline(name)
        except ConfigurationError as error:
            problems.append(str(error))
            continue
        if pipeline.job == "folder_batch":
            problems.append(f"{name} ends by itself: trigger the DAG `batch_{name}`, or end its run there")
        found.append(pipeline)
    if problems or not found:
        raise ConfigurationError("\n".join(problems) or "no pipeline is named", None if problems else "Name one.")
    return found


def plan(
    declared: Pipelines,
    action: Action,
    names: Collection[str],
    given: Given,
    say: Say,
    settings: Settings | None = None,
) -> list[Planned]:
    """A plan for each pipeline; nothing is changed. `say` is told of progress once the plans are applied.

    Raises ConfigurationError for names and connections that are wrong, UnavailableError where a state directory does
    not answer. An Airflow that is away is part of the plan.
    """
    settings = settings or Settings.load()
    api, away = _airflow()
    planned = []
    for pipeline in chosen(declared, names):
        dag = AirflowDag(api, f"stream_{pipeline.name}", _TASK_ID) if api is not None else None
        parts = (PipelineDrivers(pipeline, settings), dag, away, given, say)
        if action is Action.UPGRADE:
            steps = UpgradeSteps(*parts, take_point=partial(_take_point, pipeline, say))
            seen = steps.situation()
            planned.append(Planned(plan_upgrade(seen, steps.versions()), seen, steps))
        else:
            plain = LifecycleSteps(*parts)
            seen = plain.situation()
            planned.append(Planned(plan_one(action, seen), seen, plain))
    return planned


def require_some_allowed(planned: Collection[Planned]) -> None:
    """Raises RefusedError with every reason when no plan may be carried out."""
    if all(each.plan.refusal is not None for each in planned):
        require_done(apply(planned))


def apply(planned: Iterable[Planned]) -> list[Result]:
    """Carry out the plans, one pipeline after the other, and read each back."""
    return [_applied(each) for each in planned]


def require_done(results: Collection[Result]) -> None:
    """Raises one error that has those of all pipelines that failed."""
    if errors := [result.error for result in results if result.error is not None]:
        raise together(errors, of=len(results))


def do(
    declared: Pipelines, action: Action, name: str, given: Given, say: Say, settings: Settings | None = None
) -> None:
    """Plan what an action takes for one pipeline, say it, and do it. Raises what keeps it from being done."""
    planned = plan(declared, action, [name], given, say, settings)
    for each in planned:
        say(str(each.plan))
    require_done(apply(planned))


def at_a_shell() -> str:
    """Who acts, for an order: `alice@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def in_airflow(dag_run: Any) -> str:
    """Who acts, for an order, in a task of that run."""
    return f"{dag_run.triggering_user_name or 'somebody'} in Airflow, run {dag_run.run_id}"


def _applied(planned: Planned) -> Result:
    if planned.plan.refusal is not None:
        return Result(planned.plan, RefusedError(planned.plan.refusal, planned.plan.repair))
    try:
        planned.steps.apply(planned.plan, planned.seen)
    except StreamopsError as error:
        return Result(planned.plan, error)
    return Result(planned.plan)


def _take_point(pipeline: Pipeline, say: Say) -> str:
    if pipeline.source != "kafka":
        return f"{pipeline.name} reads a folder, which has no offsets to record"
    return "\n".join(map(str, snapshots.take([pipeline], snapshots.store(), say)))


def _airflow() -> tuple[AirflowApi | None, str | None]:
    try:
        return AirflowApi.connected(), None
    except ConfigurationError as error:
        return None, f"Airflow cannot be asked: {error.found}"
