"""The batch log out of the sink's labels, for a state directory that was deleted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamops.errors import StateError
from streamops.state.offsets import OffsetRange, TopicPartition, advance, seams
from streamops.state.sink_labels import DRIVER, Label, rebuilt

AT = "2026-11-20T03:00:00+00:00"


def label(batch: int, *ranges: tuple[int, int]) -> Label:
    return Label(batch, 3, 7, tuple(
        OffsetRange("lines", number, first, until) for number, (first, until) in enumerate(ranges)))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans()), min_size=1, max_size=12))
def test_a_log_is_whole_again_up_to_its_last_batch_with_rows(batches: list[tuple[int, int, bool]]) -> None:
    position, labels = [0, 0], []
    for number, (one, other, has_rows) in enumerate(batches):
        until = [position[0] + one, position[1] + other]
        if has_rows:
            labels.append(label(number, (position[0], until[0]), (position[1], until[1])))
        position = until
    found = rebuilt("lines", 2, labels, AT)
    assert [each.batch for each in found] == list(range(labels[-1].batch + 1 if labels else 0))
    start = {taken.topic_partition: taken.first for taken in found[0].ranges} if found else {}
    assert seams(start, ((each.batch, each.ranges) for each in found)) == []
    if labels:
        ends = advance({}, found[-1].ranges)
        assert ends == {TopicPartition("lines", number): taken.until for number, taken in enumerate(labels[-1].ranges)}
        assert [each.output for each in found if each.rows] == [f"generation=2/batch={each.batch}" for each in labels]


def test_an_entry_says_that_it_was_made_up() -> None:
    (entry,) = rebuilt("lines", 2, [label(0, (5, 9))], AT)
    assert (entry.driver, entry.epoch, entry.rows, entry.finished_at) == (DRIVER, 7, 3, AT)


@pytest.mark.parametrize(("labels", "found"), [
    pytest.param([label(0, (0, 9)), label(1, (5, 12))],
                 "begins at offset 5 of lines-0, and the batch before it ends at 9", id="batches overlap"),
    pytest.param([label(0, (0, 9)), label(0, (0, 9))], "two labels of batch 0", id="a batch twice"),
])
def test_labels_that_contradict_each_other(labels: list[Label], found: str) -> None:
    with pytest.raises(StateError, match=found):
        rebuilt("lines", 2, labels, AT)


def test_a_label_as_the_sink_writes_it() -> None:
    text = json.dumps({"rows": 3, "ranges": [OffsetRange("lines", 0, 5, 9).as_dict()], "epoch": 7})
    assert Label.from_json(4, text) == Label(4, 3, 7, (OffsetRange("lines", 0, 5, 9),))
    with pytest.raises(StateError, match="the label of batch 4 cannot be read"):
        Label.from_json(4, "{}")
