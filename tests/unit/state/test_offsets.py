"""Offset arithmetic: ranges, positions, and the seams between batches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamops.errors import StateError
from streamops.state.offsets import (
    OffsetRange,
    Offsets,
    Seam,
    TopicPartition,
    advance,
    parse_spark_offsets,
    ranges_between,
    seams,
    to_spark_offsets,
)

P0, P1 = TopicPartition("lines", 0), TopicPartition("lines", 1)

partitions = st.builds(TopicPartition, st.sampled_from(["lines", "orders", "a.b_c-d"]), st.integers(0, 12))
offsets = st.dictionaries(partitions, st.integers(0, 2**62), max_size=8)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Offsets, list[Offsets]]:
    """A start, and positions after each batch that only grow; partitions may be added."""
    start: Offsets = draw(st.dictionaries(partitions, st.integers(0, 1000), max_size=4))
    position, ends = dict(start), []
    for _ in range(draw(st.integers(0, 8))):
        for at in draw(st.sets(partitions, max_size=3)):
            position[at] = position.get(at, 0) + draw(st.integers(0, 50))
        ends.append(dict(position))
    return start, ends


@pytest.mark.parametrize(("first", "until"), [(-1, 3), (4, 3), (-2, -1)])
def test_a_range_that_runs_backwards_is_refused(first: int, until: int) -> None:
    with pytest.raises(ValueError, match="runs backwards"):
        OffsetRange("lines", 0, first, until)


def test_a_range_is_read_as_it_was_written() -> None:
    taken = OffsetRange("lines", 3, 7, 9)
    assert OffsetRange.from_dict(taken.as_dict()) == taken
    assert (taken.span, str(taken.topic_partition)) == (2, "lines-3")


def test_spark_offsets_are_read() -> None:
    text = '{"lines":{"1":42,"0":23},"orders":{"0":0}}'
    assert parse_spark_offsets(text) == {P0: 23, P1: 42, TopicPartition("orders", 0): 0}


def test_spark_offsets_are_written_in_order_of_partitions_as_numbers() -> None:
    written = to_spark_offsets({TopicPartition("lines", 10): 1, TopicPartition("lines", 9): 2})
    assert list(written["lines"]) == ["9", "10"]


@given(offsets)
def test_spark_offsets_round_trip(position: Offsets) -> None:
    import json

    assert parse_spark_offsets(json.dumps(to_spark_offsets(position))) == position


@pytest.mark.parametrize(("start", "end", "expected"), [
    pytest.param({P0: 5}, {P0: 5}, (OffsetRange("lines", 0, 5, 5),), id="nothing new says where it stands"),
    pytest.param({P0: 5}, {P0: 7}, (OffsetRange("lines", 0, 5, 7),), id="what is new"),
    pytest.param({}, {P1: 3}, (OffsetRange("lines", 1, 0, 3),), id="an added partition is read from 0"),
    pytest.param({}, {P1: 0}, (OffsetRange("lines", 1, 0, 0),), id="an added partition without records"),
    pytest.param({P0: 5, P1: 8}, {P0: 6}, (OffsetRange("lines", 0, 5, 6),), id="a partition the batch does not name"),
    pytest.param({}, {P1: 1, P0: 1}, (OffsetRange("lines", 0, 0, 1), OffsetRange("lines", 1, 0, 1)), id="in order"),
])
def test_ranges_between(start: Offsets, end: Offsets, expected: tuple[OffsetRange, ...]) -> None:
    assert ranges_between(start, end) == expected


def test_a_topic_that_was_made_again_is_refused() -> None:
    with pytest.raises(StateError, match="lines-0 was read up to offset 5 and now ends at 2: the topic was deleted"):
        ranges_between({P0: 5}, {P0: 2})


@given(histories())
def test_batches_cut_from_positions_have_no_seam_and_lead_to_the_end(history: tuple[Offsets, list[Offsets]]) -> None:
    start, ends = history
    position, batches = dict(start), []
    for number, end in enumerate(ends):
        ranges = ranges_between(position, end)
        batches.append((number, ranges))
        position = advance(position, ranges)
        assert {at: offset for at, offset in end.items() if offset} == {at: o for at, o in position.items() if o}
    assert seams(start, batches) == []


@given(histories(), st.data())
def test_a_batch_left_out_is_a_hole_of_its_size(history: tuple[Offsets, list[Offsets]], data: st.DataObject) -> None:
    start, ends = history
    batches = [(n, ranges_between(a, b)) for n, (a, b) in enumerate(zip([start, *ends], ends, strict=False))]
    taken = [n for n, ranges in batches if any(r.span for r in ranges)]
    if len(taken) < 2:
        return
    gone = data.draw(st.sampled_from(taken[:-1]))
    found = seams(start, [batch for batch in batches if batch[0] != gone])
    followed = {r.topic_partition for n, ranges in batches if n > gone for r in ranges}
    lost = {r.topic_partition: r for r in batches[gone][1] if r.span and r.topic_partition in followed}
    assert {seam.topic_partition: (seam.expected, seam.found) for seam in found} == {
        at: (r.first, r.until) for at, r in lost.items()
    }


@given(histories())
def test_a_batch_that_is_there_twice_overlaps(history: tuple[Offsets, list[Offsets]]) -> None:
    start, ends = history
    batches = [(n, ranges_between(a, b)) for n, (a, b) in enumerate(zip([start, *ends], ends, strict=False))]
    if not batches:
        return
    found = seams(start, [*batches, (len(batches), batches[-1][1])])
    assert [seam.found - seam.expected for seam in found] == [-r.span for r in batches[-1][1] if r.span]


@pytest.mark.parametrize(("seam", "text"), [
    (Seam(P0, 4, 10, 15), "hole of 5 in lines-0 before batch 4: expected offset 10, found 15"),
    (Seam(P1, 9, 10, 7), "overlap of 3 in lines-1 before batch 9: expected offset 10, found 7"),
])
def test_a_seam_says_what_it_is(seam: Seam, text: str) -> None:
    assert str(seam) == text


def test_a_partition_that_the_start_does_not_name_begins_at_0() -> None:
    assert seams({P0: 5}, [(0, [OffsetRange("lines", 1, 2, 4)])]) == [Seam(P1, 0, 0, 2)]
