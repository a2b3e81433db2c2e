"""Segments of the write-ahead log: whole, torn at each byte, damaged, and of formats that are not read."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamops.cleaning.wal_format import Segment, read_segment
from streamops.state.offsets import OffsetRange, TopicPartition

from ..segments import chunk, record, segment

A = OffsetRange("lines", 0, 5, 17)
B = OffsetRange("lines", 1, 0, 3)
C = OffsetRange("other", 0, 9, 9)
WHOLE = segment([A, B], [C], [OffsetRange("lines", 0, 17, 20)])


def read(content: bytes) -> Segment:
    return read_segment(BytesIO(content))


def test_a_segment_says_the_offsets_of_its_chunks() -> None:
    found = read(WHOLE)
    assert found == Segment((A, B, C, OffsetRange("lines", 0, 17, 20)), records=3, chunks=3)
    assert found.ends == {TopicPartition("lines", 0): 20, TopicPartition("lines", 1): 3, TopicPartition("other", 0): 9}


def test_an_empty_segment_holds_nothing() -> None:
    assert read(b"") == Segment((), 0, 0)


def test_a_segment_that_is_torn_at_any_byte_says_so_and_gives_what_is_before() -> None:
    boundaries = {len(segment([A, B])), len(segment([A, B], [C]))}
    for length in range(1, len(WHOLE)):
        found = read(WHOLE[:length])
        assert found.ranges == read(WHOLE).ranges[: len(found.ranges)], length
        assert (found.problem is None) == (length in boundaries), length
        assert found.torn == (length not in boundaries), length


@pytest.mark.parametrize(("content", "said"), [
    pytest.param(bytes(64), "no record: its length would be 0", id="zeros, as after a loss of power"),
    pytest.param(b"\xff\xff\xff\xff" + bytes(8), "length would be -1", id="a negative length"),
    pytest.param(record(b"\x01\x00org.apache"), "does not begin as Java's serialisation does", id="Kryo"),
    pytest.param(record(b"\x82SNAPPY\x00"), "does not begin as Java's", id="compressed"),
    pytest.param(record(chunk([A], b"", name="org.example.Block")), "org.example.Block", id="another class"),
    pytest.param(record(chunk([A], b"", version=2)), "of version 2", id="another version of ours"),
    pytest.param(record(chunk([], b"abc", records=2)), "does not say which offsets", id="records without spans"),
    pytest.param(record(chunk([A], b"").replace(b"partition", b"partitiom")), "not read here", id="another field"),
    pytest.param(record(chunk([A], b"")[:-9] + bytes(9)), "cannot be read", id="an end of zeros"),
    pytest.param(record(chunk([A], b"") + b"w\x01x"), "kind of content", id="more behind the chunk"),
    pytest.param(record(b"\xac\xed\x00\x05t\x00\x02hi"), "holds str", id="a text"),
    pytest.param(record(b"\xac\xed\x00\x05p"), "holds NoneType", id="null"),
    pytest.param(record(b"\xac\xed\x00\x05q\x00\x7e\x00\x00"), "refers to something", id="a reference to nothing"),
    pytest.param(record(chunk([A], b"").replace(A.until.to_bytes(8, "big"), (1).to_bytes(8, "big"))), "backwards",
                 id="a span that runs backwards"),
])
def test_what_cannot_be_read_is_said_and_never_raised(content: bytes, said: str) -> None:
    found = read(content)
    assert found.problem is not None
    assert said in found.problem
    assert not found.torn


def test_what_follows_a_damaged_record_is_read_and_the_segment_is_still_a_problem() -> None:
    found = read(segment([A]) + record(b"damaged") + segment([B]))
    assert found.ranges == (A, B)
    assert found.problem is not None


def test_classes_in_one_another_end() -> None:
    nested = b"".join(b"sr\x00\x01a" + bytes(8) + b"\x02\x00\x01L\x00\x01bt\x00\x01cxp" for _ in range(200))
    found = read(record(b"\xac\xed\x00\x05" + nested))
    assert found.problem is not None


spans = st.builds(lambda topic, partition, first, size: OffsetRange(topic, partition, first, first + size),
                  st.sampled_from(["a", "Überträge", "x" * 249]), st.integers(0, 2**31 - 1), st.integers(0, 2**62),
                  st.integers(0, 2**31))


@given(st.lists(st.lists(spans, min_size=1, max_size=4), max_size=4), st.binary(max_size=64))
def test_whatever_spans_a_receiver_stores_are_read(chunks: list[list[OffsetRange]], content: bytes) -> None:
    found = read(segment(*chunks, content=content))
    assert found.problem is None
    assert list(found.ranges) == [span for each in chunks for span in each]


@given(st.binary(max_size=400))
def test_noise_never_raises(content: bytes) -> None:
    found = read(content)
    assert found.problem is not None or not content


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_changed_byte_never_raises(place: int, change: int) -> None:
    content = bytearray(WHOLE)
    content[place] ^= change
    read(bytes(content))
