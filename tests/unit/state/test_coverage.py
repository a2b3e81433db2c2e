"""Which offsets batches share: against sets of offsets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamops.state.coverage import Coverage
from streamops.state.offsets import OffsetRange

RANGES = st.builds(lambda partition, first, span: OffsetRange("lines", partition, first, first + span),
                   st.integers(0, 1), st.integers(0, 30), st.integers(0, 9))


def offsets(ranges: list[OffsetRange]) -> set[tuple[int, int]]:
    return {(taken.partition, offset) for taken in ranges for offset in range(taken.first, taken.until)}


@given(st.lists(RANGES), st.lists(RANGES), RANGES)
def test_it_is_a_set_of_offsets(mine: list[OffsetRange], others: list[OffsetRange], asked: OffsetRange) -> None:
    covered, more = Coverage(), Coverage()
    covered.add(mine)
    more.add(others)
    covered.add_all(more)
    assert covered.shared([asked]) == len(offsets([asked]) & offsets([*mine, *others]))
