"""The lease, with real files and real threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from hadoop_files import HadoopFiles
from held_lease import HeldLease, take
from streamops.errors import LeaseLostError
from streamops.state import lease
from streamops.state.lease import Beat, JobState, Owner, OwnerKind

SHELL = Owner(OwnerKind.SHELL)

Taker = Callable[..., HeldLease]


@pytest.fixture
def taker(files: HadoopFiles, monkeypatch: pytest.MonkeyPatch) -> Iterator[Taker]:
    monkeypatch.setattr(lease, "BEAT_S", 0.1)
    monkeypatch.setattr(lease, "TTL_S", 1.5)
    held: list[HeldLease] = []

    def taken(
        driver: str, supersedes: tuple[str, ...] = (), on_lost: Callable[[LeaseLostError], None] = lambda _: None
    ) -> HeldLease:
        held.append(
            take(files, pipeline="p", driver=driver, owner=SHELL, supersedes=supersedes, host="h", pid=1,
                 on_lost=on_lost)
        )
        return held[-1]

    yield taken
    for one in held:
        one.end()


def beat(files: HadoopFiles, epoch: int) -> Beat:
    text = files.read(lease.beat_path(epoch))
    assert text is not None
    return Beat.from_json(text)


def test_the_first_driver_takes_epoch_1_and_beats(taker: Taker, files: HadoopFiles) -> None:
    held = taker("driver-1")
    assert held.epoch == 1
    assert beat(files, 1).state is JobState.STARTING
    held.report(JobState.RUNNING, 7)
    assert (beat(files, 1).state, beat(files, 1).batch) == (JobState.RUNNING, 7)
    held.check()


def test_a_second_driver_is_refused_while_the_first_beats(taker: Taker) -> None:
    first = taker("driver-1")
    with pytest.raises(LeaseLostError, match=r"driver-1, started by a person at a shell .* holds the lease"):
        taker("driver-2")
    first.check()


def test_a_silent_holder_is_followed(taker: Taker) -> None:
    first = taker("driver-1")
    first.ended.set()
    assert taker("driver-2").epoch == 2
    with pytest.raises(LeaseLostError, match=r"driver-1 lost the lease of p .* to driver driver-2"):
        first.check()


@pytest.mark.parametrize(
    ("driver", "supersedes"),
    [
        pytest.param("driver-1", (), id="the same driver, relaunched by Spark"),
        pytest.param("driver-2", ("driver-1",), id="a driver whose submitter supersedes the holder"),
    ],
)
def test_a_living_holder_is_fenced_by_who_may(taker: Taker, driver: str, supersedes: tuple[str, ...]) -> None:
    lost = threading.Event()
    first = taker("driver-1", on_lost=lambda _: lost.set())
    assert taker(driver, supersedes).epoch == 2
    with pytest.raises(LeaseLostError):
        first.check()
    assert lost.wait(5), "the older driver was not told by its own beat"


def test_a_driver_that_stopped_leaves_the_lease_at_once(taker: Taker, monkeypatch: pytest.MonkeyPatch) -> None:
    taker("driver-1").end()
    monkeypatch.setattr(lease, "TTL_S", 3600)
    assert taker("driver-2").epoch == 2


def test_of_many_who_start_at_once_the_last_epoch_alone_may_commit(taker: Taker) -> None:
    def start(number: int) -> HeldLease | None:
        try:
            return taker(f"driver-{number}")
        except LeaseLostError:
            return None

    with ThreadPoolExecutor(6) as pool:
        held = [one for one in pool.map(start, range(6)) if one is not None]

    def may_commit(one: HeldLease) -> bool:
        try:
            one.check()
        except LeaseLostError:
            return False
        return True

    assert sum(map(may_commit, held)) == 1


def test_a_driver_whose_state_directory_was_deleted_finds_out(taker: Taker, files: HadoopFiles) -> None:
    lost: list[LeaseLostError] = []
    found = threading.Event()

    def on_lost(error: LeaseLostError) -> None:
        lost.append(error)
        found.set()

    taker("driver-1", on_lost=on_lost)
    files.delete(lease.path(1))
    assert found.wait(30)
    assert "its state directory was deleted" in str(lost[0])
