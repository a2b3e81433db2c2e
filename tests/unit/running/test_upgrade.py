"""Which steps an upgrade takes, from wherever a pipeline and an upgrade before it are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamops.running.lifecycle import Plan, SeenDag, SeenDriver, SeenRun, Situation, StepKind
from streamops.running.upgrade import SeenVersions, plan_rollback, plan_upgrade
from streamops.state.lease import Owner, OwnerKind
from streamops.state.orders import Order, Wish
from streamops.state.releases import Release, Stage
from streamops.state.versions import Version

AT = "2026-11-20T03:00:00.000+00:00"
OLD = Version("lines", "aaaaaaaaaaaa", {"approach": "receiver", "interval_s": 1}, {"conf": {"spark.x": "1"}})
NEW = Version("lines", "bbbbbbbbbbbb", {"approach": "direct", "interval_s": 1}, {"conf": {"spark.x": "2"}})
DRIVER = SeenDriver("driver-1", "RUNNING", Owner(OwnerKind.AIRFLOW, "stream_lines", "run-1", "driver", 1),
                    has_started=True, version=OLD.id)
DAG = SeenDag("stream_lines", is_paused=False, runs=(SeenRun("run-1", "running", "deferred"),))
RUNNING = Situation("lines", "manual", 60, 180, drivers=(DRIVER,), dag=DAG)
STOP = Order("lines", 4, Wish.STOP, "alice@shell", AT)
STOPPED = replace(RUNNING, order=STOP, drivers=(), dag=replace(DAG, runs=()))
GONE = replace(STOPPED, order=None)
AWAY = replace(RUNNING, dag=None, airflow_away="Airflow does not answer")
TRIAL = Release("lines", 1, Stage.TRIAL, NEW.id, OLD.id, "alice@shell", AT)
ROLLING = replace(TRIAL, number=2, stage=Stage.ROLLING_BACK, error="ValueError: no")
ROLLED = replace(ROLLING, number=3, stage=Stage.ROLLED_BACK)
DONE = replace(TRIAL, number=4, stage=Stage.DONE)
FOUND = SeenVersions(NEW, OLD)
STOPS = ["order", "end_drivers", "end_runs"]
TRIES = ["point", "trial", "order", "trigger", "judge", "done"]


def kinds(plan: Plan) -> list[str]:
    return [str(step.stage or step.kind) for step in plan.steps]


def with_new(seen: Situation, **changes: bool) -> Situation:
    return replace(seen, drivers=(replace(DRIVER, driver="driver-2", version=NEW.id, **changes),))


@pytest.mark.parametrize(("seen", "found", "expected"), [
    pytest.param(RUNNING, FOUND, [*STOPS, *TRIES], id="new code for what runs"),
    pytest.param(AWAY, FOUND, ["order", "end_drivers", "point", "trial", "order", "submit", "judge", "done"],
                 id="the same with Airflow down"),
    pytest.param(STOPPED, FOUND, TRIES, id="of what is stopped, or was left so by an upgrade that was killed"),
    pytest.param(RUNNING, replace(FOUND, release=ROLLED), [*STOPS, *TRIES], id="another try after a rollback"),
    pytest.param(RUNNING, replace(FOUND, release=DONE), [*STOPS, *TRIES], id="the next one after one that worked"),
    pytest.param(RUNNING, SeenVersions(OLD, OLD), [], id="nothing new"),
    pytest.param(RUNNING, SeenVersions(OLD, OLD, DONE), [], id="nothing new since the last one"),
    pytest.param(STOPPED, SeenVersions(OLD, OLD), ["order", "trigger", "await_start"], id="nothing new, and stopped"),
    pytest.param(RUNNING, SeenVersions(OLD, OLD, ROLLED), ["done"], id="what failed is not deployed any more"),
    pytest.param(with_new(RUNNING), SeenVersions(OLD, OLD), [*STOPS, *TRIES], id="another version is just starting"),
    pytest.param(STOPPED, replace(FOUND, release=TRIAL), ["order", "trigger", "judge", "done"],
                 id="killed after it wrote the trial down"),
    pytest.param(GONE, replace(FOUND, release=TRIAL), ["order", "trigger", "judge", "done"],
                 id="killed before its run was made"),
    pytest.param(with_new(RUNNING, has_started=False), replace(FOUND, release=TRIAL), ["order", "judge", "done"],
                 id="killed while the version starts"),
    pytest.param(with_new(RUNNING), SeenVersions(NEW, NEW, TRIAL), ["done"], id="killed when it had proved itself"),
    pytest.param(with_new(RUNNING), SeenVersions(OLD, OLD, TRIAL), [*STOPS, *TRIES],
                 id="killed, and what is deployed was put back"),
    pytest.param(GONE, replace(FOUND, release=TRIAL, failure="it died"),
                 ["rolling_back", "order", "trigger", "judge", "rolled_back"], id="killed, and the version has failed"),
    pytest.param(replace(GONE, dag=replace(DAG, runs=(SeenRun("run-2", "running", "failed"),))),
                 replace(FOUND, release=TRIAL, failure="it died"),
                 ["rolling_back", "order", "trigger", "judge", "rolled_back"],
                 id="the version has failed, its task too, and its run is about to end"),
    pytest.param(replace(GONE, dag=DAG), replace(FOUND, release=TRIAL, failure="it died"),
                 ["rolling_back", "order", "end_runs", "order", "trigger", "judge", "rolled_back"],
                 id="the version has failed, and its task has not seen that yet"),
    pytest.param(with_new(RUNNING), replace(FOUND, release=ROLLING),
                 [*STOPS, "order", "trigger", "judge", "rolled_back"], id="killed as it began to roll back"),
    pytest.param(STOPPED, replace(FOUND, release=ROLLING), ["order", "trigger", "judge", "rolled_back"],
                 id="killed in the middle of the rollback"),
    pytest.param(RUNNING, replace(FOUND, release=ROLLING), ["judge", "rolled_back"], id="killed at its end"),
])
def test_the_steps(seen: Situation, found: SeenVersions, expected: list[str]) -> None:
    planned = plan_upgrade(seen, found)
    assert kinds(planned) == expected
    assert planned.refusal is None


@pytest.mark.parametrize(("seen", "found", "expected"), [
    pytest.param(replace(STOPPED, order=replace(STOP, wish=Wish.PAUSE)), FOUND, "was paused by alice", id="paused"),
    pytest.param(RUNNING, SeenVersions(NEW, None), "there is none to go back to", id="no version is known to work"),
])
def test_what_is_refused(seen: Situation, found: SeenVersions, expected: str) -> None:
    planned = plan_upgrade(seen, found)
    assert planned.steps == ()
    assert expected in str(planned)
    assert planned.repair


@pytest.mark.parametrize("seen", [RUNNING, AWAY, STOPPED, GONE])
def test_what_is_to_run_is_written_down_before_anything_starts(seen: Situation) -> None:
    for planned in (plan_upgrade(seen, FOUND), plan_rollback(with_new(seen), replace(TRIAL, error="it died"))):
        found = kinds(planned)
        written = found.index("trial") if "trial" in found else found.index("rolling_back")
        assert all(index > written for index, step in enumerate(planned.steps)
                   if step.kind in (StepKind.TRIGGER, StepKind.SUBMIT, StepKind.UNPAUSE_DAG, StepKind.CLEAR))


def test_a_plan_says_what_changes() -> None:
    shown = str(plan_upgrade(RUNNING, replace(FOUND, approach="receiver", release=ROLLED)))
    assert f"version {OLD.id} -> {NEW.id}: code aaaaaaaaaaaa -> bbbbbbbbbbbb; approach receiver -> direct" in shown
    assert "spark.x 1 -> 2" in shown
    assert "hand-over from receiver to direct" in shown
    assert "It failed with: ValueError: no" in shown
