"""The steps of a lifecycle on a real state directory, with a Spark master that says what the test wants."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.pipelines import lifecycle_steps
from streamops.adapters.pipelines.drivers import PipelineDrivers, Start
from streamops.adapters.pipelines.lifecycle_steps import Given, LifecycleSteps
from streamops.errors import RefusedError, StateError, UnavailableError
from streamops.running.driver_status import Sighting, Standing
from streamops.running.lifecycle import Action, plan
from streamops.state import drivers, lease, orders
from streamops.state.drivers import DriverRecord
from streamops.state.lease import Beat, JobState, Lease, Owner, OwnerKind
from streamops.state.orders import Order, Wish

AT = "2026-11-20T03:00:00.000+00:00"
OWNER = Owner(OwnerKind.AIRFLOW, "stream_lines", "run-1", "driver", 1)
RECORD = DriverRecord("driver-1", "lines", OWNER, AT, 1)


@dataclass
class Master:
    """A Spark master with drivers. `ends_after`: looks after which a driver ends by itself; None for never."""

    standing: dict[str, Standing] = field(default_factory=dict)
    ends_after: int | None = None
    killed: list[str] = field(default_factory=list)

    def look(self, driver: str) -> Sighting:
        if self.ends_after is not None:
            self.ends_after -= 1
            if self.ends_after < 0:
                self.standing[driver] = Standing.ENDED
        return Sighting(self.standing.get(driver, Standing.NOT_KNOWN))

    def kill_and_wait(self, driver: str, _timeout_s: float) -> Sighting:
        self.killed.append(driver)
        self.standing[driver] = Standing.ENDED
        return self.look(driver)


class Drivers:
    """What the steps ask of PipelineDrivers. `writes`: whether the beat of a driver that is gone goes on."""

    def __init__(self, files: StateFiles, master: Master, *, writes: bool = False) -> None:
        self.pipeline = SimpleNamespace(name="lines", run="always", stop_timeout_s=60.0, start_timeout_s=60.0)
        self.files, self.master, self._writes = files, master, writes

    def order(self) -> Order | None:
        return orders.standing(self.files)

    def start_of(self, _driver: str) -> Start:
        return Start(None, Standing.LIVING, "its job is starting")

    def beats(self, _driver: str, _say: object) -> bool:
        return self._writes


@pytest.fixture
def files(tmp_path: Path) -> StateFiles:
    """The state directory of a pipeline whose driver runs."""
    made = StateFiles(tmp_path.as_uri())
    made.write_new(drivers.path("driver-1"), RECORD.to_json())
    made.write_new(lease.path(1), Lease("lines", 1, "driver-1", OWNER, "host", 7, AT).to_json())
    made.replace(lease.beat_path(1), Beat(1, AT, JobState.RUNNING, 3).to_json())
    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle_steps, "_POLL_S", 0.001)


def steps_of(files: StateFiles, master: Master, by: str = "alice", stop_within_s: float | None = None,
             **changes: Any) -> LifecycleSteps:
    given = Given(by, "new disks", stop_within_s)
    found = cast("PipelineDrivers", Drivers(files, master, **changes))
    return LifecycleSteps(found, None, "Airflow is away", given, lambda _: None)


def living(ends_after: int | None = None) -> Master:
    return Master({"driver-1": Standing.LIVING}, ends_after)


def do(action: Action, steps: LifecycleSteps) -> None:
    seen = steps.situation()
    steps.apply(plan(action, seen), seen)


def test_a_driver_that_ends_on_the_order_is_not_killed(files: StateFiles) -> None:
    master = living(ends_after=12)
    do(Action.STOP, steps_of(files, master))
    order = orders.standing(files)
    assert order is not None
    assert (order.number, order.wish, order.by, order.why) == (1, Wish.STOP, "alice", "new disks")
    assert master.killed == []


def test_a_driver_that_hangs_is_killed_after_its_time(files: StateFiles) -> None:
    master = living()
    do(Action.STOP, steps_of(files, master, stop_within_s=0.02))
    assert master.killed == ["driver-1"]
    do(Action.STOP, steps_of(files, master))
    assert master.killed == ["driver-1"], "a second stop finds nothing to do"


def test_a_driver_that_writes_although_the_master_has_lost_it_is_no_success(files: StateFiles) -> None:
    with pytest.raises(StateError, match=r"still writes for lines \(host host, process 7\)"):
        do(Action.STOP, steps_of(files, Master(), writes=True))
    do(Action.STOP, steps_of(files, Master(), writes=False))


def test_without_a_spark_master_the_order_stands_and_nothing_is_said_to_be_gone(files: StateFiles) -> None:
    steps = steps_of(files, Master({"driver-1": Standing.NO_ANSWER}), stop_within_s=0.02)
    with pytest.raises(UnavailableError, match=r"does not say that it ended(.|\n)*The order stands"):
        do(Action.STOP, steps)
    order = orders.standing(files)
    assert order is not None
    assert order.stops


def test_of_two_that_want_the_same_one_gives_the_order(files: StateFiles) -> None:
    master = living(ends_after=40)
    one, two = steps_of(files, master), steps_of(files, master, by="bob")
    seen_by_one, seen_by_two = one.situation(), two.situation()
    one.apply(plan(Action.STOP, seen_by_one), seen_by_one)
    two.apply(plan(Action.STOP, seen_by_two), seen_by_two)
    assert sorted(files.names(orders.DIRECTORY)) == ["000001.json"]


def test_of_two_that_contradict_each_other_the_second_is_refused_by_name(files: StateFiles) -> None:
    stop, start = steps_of(files, living()), steps_of(files, Master(), by="bob")
    seen_by_start = start.situation()
    seen = stop.situation()
    stop.apply(replace(plan(Action.STOP, seen), steps=plan(Action.STOP, seen).steps[:1]), seen)
    with pytest.raises(RefusedError, match="stopped by alice"):
        start.apply(plan(Action.START, seen_by_start), seen_by_start)


def test_a_stop_goes_no_further_once_somebody_starts_the_pipeline(files: StateFiles) -> None:
    master = living()
    steps = steps_of(files, master, stop_within_s=0.02)
    seen = steps.situation()

    def started_meanwhile(driver: str) -> Sighting:
        order = Order("lines", 2, Wish.RUN, "bob", AT)
        files.write_new(orders.path(2), order.to_json())
        return Sighting(Standing.LIVING)

    master.look = started_meanwhile  # type: ignore[method-assign]
    with pytest.raises(RefusedError, match="started by bob"):
        steps.apply(plan(Action.STOP, seen), seen)
    assert master.killed == []


def test_a_start_waits_for_no_batch_under_an_order_to_stop(files: StateFiles) -> None:
    master = living()
    files.replace(lease.beat_path(1), Beat(1, AT, JobState.STARTING).to_json())
    steps = steps_of(files, master)
    seen = steps.situation()
    planned = plan(Action.START, seen)

    def stopped_meanwhile(driver: str) -> Sighting:
        order = Order("lines", 2, Wish.STOP, "bob", AT)
        files.write_new(orders.path(2), order.to_json())
        return Sighting(Standing.LIVING)

    master.look = stopped_meanwhile  # type: ignore[method-assign]
    with pytest.raises(RefusedError, match="stopped by bob"):
        steps.apply(planned, seen)


def test_a_pipeline_that_never_ran_is_stopped_by_the_order_alone(tmp_path: Path) -> None:
    empty = StateFiles(tmp_path.as_uri())
    do(Action.PAUSE, steps_of(empty, Master()))
    order = orders.standing(empty)
    assert order is not None
    assert order.wish is Wish.PAUSE


def test_what_is_seen(files: StateFiles) -> None:
    seen = steps_of(files, living()).situation()
    assert [(each.driver, each.has_started, each.is_ending) for each in seen.drivers] == [("driver-1", True, False)]
    assert (seen.is_lease_in_doubt, seen.airflow_away) == (False, "Airflow is away")
    files.replace(drivers.path("driver-1"), replace(RECORD, stop_kind="bad_record").to_json())
    [ending] = steps_of(files, living()).situation().drivers
    assert (ending.has_started, ending.is_ending) == (False, True)
    assert steps_of(files, Master()).situation().is_lease_in_doubt, "the master does not know who held it"
    files.replace(lease.beat_path(1), Beat(1, AT, JobState.STOPPED).to_json())
    assert not steps_of(files, Master()).situation().is_lease_in_doubt


def test_a_start_that_gets_nowhere_names_the_last_drivers_own_error(
    files: StateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle_steps, "AIRFLOW_STARTS_WITHIN_S", 0.02)
    ended = replace(RECORD, stop_kind="bad_record", reason="lines-0 offset 7")
    files.replace(drivers.path("driver-1"), ended.to_json())
    steps = steps_of(files, Master({"driver-1": Standing.ENDED}))
    seen = replace(steps.situation(), start_timeout_s=0.0)
    planned = plan(Action.START, seen)
    waiting = replace(planned, steps=planned.steps[-1:])
    with pytest.raises(UnavailableError, match="bad_record: lines-0 offset 7"):
        steps.apply(waiting, seen)
