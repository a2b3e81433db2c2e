"""The ledger: what is read back is what was sent, also after a kill in the middle of any line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamops.drills import ledger
from streamops.drills.ledger import NOWHERE, Acknowledgement, Identity, identity_of, value_of
from streamops.errors import StateError
from streamops.state.offsets import TopicPartition

START = {TopicPartition("canary", 0): 40, TopicPartition("canary", 1): 38}
HEAD = ledger.header("d-1", "d-1", "2026-11-23T15:00:00+00:00", START)


def acknowledged(*records: tuple[int, int, int]) -> list[str]:
    return list(ledger.acknowledged((Acknowledgement(*each) for each in records), 2))


class TestValue:
    @given(st.integers(0, 10**12 - 1), st.integers(0, 400))
    def test_it_says_who_it_is(self, sequence: int, size: int) -> None:
        value = value_of(Identity("a.b_c-1", sequence), size)
        assert identity_of(value) == ("a.b_c-1", sequence)
        assert len(value) == max(size, len(value_of(Identity("a.b_c-1", sequence), 0)))

    @pytest.mark.parametrize("value", [None, b"", b"a line", b"drill/1 p 12 ", b"drill/2 p 000000000012 00000000 "])
    def test_others_say_nothing(self, value: bytes | None) -> None:
        assert identity_of(value) is None

    @given(st.integers(0, 10**6), st.integers(0, 10**6))
    def test_no_two_are_alike_but_in_their_number(self, one: int, other: int) -> None:
        padding = [value_of(Identity("p", each)).rsplit(b" ", 1)[1] for each in (one, other)]
        assert (padding[0] == padding[1]) == (one == other)

    def test_a_producer_that_no_value_can_say(self) -> None:
        with pytest.raises(ValueError, match="letters"):
            ledger.header("d", "a b", "", START)


def test_what_is_read_back() -> None:
    lines = [HEAD, ledger.reserve(6), *acknowledged((0, 0, 40), (1, 1, 38), (0, 2, 41)), ledger.refused(3, "too large"),
             ledger.unknown(4, "timed out"), ledger.closed(5)]
    found = ledger.read(lines)
    assert lines[2:4] == ['{"ack":[0,0,2,40]}\n', '{"ack":[1,1,1,38]}\n']
    assert list(found.offsets) == [40, 38, 41, NOWHERE, NOWHERE]
    assert (found.sent, found.acknowledged, found.unknown, found.refused) == (5, 3, 1, {3})
    assert found.closed
    assert found.ends() == {TopicPartition("canary", 0): 42, TopicPartition("canary", 1): 39}
    assert found.reasons == ("refused: too large", "unknown: timed out")
    assert found.start == START
    assert found.place_of(4) == ("canary", 0)


def test_what_was_reserved_and_has_no_answer_is_unknown() -> None:
    found = ledger.read([HEAD, ledger.reserve(4), *acknowledged((0, 0, 40))])
    assert (found.sent, found.acknowledged, found.unknown, found.closed) == (4, 1, 3, False)


def test_a_ledger_that_is_empty() -> None:
    for lines in ([], [HEAD[:-5]]):
        with pytest.raises(StateError, match="empty"):
            ledger.read(lines)


@pytest.mark.parametrize("line", ["{}\n", "no\n", '{"ack":[0]}\n', '{"format":"streamops.drill/1"}\n'])
def test_a_line_that_something_else_changed(line: str) -> None:
    for lines in ([line], [HEAD, line]):
        with pytest.raises(StateError, match=r"streamops\.ledger/1"):
            ledger.read(lines)


@st.composite
def feeds(draw: st.DrawFn) -> tuple[list[str], list[int]]:
    """Lines of a feed over two places, and the offsets by sequence."""
    offsets: list[int] = []
    ends = [40, 38]
    lines = [HEAD]
    while len(offsets) < draw(st.integers(1, 60)):
        first = len(offsets)
        until = first + draw(st.integers(1, 12))
        lines.append(ledger.reserve(until))
        chunk = []
        for sequence in range(first, until):
            there = draw(st.booleans())
            ends[sequence % 2] += draw(st.integers(0, 2))  # somebody else sends into the topic too
            offsets.append(ends[sequence % 2] if there else NOWHERE)
            ends[sequence % 2] += there
            if there:
                chunk.append((sequence % 2, sequence, offsets[-1]))
        lines += acknowledged(*draw(st.permutations(chunk)))
    return lines, offsets


@given(feeds(), st.data())
def test_a_kill_at_any_byte_asks_for_less_and_never_for_more(
    feed: tuple[list[str], list[int]], data: st.DataObject,
) -> None:
    lines, offsets = feed
    assert list(ledger.read(lines).offsets) == offsets
    whole = "".join(lines)
    cut = data.draw(st.integers(len(HEAD), len(whole)))
    found = ledger.read(whole[:cut].splitlines(keepends=True))
    assert all(offset in (offsets[number], NOWHERE) for number, offset in enumerate(found.offsets))
    # What is acknowledged in a line was reserved before it, so the numbers below are known to have been given.
    assert found.sent <= len(offsets)
