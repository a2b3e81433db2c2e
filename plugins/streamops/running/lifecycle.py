"""Starting, stopping, restarting, pausing and resuming a pipeline: which steps that takes from where it is.

Every step does the same once and twice, so an action that was interrupted anywhere is finished by giving it again. What
keeps a stopped pipeline stopped is the order (see state/orders.py); the steps in Airflow make it show the same.
Pure: what was observed comes in, a plan goes out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from streamops.running.takeover import OVER
from streamops.state.lease import Owner, OwnerKind
from streamops.state.orders import Order, Wish
from streamops.state.releases import Stage

#: States of a task that waits for a time to come. Clearing it makes it go on now.
WAITING = frozenset({"up_for_reschedule", "up_for_retry"})


class Action(StrEnum):
    """What a person may want done to a pipeline."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    PAUSE = "pause"
    RESUME = "resume"
    UPGRADE = "upgrade"


class StepKind(StrEnum):
    """What a step does; `adapters/lifecycle_steps.py` has one method for each."""

    ORDER = "order"
    PAUSE_DAG = "pause_dag"
    END_DRIVERS = "end_drivers"
    END_RUNS = "end_runs"
    UNPAUSE_DAG = "unpause_dag"
    TRIGGER = "trigger"
    CLEAR = "clear"
    SUBMIT = "submit"
    AWAIT_START = "await_start"
    # Of an upgrade alone; see upgrade.py and adapters/upgrade_steps.py.
    POINT = "point"
    RELEASE = "release"
    JUDGE = "judge"


@dataclass(frozen=True)
class SeenDriver:
    """A driver that is not known to be gone. `state` is Spark's word for it.

    `has_started`: its first batch is in the batch log. `is_ending`: it said why it ends, and its process is there yet.
    """

    driver: str
    state: str
    owner: Owner
    has_started: bool
    is_ending: bool = False
    version: str | None = None


@dataclass(frozen=True)
class SeenRun:
    """A run that is queued or running, and the state of its task `driver`."""

    run_id: str
    state: str
    task_state: str | None = None

    @property
    def may_start(self) -> bool:
        """Whether its task may still start a driver, or has one. Airflow ends a run a moment after its task."""
        return self.task_state not in OVER


@dataclass(frozen=True)
class SeenDag:
    """The pipeline's DAG as Airflow has it; `runs` are those not over. `is_scheduled`: Airflow's scheduler is alive."""

    dag_id: str
    is_paused: bool
    is_scheduled: bool = True
    runs: tuple[SeenRun, ...] = ()

    @property
    def has_task(self) -> bool:
        """Whether there is a run whose task may still start a driver, or has one."""
        return any(each.may_start for each in self.runs)


