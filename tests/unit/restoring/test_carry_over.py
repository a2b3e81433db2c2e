"""Places carried over by time: where a partition goes on in a copy of its topic, what that replays and loses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamops.errors import ConfigurationError
from streamops.restoring.carry_over import (
    Carried,
    MovedFrom,
    NewPlace,
    OldPlace,
    as_table,
    carry,
    paired,
    parse,
    refusals,
)
from streamops.restoring.targets import Target, TargetKind
from streamops.state.offsets import TopicPartition

OLD, NEW = TopicPartition("lines", 0), TopicPartition("lines_v2", 0)
#: 30 of 40 are processed; the next one was written at 5000. The copy has it 70 offsets further on.
WAITING = OldPlace(processed=30, latest=40, waits=True, time_ms=5000, same_time=30)
COPY = NewPlace(earliest=70, latest=110, found=100, found_ms=5000, missing_until=30)
DONE = OldPlace(processed=40, latest=40, waits=False, time_ms=5900, same_time=39)
DONE_COPY = NewPlace(earliest=70, latest=110, found=109, found_ms=5900, missing_until=39)


@pytest.mark.parametrize(("old", "new", "expected"), [
    pytest.param(WAITING, COPY, (100, 0, 0, ""), id="the next record has a time of its own: exact"),
    pytest.param(replace(WAITING, same_time=27), replace(COPY, found=97), (97, 3, 0, "the same time as the next one"),
                 id="processed ones have its time, or a later one"),
    pytest.param(WAITING, replace(COPY, found=103, found_ms=5300, missing_until=33), (103, 0, 3, "was not copied"),
                 id="the copy begins later"),
    pytest.param(WAITING, replace(COPY, found=103, found_ms=9000, missing_until=None), (103, 0, 10, "was not copied"),
                 id="the copy has none of what waits, but later ones of its own"),
    pytest.param(WAITING, NewPlace(70, 95), (95, 0, 10, "nothing of what waits"), id="the copy has not come so far"),
    pytest.param(DONE, DONE_COPY, (109, 1, 0, "the newest time"), id="nothing waits: the newest is read again"),
    pytest.param(DONE, NewPlace(70, 95), (95, 0, 0, "processed again when it is"), id="and is not copied yet"),
    pytest.param(DONE, replace(DONE_COPY, found=70, found_ms=7000), (70, 0, 0, "after its time"),
                 id="nothing waits, and the new topic begins after it"),
    pytest.param(OldPlace(0, 0, False, None, None), NewPlace(0, 0), (0, 0, 0, "never was a record"),
                 id="both are empty"),
    pytest.param(OldPlace(40, 40, False, None, None), NewPlace(0, 9), (None, 0, 0, "retention has left"),
                 id="nothing is left to take a time from"),
])
def test_one_partition(old: OldPlace, new: NewPlace, expected: tuple[int | None, int, int, str]) -> None:
    found = carry(OLD, NEW, old, new)
    offset, replayed, lost, note = expected
    assert (found.offset, found.replayed, found.lost) == (offset, replayed, lost)
    assert note in found.note
    assert bool(found.note) is bool(note)
    assert str(OLD) in as_table([found])


def test_what_is_refused() -> None:
    known = Carried(OLD, NEW, 30, 5000, 100)
    assert refusals([known], [], accept_loss=False) == []
    lossy = [replace(known, lost=3)] * 7
    [lost] = refusals(lossy, [], accept_loss=False)
    assert "3 of lines-0 from offset 30 on" in lost.found
    assert "and 2 more partitions" in lost.found
    assert refusals(lossy, [], accept_loss=True) == []
    stamped, unknown = refusals([replace(known, offset=None, note="gone")], ["lines_v2"], accept_loss=True)
    assert "lines_v2 stamps records" in stamped.found
    assert "lines-0: gone" in unknown.found


@pytest.mark.parametrize(("text", "expected"), [
    ("lines=lines_v2", ({"lines": "lines_v2"}, None)), ("kafka_old", ({}, "kafka_old")),
    ("a=b, c=d kafka_old", ({"a": "b", "c": "d"}, "kafka_old")),
])
def test_what_somebody_wrote(text: str, expected: tuple[dict[str, str], str | None]) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["", "a=", "=b", "a=b=c", "a=b a=c", "one two"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(ConfigurationError, match="OLD=NEW"):
        parse(text)


def test_partitions_are_paired_by_their_number() -> None:
    assert paired({"lines": "lines_v2"}, [OLD, TopicPartition("other", 0)]) == {OLD: NEW}


def test_the_old_place_in_new_terms() -> None:
    moved = MovedFrom("kafka_old", {"lines": "lines_v2"}, {OLD: 27})
    target = Target(TargetKind.OFFSETS, "test", {NEW: 97})
    assert moved.in_new_terms(target, {OLD: 30}) == {NEW: 100}
    assert moved.in_new_terms(target, {}) == {}
    assert MovedFrom.from_data(moved.to_data()) == moved
    assert MovedFrom.from_data(None) is None
