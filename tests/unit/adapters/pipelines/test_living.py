"""Who lives, where no Spark master answers: by records and beats in a real state directory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.pipelines import living
from streamops.adapters.pipelines.action_lease import held
from streamops.adapters.spark.master import Cluster, SparkMaster
from streamops.errors import RefusedError
from streamops.state import drivers, lease
from streamops.state.drivers import DriverRecord
from streamops.state.lease import Beat, JobState, Lease, Owner, OwnerKind

ME = Owner(OwnerKind.SHELL)
AT = "2026-11-20T03:00:00+00:00"
NOBODY = SparkMaster(Cluster(master="spark://nowhere:7077", rest=(), ui=()))


@pytest.fixture
def files(tmp_path: Path) -> StateFiles:
    return StateFiles(f"file://{tmp_path}")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(living, "TTL_S", 0.6)
    monkeypatch.setattr(living, "_POLL_S", 0.1)


def look(files: StateFiles, had_state: bool = True) -> tuple[living.Sign, bool]:
    """Who lives, and whether beats were watched for it."""
    said: list[str] = []
    return living.drivers(files, NOBODY, had_state, said.append), bool(said)


def take(files: StateFiles, epoch: int = 1) -> None:
    files.write_new(lease.path(epoch), Lease("lines", epoch, "driver-1", ME, "host", 1, AT).to_json())


def beat(files: StateFiles, number: int, state: JobState = JobState.RUNNING, epoch: int = 1) -> None:
    files.replace(lease.beat_path(epoch), Beat(epoch, f"2026-11-20T03:00:{number % 60:02}+00:00", state).to_json())


@contextmanager
def beating(files: StateFiles, epoch: int = 1) -> Iterator[None]:
    over = threading.Event()

    def go_on() -> None:
        for number in range(10**6):
            beat(files, number, epoch=epoch)
            if over.wait(0.05):
                return

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_pipeline_that_was_never_started_is_not_watched(files: StateFiles) -> None:
    assert look(files, had_state=False) == (living.Sign((), 0), False)


def test_a_holder_that_beats_lives(files: StateFiles) -> None:
    take(files)
    with beating(files):
        sign, watched = look(files)
    assert watched
    assert sign.drivers == ("driver-1, started by a person at a shell, which holds the lease and beats",)


def test_a_holder_that_was_killed_is_watched_and_found_silent(files: StateFiles) -> None:
    take(files)
    beat(files, 1)
    assert look(files) == (living.Sign((), 1), True)


def test_a_holder_that_ended_itself_is_not_watched(files: StateFiles) -> None:
    take(files)
    beat(files, 1, JobState.STOPPED)
    assert look(files) == (living.Sign((), 1), False)
    beat(files, 2)
    record = DriverRecord("driver-1", "lines", ME, AT, 1, AT, "bad_record", "a record that is no number")
    files.replace(drivers.path("driver-1"), record.to_json())
    assert look(files) == (living.Sign((), 1), False)


def test_a_driver_goes_on_to_beat_in_a_directory_that_was_deleted(files: StateFiles) -> None:
    with beating(files, epoch=5):
        time.sleep(0.1)
        sign, _ = look(files)
    assert sign.epoch == 5  # so that the next lease is one that it looks for
    assert sign.drivers == ("one that beats as 000005.beat.json, in a state directory that was deleted",)
    assert look(files)[0] == living.Sign((), 5)


def test_an_action_holds_the_lease_beats_and_gives_it_up(files: StateFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamops.adapters.pipelines.action_lease.BEAT_S", 0.05)
    take(files)
    with held(files, "lines", "restore", ME, after=1) as mine:
        mine.check()
        assert look(files)[0].drivers[0].startswith("restore-")
        with pytest.raises(RefusedError, match="in this moment"), held(files, "lines", "restore", ME, after=1):
            pass
        mine.done(drivers.RESTORED, "restored to point 12")
    assert look(files) == (living.Sign((), 2), False)
    holder = Lease.from_json(files.read(lease.path(2)) or "")
    record = DriverRecord.from_json(files.read(drivers.path(holder.driver)) or "")
    assert (record.epoch, record.stop_kind, record.reason) == (2, "restored", "restored to point 12")
    assert record.stopped_at is not None


def test_an_action_whose_lease_was_taken_or_deleted_stops(files: StateFiles) -> None:
    with held(files, "lines", "restore", ME, after=0) as mine:
        take(files, epoch=2)
        with pytest.raises(RefusedError, match="somebody took the lease"):
            mine.check()
    with held(files, "lines", "restore", ME, after=2) as mine:
        files.delete(lease.path(3))
        with pytest.raises(RefusedError, match="somebody took the lease"):
            mine.check()


def test_an_action_that_fails_says_why(files: StateFiles) -> None:
    with pytest.raises(RefusedError), held(files, "lines", "restore", ME, after=0):
        raise RefusedError("it is not safe now")
    name = next(each for each in files.names(drivers.DIRECTORY))
    record = DriverRecord.from_json(files.read(f"{drivers.DIRECTORY}/{name}") or "")
    assert record.reason == "the restore was not done: it is not safe now"
