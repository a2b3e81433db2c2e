"""An upgrade on a real state directory, with drivers that do what the test wants of their version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.pipelines import lifecycle_steps, upgrade_steps
from streamops.adapters.pipelines.drivers import Start
from streamops.adapters.pipelines.lifecycle_steps import Given
from streamops.adapters.pipelines.upgrade_steps import UpgradeSteps
from streamops.adapters.pipelines.version_files import kept, released, version_of
from streamops.adapters.spark.submission import Submission
from streamops.errors import DataLossError, RefusedError, RolledBackError, StreamopsError
from streamops.running.driver_status import Sighting, Standing
from streamops.running.takeover import Takeover
from streamops.running.upgrade import plan_upgrade
from streamops.state import batch_log, drivers, generations, releases, versions
from streamops.state.batch_log import Entry
from streamops.state.crash_loop import Crash
from streamops.state.drivers import DriverRecord
from streamops.state.generations import Generation
from streamops.state.job_spec import JobSpec
from streamops.state.lease import Owner, OwnerKind
from streamops.state.orders import Order, Wish, path, standing
from streamops.state.releases import Stage

AT = "2026-11-20T03:00:00.000+00:00"
ME = Owner(OwnerKind.START)
SPEC = JobSpec("lines", "direct", ("lines",), {}, "file:///s", "file:///s/output", "old", "parquet", 1, "earliest",
               "stop", "fail", ME)

#: What a driver leaves behind, given its record.
Deed = Callable[["World", DriverRecord], DriverRecord]


def works(world: World, record: DriverRecord) -> DriverRecord:
    head = batch_log.read_head(world.files, 1)
    batch = head.batch + 1 if head is not None else 0
    entry = Entry("lines", 1, batch, (), 1, None, 1, record.driver, 1, AT, AT, 5)
    world.files.write_new(batch_log.entry_path(1, batch), entry.to_json())
    return record


def ends(world: World, record: DriverRecord) -> DriverRecord:
    world.gone.add(record.driver)
    return replace(record, stop_kind="transform", reason="no such column")


def dies(_: World, record: DriverRecord) -> DriverRecord:
    return replace(record, crashes=(Crash(AT, "OSError: disk"), Crash(AT, "OSError: disk is full")))


def hangs(_: World, record: DriverRecord) -> DriverRecord:
    return record


class World:
    """Stands for PipelineDrivers and Spark's master. `deeds`: what a driver does, by the transform of its version."""

    def __init__(self, root: Path) -> None:
        self.files = StateFiles((root / "state").as_uri())
        self.pipeline = SimpleNamespace(name="lines", run="manual", stop_timeout_s=0.02, start_timeout_s=0.05,
                                        source="folder")
        self.master, self.cluster = self, SimpleNamespace(master="spark://m")
        self.deeds: dict[str, Deed] = {"old": works}
        self.gone: set[str] = set()
        self.submitted: list[str] = []
        self.transform = "old"
        self._folder = root / "code" / "aaaaaaaaaaaa"
        self._folder.mkdir(parents=True)
        for name in ("streamops.zip", "direct_stream.py"):
            (self._folder / name).touch()
        self.files.write_new(generations.path(1), Generation("lines", 1, "direct", {}, "test", AT).to_json())

    def deployed(self, owner: Owner, supersedes: tuple[str, ...] = ()) -> Submission:
        archive, entry = str(self._folder / "streamops.zip"), str(self._folder / "direct_stream.py")
        spec = replace(SPEC, transform=self.transform, owner=owner, supersedes=supersedes)
        return Submission("lines", "app.jar", (entry, archive, spec.to_json()), archive, "Runner", {}, "1g", "1g", 1, 1)

    def submission(self, owner: Owner, supersedes: tuple[str, ...]) -> Submission:
        wanted = released(self.files, owner, supersedes)
        return wanted if wanted is not None else kept(self.files, self.deployed(owner, supersedes))

    def to_submit(self, job: Submission) -> tuple[Submission, str]:
        return job, self.cluster.master

    def submit(self, job: Submission, *_: object) -> str:
        spec = JobSpec.from_json(job.arguments[2])
        driver = f"driver-{len(self.submitted):04d}"
        self.submitted.append(spec.transform)
        record = self.deeds[spec.transform](self, DriverRecord(driver, "lines", ME, AT, version=spec.version))
        self.files.replace(drivers.path(driver), record.to_json())
        return driver

    def look(self, driver: str) -> Sighting:
        return Sighting(Standing.ENDED if driver in self.gone else Standing.LIVING)

    def kill_and_wait(self, driver: str, _timeout_s: float) -> None:
        self.gone.add(driver)

    def order(self) -> Order | None:
        return standing(self.files)

    def release(self) -> releases.Release | None:
        return releases.standing(self.files)

    def plan_takeover(self, *_: object, **__: object) -> Takeover:
        return Takeover()

    def start_of(self, _driver: str) -> Start:
        return Start(None, Standing.LIVING, "its job is starting")

    def beats(self, *_: object) -> bool:
        return False

    def log_tail(self, _driver: str) -> str:
        return "ImportError: in its log"

    def why_ended(self, driver: str, what: str) -> StreamopsError:
        return StreamopsError(f"{what} {driver}")

    def id_of(self, transform: str) -> str:
        now, self.transform = self.transform, transform
        found = version_of(self.deployed(ME)).id
        self.transform = now
        return found


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A pipeline that runs, of a version that has logged a batch."""
    made = World(tmp_path)
    monkeypatch.setattr(lifecycle_steps, "_POLL_S", 0.001)
    monkeypatch.setattr(lifecycle_steps, "submit", made.submit)
    made.submit(made.submission(ME, ()))
    return made


def upgrade(world: World, said: list[str] | None = None, *, stops_before: int | None = None) -> None:
    """Plan and apply; `stops_before` is the step before which the command is killed."""
    steps = UpgradeSteps(world, None, "Airflow is away", Given("alice"), (said if said is not None else []).append,
                         take_point=lambda: "point 7")
    seen = steps.situation()
    planned = plan_upgrade(seen, steps.versions())
    if planned.refusal is not None:
        raise RefusedError(planned.refusal)
    steps.apply(planned if stops_before is None else replace(planned, steps=planned.steps[:stops_before]), seen)


def stage(world: World) -> Stage | None:
    found = releases.standing(world.files)
    return found.stage if found is not None else None


def deploy(world: World, deed: Deed) -> None:
    world.transform, world.deeds["new"] = "new", deed


def test_one_that_works(world: World) -> None:
    said: list[str] = []
    deploy(world, works)
    upgrade(world, said)
    assert (world.submitted, stage(world)) == (["old", "new"], Stage.DONE)
    assert "point 7" in said
    found = versions.healthy(world.files)
    assert found is not None
    assert found.spec["transform"] == "new"
    upgrade(world)
    assert world.submitted == ["old", "new"], "nothing new is deployed"


@pytest.mark.parametrize(("deed", "error"), [
    pytest.param(ends, "transform: no such column", id="it ends itself"),
    pytest.param(dies, "died 2 times without a batch; at last it said: OSError: disk is full", id="it dies twice"),
    pytest.param(hangs, "no batch logged after 0.05 s", id="it logs nothing in time"),
])
def test_one_that_fails_is_rolled_back_and_stays_so(world: World, deed: Deed, error: str) -> None:
    deploy(world, deed)
    with pytest.raises(RolledBackError, match="logged a batch again") as failed:
        upgrade(world)
    assert error in str(failed.value)
    assert (world.submitted, stage(world)) == (["old", "new", "old"], Stage.ROLLED_BACK)
    assert world.gone == {"driver-0000", "driver-0001"}
    world.submit(world.submission(ME, ()))
    assert world.submitted[-1] == "old", "whoever starts it takes the healthy one, with the other deployed"
    deploy(world, works)
    upgrade(world)
    assert (world.submitted[-1], stage(world)) == ("new", Stage.DONE), "the same can be tried again"


def test_what_failed_and_is_taken_back_needs_no_restart(world: World) -> None:
    deploy(world, ends)
    with pytest.raises(RolledBackError):
        upgrade(world)
    world.transform = "old"
    upgrade(world)
    assert (world.submitted, stage(world)) == (["old", "new", "old"], Stage.DONE)


def test_where_the_healthy_one_fails_as_well_it_stays_the_one_to_start(world: World) -> None:
    deploy(world, ends)
    world.deeds["old"] = hangs
    with pytest.raises(RolledBackError, match=r"has logged no batch either(.|\n)*The first failed with: (.|\n)*no su"):
        upgrade(world)
    assert stage(world) is Stage.ROLLING_BACK
    world.gone.add("driver-0002")
    world.deeds["old"] = works
    with pytest.raises(RolledBackError, match=r"no such column(.|\n)*An upgrade before this one"):
        upgrade(world)
    assert (world.submitted, stage(world)) == (["old", "new", "old", "old"], Stage.ROLLED_BACK)


@pytest.mark.parametrize("deed", [works, ends])
@pytest.mark.parametrize("step", range(1, 8))
def test_killed_before_any_step_it_goes_on_when_it_is_given_again(world: World, step: int, deed: Deed) -> None:
    deploy(world, deed)
    upgrade(world, stops_before=step - 1)
    try:
        upgrade(world)
        assert deed is works
    except RolledBackError:
        assert deed is ends
    assert stage(world) is (Stage.DONE if deed is works else Stage.ROLLED_BACK)
    assert world.submitted == ["old", "new", *(["old"] if deed is ends else [])], "no driver is submitted twice"
    order = world.order()
    assert order is not None
    assert order.wish is Wish.RUN


def test_a_stop_by_somebody_else_is_no_failure_of_the_version(world: World) -> None:
    def stopped_meanwhile(world: World, record: DriverRecord) -> DriverRecord:
        order = world.order()
        assert order is not None
        world.files.write_new(path(order.number + 1), Order("lines", order.number + 1, Wish.STOP, "bob", AT).to_json())
        return record

    deploy(world, stopped_meanwhile)
    with pytest.raises(RefusedError, match="stopped by bob"):
        upgrade(world)
    assert (world.submitted, stage(world)) == (["old", "new"], Stage.TRIAL)


def test_of_two_at_once_one_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(world, works)

    def another(*_: object) -> str:
        first = releases.Release("lines", 1, Stage.TRIAL, "x", world.id_of("old"), "bob", AT)
        world.files.write_new(releases.path(1), first.to_json())
        return "point 8"

    monkeypatch.setattr(UpgradeSteps, "_point", another)
    with pytest.raises(RefusedError, match="somebody else upgrades lines in this moment: version x is on trial, by"):
        upgrade(world)


def test_an_upgrade_goes_on_without_a_recovery_point(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_database() -> str:
        raise DataLossError("no database")

    deploy(world, works)
    said: list[str] = []
    steps: Any = UpgradeSteps(world, None, "Airflow is away", Given("alice"), said.append, take_point=no_database)
    seen = steps.situation()
    steps.apply(plan_upgrade(seen, steps.versions()), seen)
    assert "no recovery point was taken: no database" in said


def test_the_log_of_a_driver_that_never_reached_its_job_is_shown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(world, hangs)
    write = world.files.replace
    monkeypatch.setattr(world.files, "replace",
                        lambda path, text: None if path == drivers.path("driver-0001") else write(path, text))
    monkeypatch.setattr(upgrade_steps, "_POLL_S", 0.001)
    with pytest.raises(RolledBackError, match="ImportError: in its log"):
        upgrade(world)
    assert "driver-0001" in world.gone, "it is ended, though the state directory does not know it"
