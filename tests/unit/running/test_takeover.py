"""Who gets to run: the drivers that a pipeline has already, before another one is submitted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamops.running.driver_status import Standing
from streamops.running.takeover import Contender, Takeover, owner_lives, plan_takeover
from streamops.state.lease import Owner, OwnerKind

ME = Owner(OwnerKind.AIRFLOW, "stream_lines", "run-2", "driver", 2)
EARLIER_TRY = replace(ME, try_number=1)
OTHER_RUN = replace(ME, run_id="run-1")
SHELL = Owner(OwnerKind.SHELL)
STARTED = Owner(OwnerKind.START)


def driver(number: int, owner: Owner, standing: Standing, *, holds: bool = False, lives: bool | None = None,
           beats: bool | None = None) -> Contender:
    return Contender(f"driver-{number}", owner, standing, holds, lives, beats)


@pytest.mark.parametrize(("contenders", "expected"), [
    pytest.param([], Takeover(), id="nothing there"),
    pytest.param([driver(1, EARLIER_TRY, Standing.LIVING, holds=True, lives=True)], Takeover(adopt="driver-1"),
                 id="mine, of an earlier try"),
    pytest.param([driver(1, EARLIER_TRY, Standing.LIVING, lives=True)], Takeover(adopt="driver-1"),
                 id="mine, before it had the lease: the task was killed between submitting and storing the id"),
    pytest.param([driver(1, EARLIER_TRY, Standing.LIVING, holds=True, lives=True),
                  driver(2, ME, Standing.LIVING, lives=True)], Takeover(adopt="driver-1"),
                 id="two of mine: the one that writes"),
    pytest.param([driver(1, EARLIER_TRY, Standing.LIVING, lives=True), driver(2, ME, Standing.LIVING, lives=True)],
                 Takeover(adopt="driver-2"), id="two of mine, neither writes: the newer"),
    pytest.param([driver(1, EARLIER_TRY, Standing.ENDED, holds=True, lives=True)],
                 Takeover(supersedes=("driver-1",)), id="mine has ended"),
    pytest.param([driver(1, EARLIER_TRY, Standing.NOT_KNOWN, holds=True, lives=True)],
                 Takeover(supersedes=("driver-1",)), id="mine was forgotten"),
    pytest.param([driver(1, EARLIER_TRY, Standing.MOVED, holds=True, lives=True)],
                 Takeover(supersedes=("driver-1",)), id="mine lost its worker, and its successor never came"),
    pytest.param([driver(1, OTHER_RUN, Standing.LIVING, holds=True, lives=False)],
                 Takeover(stop=("driver-1",), supersedes=("driver-1",)), id="of a run that is over"),
    pytest.param([driver(1, OTHER_RUN, Standing.NOT_KNOWN, holds=True, lives=False, beats=True)],
                 Takeover(supersedes=("driver-1",)), id="forgotten, beats, and its run is over"),
    pytest.param([driver(1, SHELL, Standing.NOT_KNOWN, holds=True, beats=False)],
                 Takeover(supersedes=("driver-1",)), id="a person's, silent"),
    pytest.param([driver(1, SHELL, Standing.ENDED, holds=True)], Takeover(supersedes=("driver-1",)),
                 id="a person's, ended"),
])
def test_what_is_done_about_them(contenders: list[Contender], expected: Takeover) -> None:
    assert plan_takeover(ME, contenders) == expected


@pytest.mark.parametrize("contender", [
    pytest.param(driver(1, SHELL, Standing.LIVING, holds=True), id="a person's"),
    pytest.param(driver(1, OTHER_RUN, Standing.LIVING, holds=True, lives=True), id="of another run that goes on"),
    pytest.param(driver(1, SHELL, Standing.NOT_KNOWN, holds=True, beats=True), id="a person's, in client mode"),
    pytest.param(driver(1, OTHER_RUN, Standing.NOT_KNOWN, holds=True, lives=True, beats=True),
                 id="forgotten by the master, but it writes and its run goes on"),
])
def test_what_somebody_wants_is_refused_by_name(contender: Contender) -> None:
    plan = plan_takeover(ME, [driver(0, OTHER_RUN, Standing.LIVING, lives=False), contender])
    assert plan.refusal is not None
    assert contender.driver in plan.refusal
    assert str(contender.owner) in plan.refusal
    assert plan.stop == (), "a plan that is refused does nothing"


@pytest.mark.parametrize("me", [ME, STARTED])
def test_a_driver_that_was_started_in_airflows_place_is_gone_on_with(me: Owner) -> None:
    assert plan_takeover(me, [driver(1, STARTED, Standing.LIVING, holds=True)]) == Takeover(adopt="driver-1")
    assert plan_takeover(me, [driver(1, STARTED, Standing.MOVED, holds=True)]) == Takeover(supersedes=("driver-1",))


def test_a_person_at_a_shell_never_takes_over_a_living_driver() -> None:
    assert plan_takeover(SHELL, [driver(1, SHELL, Standing.LIVING, holds=True)]).refusal is not None
    assert plan_takeover(SHELL, [driver(1, ME, Standing.LIVING, holds=True, lives=True)]).refusal is not None
    assert plan_takeover(SHELL, [driver(1, STARTED, Standing.LIVING, holds=True)]).refusal is not None


@pytest.mark.parametrize(("state", "run_exists", "lives"), [
    pytest.param("deferred", True, True, id="deferred"),
    pytest.param("up_for_retry", True, True, id="between two tries"),
    pytest.param(None, True, True, id="cleared, not scheduled yet"),
    pytest.param("failed", True, False, id="failed"),
    pytest.param("success", True, False, id="marked success"),
    pytest.param("removed", True, False, id="removed from the DAG"),
    pytest.param(None, False, False, id="the run was deleted"),
])
def test_whether_the_task_sees_to_its_driver(state: str | None, run_exists: bool, lives: bool) -> None:
    assert owner_lives(state, run_exists=run_exists) is lives
