"""Consumer groups of starts that ended, and recovery points past retention."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamops.cleaning.cleanup import Item, Reason
from streamops.cleaning.groups import Group, group_items, point_items
from streamops.declared.pipeline import Cleanup, CleanupRules
from streamops.state.offsets import Offsets

from ..state_directory import P0, StateDirectory, point, receiving, restored


def judged(made: StateDirectory, *names: str, state: str = "Empty", members: int = 0, committed: Offsets | None = None,
           others: frozenset[str] = frozenset(), **ground: Any) -> dict[str, Item]:
    groups = [Group(name, state, members, {P0: 100} if committed is None else committed) for name in names]
    ground = {"points": (point(1), point(2)), **ground}
    items = group_items(groups, made.ground(**ground), made, "orders", "kafka_default", others)
    return {item.path: item for item in items}


def test_the_group_of_an_older_start_goes_and_says_what_it_had_committed() -> None:
    strange = ("orders", "ordersx.1.1.1", "orders.1.1.1.1", "lines.1.1.1")
    found = judged(restored(), "orders.1.1.1", "orders.2.2.1", *strange)
    assert set(found) == {"orders.1.1.1", "orders.2.2.1"}, "others are none of ours"
    assert found["orders.1.1.1"].goes
    assert json.loads(found["orders.1.1.1"].undo or "") == {"lines": {"0": 100}}
    assert found["orders.2.2.1"].reason is Reason.NEEDED


@pytest.mark.parametrize(("changes", "reason"), [
    ({"members": 1, "state": "Stable"}, Reason.IN_USE),
    ({"state": "PreparingRebalance"}, Reason.IN_USE),
    ({"committed": {P0: 201}}, Reason.UNPROCESSED),
    ({"others": frozenset({"orders.1.1.1"})}, Reason.IN_USE),
    ({"others": frozenset({"orders"})}, Reason.IN_USE),
    ({"settings": Cleanup(rules=CleanupRules(consumer_group=False))}, Reason.RULE_OFF),
    ({"pipeline": "invoices"}, Reason.UNPROVEN),
    ({"now_ms": 0}, Reason.CLOCK),
])
def test_a_group_stays(changes: dict[str, Any], reason: Reason) -> None:
    assert judged(restored(), "orders.1.1.1", "orders.2.2.1", **changes)["orders.1.1.1"].reason is reason


def test_groups_of_the_driver_that_lives_stay() -> None:
    made = receiving()
    assert judged(made, "orders.1.1.1", "orders.1.1.2", living=True)["orders.1.1.1"].reason is Reason.IN_USE
    assert judged(made, "orders.1.1.1", "orders.1.1.2", living=None)["orders.1.1.1"].reason is Reason.IN_USE
    assert judged(made, "orders.1.1.1", "orders.1.1.2", living=False)["orders.1.1.1"].goes


def test_groups_of_a_state_that_was_deleted_stay() -> None:
    found = judged(receiving(), "orders.1.7.1", "orders.4.1.1", "orders.5.1.1")
    assert found["orders.1.7.1"].reason is Reason.UNPROVEN
    assert found["orders.4.1.1"].reason is Reason.UNPROVEN


def test_points_go_by_their_pipeline_s_rule() -> None:
    going, kept = point_items("orders", [3], [3, 4], rule_on=True)
    assert (going.goes, going.path, kept.reason) == (True, "3", Reason.NEEDED)
    off, _ = point_items("orders", [3], [3, 4], rule_on=False)
    assert off.reason is Reason.RULE_OFF
