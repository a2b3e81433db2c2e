from __future__ import annotations

from collections import Counter

import pytest

from streamops.drills import faults
from streamops.drills.faults import FAULTS, OpenFault, Target
from streamops.errors import ConfigurationError, StateError

CANARIES = [("canary_direct", "direct"), ("canary_receiver", "receiver")]


def test_a_target_alone_is_killed_where_it_can_be() -> None:
    assert [each.name for each in faults.named(["driver", "broker:pause", "driver:kill"])] == [
        "driver:kill", "broker:pause"]
    assert faults.named(["network"])[0].name == "network:cut"
    for target in Target:
        assert faults.named([str(target)])[0].target is target, "every target has a fault"


def test_every_wrong_name_is_reported_with_its_neighbour() -> None:
    with pytest.raises(ConfigurationError, match="'drivr'; the nearest one is 'driver'") as refused:
        faults.named(["drivr", "master", "moon"])
    assert "'moon'" in refused.value.found
    assert "streamops drill faults" in str(refused.value)


def test_every_fault_is_inflicted_as_often_as_asked_on_each_pipeline_that_it_is_about() -> None:
    planned = faults.strikes(CANARIES, faults.named(["driver", "receiver", "broker"]), repetitions=3, seed=7)
    assert Counter((each.pipeline, each.fault.name) for each in planned) == {
        ("canary_direct", "driver:kill"): 3, ("canary_direct", "broker:kill"): 3,
        ("canary_receiver", "driver:kill"): 3, ("canary_receiver", "broker:kill"): 3,
        ("canary_receiver", "receiver:kill"): 3}
    assert [each.number for each in planned] == list(range(1, 16))
    assert [each.pipeline for each in planned] == ["canary_direct"] * 6 + ["canary_receiver"] * 9


def test_the_seed_decides_order_and_chance() -> None:
    def drawn(seed: int) -> list[tuple[str, float]]:
        planned = faults.strikes(CANARIES, list(FAULTS.values()), 2, seed)
        return [(each.fault.name, each.chance.random()) for each in planned]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_what_a_task_would_be_lost_with_is_refused_with_the_command_for_a_shell() -> None:
    faults.require_possible_from_airflow(faults.named(["driver", "triggerer"]))
    with pytest.raises(ConfigurationError, match="streamops drill run --fault database:kill --fault scheduler:pause"):
        faults.require_possible_from_airflow(faults.named(["scheduler:pause", "database", "driver"]))


def test_an_open_fault_comes_back_as_it_was_written() -> None:
    opened = OpenFault("canary-1", "broker:kill", "canary", "local", {"victims": [{"pid": 7, "server": "kafka-1"}]},
                       "host", 42, 1.5, "2026-11-20T03:00:00.000+00:00", 3, 1)
    assert OpenFault.from_json(opened.to_json()) == opened
    with pytest.raises(StateError, match="an open fault"):
        OpenFault.from_json(opened.to_json()[:40])
