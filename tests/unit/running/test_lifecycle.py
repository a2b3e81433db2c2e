"""Which steps an action takes, from wherever a pipeline is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamops.running.lifecycle import Action, SeenDag, SeenDriver, SeenRun, Situation, StepKind, plan
from streamops.state.lease import Owner, OwnerKind
from streamops.state.orders import Order, Wish

RUN = Owner(OwnerKind.AIRFLOW, "stream_lines", "run-1", "driver", 1)
DRIVER = SeenDriver("driver-1", "RUNNING", RUN, has_started=True)
STARTING = replace(DRIVER, has_started=False)
STARTED_HERE = replace(DRIVER, owner=Owner(OwnerKind.START))
DAG = SeenDag("stream_lines", is_paused=False, runs=(SeenRun("run-1", "running", "deferred"),))
IDLE_DAG, PAUSED_DAG = replace(DAG, runs=()), replace(DAG, is_paused=True, runs=())
STOP = Order("lines", 4, Wish.STOP, "alice@shell", "2026-11-20T03:00:00.000+00:00")
PAUSE = replace(STOP, wish=Wish.PAUSE, why="new certificates")
RUNNING = Situation("lines", "always", 60, 180, drivers=(DRIVER,), dag=DAG)
MANUAL = replace(RUNNING, run="manual")
AWAY = replace(RUNNING, dag=None, airflow_away="Airflow does not answer at http://a")
STOPPED = replace(RUNNING, order=STOP, drivers=(), dag=PAUSED_DAG)
GONE = replace(RUNNING, drivers=(), dag=IDLE_DAG)


def kinds(action: Action, seen: Situation) -> list[str]:
    return [str(step.kind) for step in plan(action, seen).steps]


@pytest.mark.parametrize(("action", "seen", "expected"), [
    pytest.param(Action.STOP, RUNNING, ["order", "pause_dag", "end_drivers", "end_runs"], id="stop what runs"),
    pytest.param(Action.STOP, MANUAL, ["order", "end_drivers", "end_runs"],
                 id="a DAG that starts nothing by itself is not paused: its task refuses a run with the reason"),
    pytest.param(Action.STOP, AWAY, ["order", "end_drivers"], id="stop with Airflow down"),
    pytest.param(Action.STOP, STOPPED, [], id="stop what is stopped"),
    pytest.param(Action.STOP, replace(STOPPED, drivers=(DRIVER,), dag=DAG), ["pause_dag", "end_drivers", "end_runs"],
                 id="finish a stop that was interrupted after its order"),
    pytest.param(Action.STOP, replace(STOPPED, dag=replace(DAG, is_paused=True)), ["end_runs"],
                 id="finish a stop that was interrupted at its last step"),
    pytest.param(Action.STOP, replace(STOPPED, order=PAUSE), [], id="stop what is paused: the pause stays"),
    pytest.param(Action.STOP, replace(STOPPED, is_lease_in_doubt=True), ["end_drivers"], id="its holder is lost"),
    pytest.param(Action.PAUSE, RUNNING, ["order", "pause_dag", "end_drivers", "end_runs"], id="pause what runs"),
    pytest.param(Action.PAUSE, STOPPED, ["order"], id="pause what is stopped"),
    pytest.param(Action.PAUSE, replace(STOPPED, order=PAUSE), [], id="pause what is paused"),
    pytest.param(Action.START, RUNNING, [], id="start what runs"),
    pytest.param(Action.START, STOPPED, ["order", "unpause_dag", "await_start"], id="start what is stopped"),
    pytest.param(Action.START, GONE, ["order", "await_start"], id="the DAG is about to make a run"),
    pytest.param(Action.START, replace(GONE, run="manual"), ["order", "trigger", "await_start"], id="a manual one"),
    pytest.param(Action.START, replace(GONE, dag=replace(DAG, runs=(SeenRun("r", "running", "up_for_reschedule"),))),
                 ["order", "clear", "await_start"], id="its run waits for the start"),
    pytest.param(Action.START, replace(GONE, dag=DAG), ["order", "await_start"], id="its run is at it"),
    pytest.param(Action.START, replace(GONE, run="manual", dag=replace(DAG, runs=(SeenRun("r", "running", "failed"),))),
                 ["order", "trigger", "await_start"], id="a run whose task has failed is about to end"),
    pytest.param(Action.START, replace(RUNNING, drivers=(STARTING,)), ["order", "await_start"], id="it is starting"),
    pytest.param(Action.START, replace(AWAY, drivers=()), ["order", "submit", "await_start"], id="with Airflow down"),
    pytest.param(Action.START, replace(AWAY, drivers=(STARTING,)), ["order", "await_start"],
                 id="with Airflow down, and submitted already"),
    pytest.param(Action.START, replace(AWAY, drivers=(replace(STARTING, is_ending=True),)),
                 ["order", "submit", "await_start"], id="with Airflow down, and the last driver is about to be gone"),
    pytest.param(Action.START, replace(STOPPED, dag=replace(PAUSED_DAG, is_scheduled=False)),
                 ["order", "unpause_dag", "submit", "await_start"], id="with Airflow's scheduler down"),
    pytest.param(Action.START, replace(STOPPED, drivers=(DRIVER,)),
                 ["end_drivers", "order", "unpause_dag", "await_start"], id="while it ends: that is finished first"),
    pytest.param(Action.START, replace(RUNNING, drivers=(STARTED_HERE,), dag=PAUSED_DAG), ["unpause_dag"],
                 id="started with Airflow down, which is back"),
    pytest.param(Action.START, replace(MANUAL, drivers=(STARTED_HERE,), dag=IDLE_DAG), ["trigger"],
                 id="the same, of a pipeline that is started by hand"),
    pytest.param(Action.RESTART, RUNNING, ["order", "pause_dag", "end_drivers", "end_runs", "order", "unpause_dag",
                                           "await_start"], id="restart"),
    pytest.param(Action.RESTART, MANUAL, ["order", "end_drivers", "end_runs", "order", "trigger", "await_start"],
                 id="restart a manual one"),
    pytest.param(Action.RESTART, AWAY, ["order", "end_drivers", "order", "submit", "await_start"],
                 id="restart with Airflow down"),
    pytest.param(Action.RESTART, STOPPED, ["order", "unpause_dag", "await_start"],
                 id="restart what is stopped, or was left so by a restart that was interrupted"),
    pytest.param(Action.RESUME, replace(STOPPED, order=PAUSE), ["order", "unpause_dag", "await_start"], id="resume"),
    pytest.param(Action.RESUME, RUNNING, [], id="resume what runs"),
])
def test_the_steps(action: Action, seen: Situation, expected: list[str]) -> None:
    assert kinds(action, seen) == expected
    assert plan(action, seen).refusal is None


@pytest.mark.parametrize("action", [Action.START, Action.RESTART])
def test_what_is_paused_is_neither_started_nor_restarted(action: Action) -> None:
    refused = plan(action, replace(STOPPED, order=PAUSE))
    assert refused.steps == ()
    assert "paused by alice@shell at 2026-11-20T03:00:00.000+00:00: new certificates" in str(refused)
    assert "streamops resume lines" in str(refused)


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("seen", [RUNNING, MANUAL, AWAY, STOPPED, GONE])
def test_a_stop_is_written_down_before_anything_else_and_lifted_before_anything_starts(
    action: Action, seen: Situation
) -> None:
    steps = plan(action, seen).steps
    orders = [index for index, step in enumerate(steps) if step.kind is StepKind.ORDER and step.wish is Wish.RUN]
    starts = [index for index, step in enumerate(steps)
              if step.kind in (StepKind.UNPAUSE_DAG, StepKind.TRIGGER, StepKind.CLEAR, StepKind.SUBMIT)]
    if any(step.wish in (Wish.STOP, Wish.PAUSE) for step in steps):
        assert steps[0].kind is StepKind.ORDER
    assert not starts or (orders and orders[0] < min(starts))


def test_a_plan_says_what_airflow_will_do_when_it_is_back() -> None:
    stop, start = plan(Action.STOP, AWAY), plan(Action.START, replace(AWAY, drivers=()))
    assert "Airflow does not answer at http://a. When it is back, its task finds the order" in str(stop)
    assert "goes on with this driver" in str(start)
    assert stop.as_dict()["notes"]


def test_a_plan_reads_step_by_step() -> None:
    assert str(plan(Action.STOP, RUNNING)).splitlines() == [
        "stop lines",
        "  1. order all drivers of lines to end, and none to begin until a start",
        "  2. pause DAG stream_lines",
        "  3. wait up to 60 s for driver-1 (RUNNING, started by run run-1 of DAG stream_lines, try 1) to end, then "
        "kill it through Spark's master",
        "  4. mark as success what is not over of DAG stream_lines: run-1",
    ]
    assert str(plan(Action.STOP, STOPPED)) == "stop lines: nothing is to be done"
