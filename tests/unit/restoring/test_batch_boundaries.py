"""Batch boundaries: which batches a start leaves behind, and which it cuts in two."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamops.restoring.batch_boundaries import Boundaries, Overlap, boundaries
from streamops.state.batch_log import Entry
from streamops.state.offsets import OffsetRange, Offsets, TopicPartition

P0, P1 = TopicPartition("lines", 0), TopicPartition("lines", 1)


def entry(batch: int, *ranges: tuple[int, int], generation: int = 1) -> Entry:
    """A batch; `ranges` are those of partition 0, 1, …"""
    return Entry("lines", generation, batch, tuple(
        OffsetRange("lines", number, first, until) for number, (first, until) in enumerate(ranges)),
        1, "out", 1, "driver-1", 1, "2026-11-20T03:00:00+00:00", "2026-11-20T03:00:01+00:00", 1)


#: Newest first, as a log is read backwards.
LOG = [entry(3, (30, 40), (20, 40)), entry(2, (20, 30), (20, 20)), entry(1, (10, 20), (10, 20)),
       entry(0, (0, 10), (0, 10))]


@pytest.mark.parametrize(("start", "superseded", "doubled"), [
    pytest.param({P0: 40, P1: 40}, [], {}, id="where it stands"),
    pytest.param({P0: 30, P1: 20}, [3], {}, id="the end of batch 2"),
    pytest.param({P0: 20, P1: 20}, [2, 3], {}, id="the end of batch 1"),
    pytest.param({P0: 0, P1: 0}, [0, 1, 2, 3], {}, id="the beginning"),
    pytest.param({P0: 20, P1: 40}, [2], {3: [(0, 30, 40)]}, id="one partition back: its later batches lie across"),
    pytest.param({P0: 25, P1: 20}, [3], {2: [(0, 25, 30)]}, id="in the middle of batch 2"),
    pytest.param({P0: 30, P1: 30}, [], {3: [(0, 30, 40), (1, 30, 40)]}, id="in the middle of batch 3"),
    pytest.param({P0: 45, P1: 40}, [], {}, id="forward"),
    pytest.param({P0: 30}, [], {3: [(0, 30, 40)]}, id="the other partition stays where it is"),
])
def test_batch_boundaries(
    start: Offsets, superseded: list[int], doubled: dict[int, list[tuple[int, int, int]]],
) -> None:
    found = boundaries(start, [LOG])
    assert found.superseded == tuple((1, batch) for batch in superseded)
    assert found.overlaps == tuple(
        Overlap(1, batch, tuple(OffsetRange("lines", *each) for each in ranges)) for batch, ranges in doubled.items())
    assert found.exact is (not doubled)


#: A generation that goes on where the first one ended.
SECOND = [entry(1, (50, 60), generation=2), entry(0, (40, 50), generation=2)]


def test_a_boundary_in_an_earlier_generation() -> None:
    found = boundaries({P0: 30, P1: 20}, [SECOND, LOG])
    assert found.superseded == ((1, 3), (2, 0), (2, 1))
    assert found.exact


def test_an_earlier_generation_may_have_later_offsets_than_the_newest() -> None:
    """A restore to the middle of batch 2 left batch 3 superseded, and the new generation is not far yet."""
    newest = [entry(0, (25, 27), (20, 20), generation=2)]
    found = boundaries({P0: 28, P1: 20}, [newest, LOG[1:]])
    assert found == Boundaries((), (Overlap(1, 2, (OffsetRange("lines", 0, 28, 30),)),))


def test_the_log_is_read_only_as_far_back_as_the_target() -> None:
    read: list[int] = []

    def backwards() -> Iterator[Entry]:
        for each in LOG:
            read.append(each.batch)
            yield each

    boundaries({P0: 30, P1: 20}, [backwards()])
    assert read == [3, 2]


def test_an_overlap_says_what_a_reader_must_do() -> None:
    (overlap,) = boundaries({P0: 25, P1: 20}, [LOG]).overlaps
    assert str(overlap) == ("batch 2 of generation 1 stays, and holds lines-0 from offset 25 a second time: "
                            "whoever reads the output leaves those rows of it out, or counts them twice")


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Entry], Offsets]:
    """A batch log, newest first, of three partitions, and a start that is not beyond its end."""
    position, log = [0, 0, 0], []
    for batch in range(draw(st.integers(1, 8))):
        until = [offset + draw(st.integers(0, 4)) for offset in position]
        log.append(entry(batch, *zip(position, until, strict=True)))
        position = until
    start = {TopicPartition("lines", number): draw(st.integers(0, end)) for number, end in enumerate(position)}
    return log[::-1], start


@given(histories())
def test_what_stays_and_what_is_processed_again_are_all_records_once(history: tuple[list[Entry], Offsets]) -> None:
    log, start = history
    found = boundaries(start, [log])
    left_out = {(at, offset) for overlap in found.overlaps for each in overlap.doubled
                for at in [each.topic_partition] for offset in range(each.first, each.until)}
    stays = [(each.topic_partition, offset) for kept in log if (1, kept.batch) not in found.superseded
             for each in kept.ranges for offset in range(each.first, each.until)]
    again = [(each.topic_partition, offset) for each in log[0].ranges
             for offset in range(start[each.topic_partition], each.until)]
    whole = sorted([record for record in stays if record not in left_out] + again)
    assert whole == [(each.topic_partition, offset) for each in log[0].ranges for offset in range(each.until)]