@dataclass(frozen=True)
class Situation:
    """Where a pipeline is. `dag` is None with the reason in `airflow_away`.

    `run` is `always` or `manual`, `is_lease_in_doubt`: its last holder neither said that it stopped nor is known to be
    gone. `stop_timeout_s` and `start_timeout_s` are the pipeline's own, or those that were asked for.
    """

    pipeline: str
    run: str
    stop_timeout_s: float
    start_timeout_s: float
    order: Order | None = None
    drivers: tuple[SeenDriver, ...] = ()
    is_lease_in_doubt: bool = False
    dag: SeenDag | None = None
    airflow_away: str | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether a person has it stopped or paused."""
        return self.order is not None and self.order.stops


@dataclass(frozen=True)
class Step:
    """One step, and what it does in words; `wish` is that of an order, `stage` that of a release."""

    kind: StepKind
    text: str
    wish: Wish | None = None
    stage: Stage | None = None


@dataclass(frozen=True)
class Plan:
    """The steps of an action, none where all is as wanted; `refusal` and `repair` say why nothing may be done."""

    pipeline: str
    action: Action
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    refusal: str | None = None
    repair: str | None = None

    def __str__(self) -> str:
        lines = [f"{self.action} {self.pipeline}" + ("" if self.steps or self.refusal else ": nothing is to be done")]
        lines += [f"  {number}. {step.text}" for number, step in enumerate(self.steps, 1)]
        lines += [f"  note: {note}" for note in self.notes]
        if self.refusal is not None:
            lines += [f"  refused: {self.refusal}", f"  {self.repair}"]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """`{"pipeline": "lines", "action": "stop", "steps": [{"kind": "order", "text": "…"}], "refusal": null, …}`"""
        return {
            "pipeline": self.pipeline,
            "action": str(self.action),
            "steps": [{"kind": str(step.kind), "text": step.text} for step in self.steps],
            "notes": list(self.notes),
            "refusal": self.refusal,
            "repair": self.repair,
        }


def plan(action: Action, seen: Situation) -> Plan:
    """The steps of an action from where the pipeline is."""
    if action in (Action.STOP, Action.PAUSE):
        return Plan(seen.pipeline, action, tuple(stopping(action, seen)), tuple(_notes_on_a_stop(seen)))
    if action is not Action.RESUME and seen.order is not None and seen.order.wish is Wish.PAUSE:
        return Plan(seen.pipeline, action, refusal=f"{seen.pipeline} was {seen.order}", repair=seen.order.repair)
    if action is Action.RESTART:
        stops = tuple(stopping(action, seen))
        return Plan(seen.pipeline, action, (*stops, *starting(stopped(seen))), tuple(notes_on_a_start(seen)))
    ends = tuple(ending(seen)) if seen.is_stopped else ()
    starts = starting(replace(seen, drivers=()) if ends else seen)
    return Plan(seen.pipeline, action, (*ends, *starts), tuple(notes_on_a_start(seen)))


def stopping(action: Action, seen: Situation) -> Iterator[Step]:
    wish = Wish.PAUSE if action is Action.PAUSE else Wish.STOP
    if not seen.is_stopped or (wish is Wish.PAUSE and seen.order is not None and seen.order.wish is Wish.STOP):
        until = "a resume" if wish is Wish.PAUSE else "a start"
        text = f"order all drivers of {seen.pipeline} to end, and none to begin until {until}"
        yield Step(StepKind.ORDER, text, wish)
    # A run that is triggered on a paused DAG stays queued without a word. Only a DAG that starts runs by itself is
    # paused; a run of any other is refused by its task, with the reason.
    if seen.dag is not None and seen.run == "always" and not seen.dag.is_paused:
        yield Step(StepKind.PAUSE_DAG, f"pause DAG {seen.dag.dag_id}")
    yield from ending(seen)
    if seen.dag is not None and seen.dag.runs:
        runs = ", ".join(run.run_id for run in seen.dag.runs)
        yield Step(StepKind.END_RUNS, f"mark as success what is not over of DAG {seen.dag.dag_id}: {runs}")


def ending(seen: Situation) -> Iterator[Step]:
    if seen.drivers:
        names = ", ".join(f"{each.driver} ({each.state}, started by {each.owner})" for each in seen.drivers)
        limit = f"up to {seen.stop_timeout_s:g} s"
        yield Step(StepKind.END_DRIVERS, f"wait {limit} for {names} to end, then kill it through Spark's master")
    elif seen.is_lease_in_doubt:
        yield Step(StepKind.END_DRIVERS, "watch the lease: Spark's master does not know the driver that held it last")


def starting(seen: Situation) -> Iterator[Step]:
    dag, started = seen.dag, [each for each in seen.drivers if each.has_started]
    if started and not seen.is_stopped:
        is_orphan = all(each.owner.kind is OwnerKind.START for each in started)
        if dag is not None and dag.is_scheduled and is_orphan and not dag.has_task:
            yield from _through_airflow(dag, seen.run)
        return
    yield Step(StepKind.ORDER, f"order {seen.pipeline} to run", Wish.RUN)
    if dag is not None and dag.is_scheduled:
        yield from _through_airflow(dag, seen.run)
    else:
        if dag is not None and dag.is_paused:
            yield Step(StepKind.UNPAUSE_DAG, f"unpause DAG {dag.dag_id}")
        if all(each.is_ending for each in seen.drivers):
            yield Step(StepKind.SUBMIT, "submit a driver to Spark's master, as Airflow's task would")
    yield Step(StepKind.AWAIT_START, f"wait up to {seen.start_timeout_s:g} s for its first batch in the batch log")


def _through_airflow(dag: SeenDag, run: str) -> Iterator[Step]:
    if dag.is_paused:
        makes = ", which makes its next run" if run == "always" else ""
        yield Step(StepKind.UNPAUSE_DAG, f"unpause DAG {dag.dag_id}{makes}")
    if not dag.has_task and run == "manual":
        yield Step(StepKind.TRIGGER, f"trigger DAG {dag.dag_id}")
    for each in dag.runs:
        if each.task_state in WAITING:
            yield Step(StepKind.CLEAR, f"clear the task of run {each.run_id}, which waits ({each.task_state})")


def stopped(seen: Situation) -> Situation:
    """Where the pipeline is after the steps of a stop."""
    dag = seen.dag and replace(seen.dag, is_paused=seen.dag.is_paused or seen.run == "always", runs=())
    return replace(seen, drivers=(), is_lease_in_doubt=False, dag=dag)


def _notes_on_a_stop(seen: Situation) -> Iterator[str]:
    if seen.airflow_away is not None:
        yield (f"{seen.airflow_away}. When it is back, its task finds the order and starts nothing: a scheduled run "
               "waits until the pipeline is started, any other ends")


def notes_on_a_start(seen: Situation) -> Iterator[str]:
    if seen.airflow_away is not None:
        yield (f"{seen.airflow_away}. When it is back, a run of an unpaused DAG goes on with this driver; give "
               "`start` again then, so that there is one")
    elif seen.dag is not None and not seen.dag.is_scheduled:
        yield "Airflow's scheduler shows no sign of life. When it is back, the next run goes on with this driver"
    running = [each.driver for each in seen.drivers if each.has_started]
    if running and not seen.is_stopped:
        yield f"driver {', '.join(running)} runs"
