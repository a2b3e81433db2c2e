"""Items of a cleanup plan as lines of JSON, their totals, and the memory that a long plan needs."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator

import pytest

from streamops.cleaning.cleanup import Found, Item, Reason, Rule, Totals
from streamops.cleaning.judge import Judge
from streamops.errors import StateError

from ..state_directory import WRITTEN_MS, restored

GOES = Item("file:///s/orders", "checkpoint/000001/a", 7, 5, Rule.GENERATION, proof="all is processed")
KEPT = Item("file:///s/orders", "output/x", 9, None, None, reason=Reason.NO_RULE)


def test_an_item_is_read_as_it_was_written() -> None:
    for item in (GOES, KEPT, Item("kafka:k", "g.1.1.1", 0, None, Rule.CONSUMER_GROUP, "over", undo="{}")):
        assert Item.from_json(item.to_json()) == item


def test_the_public_format() -> None:
    assert json.loads(GOES.to_json()) == {
        "format": "streamops.cleanup_item/1", "root": "file:///s/orders", "path": "checkpoint/000001/a",
        "size_bytes": 7, "modified_ms": 5, "rule": "generation", "proof": "all is processed", "reason": None,
        "words": "", "undo": None}


@pytest.mark.parametrize("text", ["", "{}", GOES.to_json().replace("item/1", "item/2"),
                                  GOES.to_json().replace("generation", "age"),
                                  GOES.to_json().replace('"all is processed"', "null")])
def test_what_is_no_item_is_refused(text: str) -> None:
    with pytest.raises(StateError):
        Item.from_json(text)


def test_an_item_has_a_proof_or_a_reason_and_never_both() -> None:
    with pytest.raises(ValueError):
        Item("r", "p", 0, None, Rule.CODE)
    with pytest.raises(ValueError):
        Item("r", "p", 0, None, Rule.CODE, proof="it is old", reason=Reason.YOUNG)


def test_items_for_people() -> None:
    assert str(GOES) == "goes   checkpoint/000001/a (generation: all is processed)"
    assert str(KEPT) == "kept   output/x (no_rule)"


def test_totals_count_by_rule_and_by_reason_and_keep_a_few_examples() -> None:
    totals = Totals(most_examples=2)
    for item in (GOES, KEPT, KEPT, KEPT, GOES):
        assert totals.add(item) is item
    assert totals.as_dict() == {"going": {"generation": {"items": 2, "bytes": 14}},
                                "kept": {"no_rule": {"items": 3, "bytes": 27}}}
    assert len(totals.examples[Reason.NO_RULE]) == 2


def test_a_plan_of_many_files_needs_the_memory_of_one() -> None:
    def listing(files: int) -> Iterator[Found]:
        for number in range(files):
            yield Found(f"output/_aside/1-{number}-1/part-0.parquet", 100, WRITTEN_MS)
            yield Found(f"checkpoint/000001/000001-001/receivedBlockMetadata/log-{number}-1", 100, WRITTEN_MS)

    def peak_bytes(files: int) -> int:
        made, totals = restored(), Totals()
        judge = Judge(made.ground(), made)
        tracemalloc.start()
        for item in judge.items(listing(files)):
            totals.add(item)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak_bytes(20_000) < peak_bytes(200) + 100_000
