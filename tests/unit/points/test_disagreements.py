"""Where evidence differs from the batch log: a table of described cases."""

from __future__ import annotations

import pytest

from streamops.points.disagreements import disagreements
from streamops.points.recovery_points import Source
from streamops.state.offsets import TopicPartition

P0, P1 = TopicPartition("lines", 0), TopicPartition("lines", 1)
PROCESSED = {P0: 10, P1: 50}
SETTLED = {P0: 8, P1: 50}


@pytest.mark.parametrize(("approach", "group", "checkpoint", "checkpoint_batch", "source", "expected", "sizes"), [
    pytest.param("receiver", {P0: 14, P1: 50}, {}, None, Source.GROUP, True, {P0: 4},
                 id="receiver: received and not processed yet"),
    pytest.param("receiver", {P0: 8}, {}, None, Source.GROUP, True, {P0: -2},
                 id="receiver: a batch ended while it was read"),
    pytest.param("receiver", {P0: 3, P1: 50}, {}, None, Source.GROUP, False, {P0: -7},
                 id="receiver: the group was set back"),
    pytest.param("receiver", {}, {P0: 15}, 218, Source.CHECKPOINT, True, {P0: 5}, id="receiver: a batch is planned"),
    pytest.param("direct", {P0: 8, P1: 50}, {}, None, Source.GROUP, True, {P0: -2},
                 id="direct: the commit of the last batch is on its way"),
    pytest.param("direct", {P0: 7, P1: 49}, {}, None, Source.GROUP, False, {P0: -3, P1: -1},
                 id="direct: commits are refused"),
    pytest.param("direct", {P0: 11}, {}, None, Source.GROUP, False, {P0: 1}, id="direct: somebody else commits"),
    pytest.param("direct", {}, {P0: 15}, 218, Source.CHECKPOINT, True, {P0: 5}, id="direct: a batch runs"),
    pytest.param("direct", {}, {P0: 15}, 219, Source.CHECKPOINT, False, {P0: 5},
                 id="direct: entries of the batch log are missing"),
    pytest.param("direct", {}, {P0: 4}, 100, Source.CHECKPOINT, False, {P0: -6},
                 id="direct: an older checkpoint was put back"),
])
def test_a_difference(
    approach: str, group: dict[TopicPartition, int], checkpoint: dict[TopicPartition, int],
    checkpoint_batch: int | None, source: Source, expected: bool, sizes: dict[TopicPartition, int],
) -> None:
    (found,) = disagreements(approach, PROCESSED, SETTLED, 217, group, checkpoint, checkpoint_batch)
    assert (found.source, found.expected, found.sizes) == (source, expected, sizes)
    assert found.offsets == sum(map(abs, sizes.values()))


def test_the_first_batch_runs() -> None:
    (found,) = disagreements("direct", {P0: 0}, {}, None, {}, {P0: 15}, 0)
    assert (found.expected, found.sizes) == (True, {P0: 15})


def test_each_reason_is_told_apart() -> None:
    found = disagreements("receiver", PROCESSED, SETTLED, 217, {P0: 3, P1: 70}, {P0: 12}, 218)
    assert [(each.source, each.expected, each.sizes) for each in found] == [
        (Source.GROUP, False, {P0: -7}), (Source.GROUP, True, {P1: 20}), (Source.CHECKPOINT, True, {P0: 2})]


def test_where_all_agree_or_the_batch_log_is_unknown_nothing_is_reported() -> None:
    assert disagreements("direct", PROCESSED, SETTLED, 217, {P0: 10}, {P1: 50}, 217) == []
    assert disagreements("direct", {}, {}, None, {P0: 10}, {P1: 50}, 217) == []
