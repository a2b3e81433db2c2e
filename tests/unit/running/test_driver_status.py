"""What one look at a driver says, and how looks add up."""

from __future__ import annotations

from typing import Any

import pytest

from streamops.running.driver_status import Patience, Sighting, Standing, first_line, most_telling, read_status

ANSWER = {"action": "SubmissionStatusResponse", "serverSparkVersion": "4.2.0", "submissionId": "driver-1"}
NOT_KNOWN = Sighting(Standing.NOT_KNOWN)
NO_ANSWER = Sighting(Standing.NO_ANSWER)
RUNNING = Sighting(Standing.LIVING, "RUNNING")
MOVED = Sighting(Standing.MOVED, "RELAUNCHING")
STANDBY = Sighting(Standing.NO_ANSWER, detail="Current state is not alive: STANDBY")
KILLED = Sighting(Standing.ENDED, "KILLED")


@pytest.mark.parametrize(("body", "standing"), [
    *(pytest.param({**ANSWER, "success": True, "driverState": state}, standing, id=state) for state, standing in {
        "SUBMITTED": Standing.LIVING,
        "RUNNING": Standing.LIVING,
        "RELAUNCHING": Standing.MOVED,
        "FINISHED": Standing.ENDED,
        "KILLED": Standing.ENDED,
        "FAILED": Standing.ENDED,
        "ERROR": Standing.ENDED,
        "UNKNOWN": Standing.NO_ANSWER,
    }.items()),
    pytest.param({**ANSWER, "success": False}, Standing.NOT_KNOWN, id="a master in charge that does not know it"),
    pytest.param({**ANSWER, "success": False, "message": "Exception from the cluster:\njava.lang.Exception: "
                  "Current state is not alive: STANDBY. Can only request driver status in ALIVE state."},
                 Standing.NO_ANSWER, id="a master that is not in charge"),
    pytest.param({"action": "ErrorResponse", "message": "Server returned 500"}, Standing.NO_ANSWER, id="an error"),
    pytest.param({}, Standing.NO_ANSWER, id="not a master at all"),
])
def test_what_a_master_says(body: dict[str, Any], standing: Standing) -> None:
    assert read_status(body).standing is standing


@pytest.mark.parametrize(("sightings", "believed"), [
    pytest.param([], NO_ANSWER, id="no masters"),
    pytest.param([NO_ANSWER, RUNNING], RUNNING, id="the one in charge, beside one on standby"),
    pytest.param([NOT_KNOWN, NO_ANSWER], NOT_KNOWN, id="not known, beside one on standby"),
    pytest.param([NO_ANSWER, KILLED], KILLED, id="an end, beside one on standby"),
    pytest.param([STANDBY, NO_ANSWER], STANDBY, id="nobody in charge, with its word"),
    *(pytest.param(both, RUNNING, id=f"it lives, whatever another says that thinks itself in charge: {both}")
      for both in ([RUNNING, KILLED], [NOT_KNOWN, RUNNING], [MOVED, RUNNING], [RUNNING, RUNNING])),
])
def test_which_master_is_believed(sightings: list[Sighting], believed: Sighting) -> None:
    assert most_telling(sightings) == believed


@pytest.mark.parametrize("both", [[NOT_KNOWN, KILLED], [MOVED, NOT_KNOWN], [NOT_KNOWN, NOT_KNOWN], [KILLED, KILLED]])
def test_of_two_masters_that_say_they_are_in_charge_neither_shows_that_a_driver_is_gone(both: list[Sighting]) -> None:
    seen = most_telling(both)
    assert seen.standing is Standing.NO_ANSWER
    assert "2 masters say that they are in charge" in (seen.detail or "")


@pytest.mark.parametrize(("looks", "forgotten"), [
    pytest.param([(0, NOT_KNOWN)], False, id="once"),
    pytest.param([(0, NOT_KNOWN), (14, NOT_KNOWN)], False, id="not long enough"),
    pytest.param([(0, NOT_KNOWN), (7, NOT_KNOWN), (15, NOT_KNOWN)], True, id="long enough"),
    pytest.param([(0, NOT_KNOWN), (7, NO_ANSWER), (15, NOT_KNOWN)], False, id="a master that goes away starts it anew"),
    pytest.param([(0, NOT_KNOWN), (7, RUNNING), (15, NOT_KNOWN)], False, id="it was seen in between"),
    pytest.param([(0, NO_ANSWER), (9000, NO_ANSWER)], False, id="a master that is away decides nothing"),
])
def test_when_a_driver_counts_as_forgotten(looks: list[tuple[float, Sighting]], forgotten: bool) -> None:
    patience = Patience(15)
    assert [patience.is_forgotten(seen, now_s) for now_s, seen in looks][-1] is forgotten


def test_a_masters_message_is_cut_to_its_first_line() -> None:
    assert first_line("Exception from the cluster:\n\tat java.lang.Thread") == "Exception from the cluster:"
    assert first_line(" \n") is None
    assert len(first_line("x" * 300_000) or "") == 200
