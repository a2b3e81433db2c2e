"""A drill's public format, and how it ended."""

from __future__ import annotations

import json

import pytest

from streamops.drills.drill import FORMAT, Drill, DrillState, InflictedFault, Surroundings, state_after
from streamops.drills.recovery_times import RecoveryTimes
from streamops.drills.verdict import Example, Finding, Kind, LogProof, PartitionCounts, Verdict, Where
from streamops.errors import StateError

BACK = InflictedFault(1, "driver", "kill", "2026-11-23T15:00:00+00:00", "driver-7", {"pid": 4711},
                      "2026-11-23T15:00:01+00:00", "2026-11-23T15:00:02+00:00",
                      RecoveryTimes(1.5, 9.0, 11.0, 8.5, "gone"))
LOST = Finding(Kind.LOST, Where.JOB, 1, (Example("canary", 0, 8, 48, "offset 48, in no batch"),))
SOUND = LogProof(True, 3, 30, 0, 0)
VERDICT = Verdict((PartitionCounts("canary", 0, 10, 9, 1, 0, 8),), (LOST,), 1, 0, 0, 2, SOUND)


def test_what_is_written_is_read() -> None:
    around = Surroundings({"spark": "4.2.0"}, {"interval_s": "2"})
    drill = Drill("k-1", "canary", "direct", 7, "2026-11-23T15:00:00+00:00", True, "/l", around, DrillState.FAILED,
                  "2026-11-23T15:01:00+00:00", (BACK,), VERDICT, "why", 3)
    assert Drill.from_json(drill.to_json()) == drill
    data = json.loads(drill.to_json())
    assert (data["format"], data["verdict"]["outcome"]) == (FORMAT, "wrong")
    begun = Drill("k-2", "canary", "direct", 7, "2026-11-23T15:00:00+00:00")
    assert Drill.from_json(begun.to_json()) == begun
    assert (begun.version, drill.state) == ("?", "failed")


@pytest.mark.parametrize("text", ["{}", "no", '{"format": "streamops.drill/2"}', '{"format": "streamops.drill/1"}'])
def test_any_other_format_is_refused(text: str) -> None:
    with pytest.raises(StateError):
        Drill.from_json(text)


@pytest.mark.parametrize(("verdict", "faults", "expected"), [
    (Verdict(log=SOUND), (BACK,), DrillState.PASSED),
    (Verdict(log=SOUND), (), DrillState.PASSED),
    (None, (BACK,), DrillState.FAILED),
    (VERDICT, (BACK,), DrillState.FAILED),
    (Verdict(log=SOUND), (BACK, InflictedFault(2, "driver", "kill", "")), DrillState.FAILED),
    (Verdict(pending=1, log=SOUND), (BACK,), DrillState.FAILED),
])
def test_how_it_ended(verdict: Verdict | None, faults: tuple[InflictedFault, ...], expected: DrillState) -> None:
    assert state_after(verdict, faults) is expected
