"""Reads a segment of Spark's write-ahead log that a receiver of ours wrote: which offsets it holds.

A segment is `receivedData/<stream>/log-<began ms>-<until ms>` below a start's checkpoint directory. Spark's
FileBasedWriteAheadLogWriter puts records behind each other: four bytes, big-endian, with a length, then as many bytes.
A record is a block, serialised with `spark.serializer`: by default Java's, and then one Chunk, whose spans say the
offsets (jobs/receiver/Chunk.scala). Of blocks of another serialiser, or encrypted ones, nothing is known but that they
are there: such a segment has a `problem`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO

from streamops.cleaning.java_stream import JavaObject, JavaStream, UnknownContent
from streamops.state.offsets import OffsetRange, Offsets

#: Classes of what is in a block, and the versions that they have as long as their fields stay what they are.
_PACKAGE = "org.apache.spark.streaming.streamops"
_CHUNK = (f"{_PACKAGE}.Chunk", 1, {("records", "I"), ("bytes", "["), ("spans", "[")})
_SPAN = (f"{_PACKAGE}.Span", 1, {("first", "J"), ("partition", "I"), ("until", "J"), ("topic", "L")})


@dataclass(frozen=True)
class Segment:
    """What could be read of a segment. `ranges` are those of its chunks, in the order of the file.

    `problem` says what could not be read, and from which byte on; then the segment may hold offsets that nobody knows.
    `torn` says that it is a last record that was not written to its end.
    """

    ranges: tuple[OffsetRange, ...]
    records: int
    chunks: int
    problem: str | None = None
    torn: bool = False

    @property
    def ends(self) -> Offsets:
        """The first offset of each partition that is above everything in it."""
        return ends_of(self.ranges)


def ends_of(ranges: Iterable[OffsetRange]) -> Offsets:
    """For each partition the first offset that is above all of `ranges`."""
    ends: Offsets = {}
    for held in ranges:
        ends[held.topic_partition] = max(held.until, ends.get(held.topic_partition, 0))
    return ends


def read_segment(stream: BinaryIO) -> Segment:
    """Read a segment to its end, a record at a time; values are passed over. Never raises for what is in it.

    What follows a record that cannot be read is read all the same, as long as lengths lead from one to the next.
    """
    size = stream.seek(0, os.SEEK_END)
    ranges: list[OffsetRange] = []
    records = chunks = at = 0
    problem: str | None = None
    while at < size:
        stream.seek(at)
        length = int.from_bytes(stream.read(4), "big", signed=True)
        if size - at < 4 or length > size - at - 4:
            return Segment(tuple(ranges), records, chunks, problem or f"it is torn at byte {at:,} of {size:,}", True)
        if length <= 0:
            problem = problem or f"at byte {at:,} of {size:,} is no record: its length would be {length:,}"
            break
        try:
            for chunk in JavaStream(stream, length).objects():
                spans, count = _chunk(chunk)
                ranges += spans
                records += count
                chunks += 1
        except UnknownContent as error:
            problem = problem or f"the record at byte {at:,} of {size:,} cannot be read: {error}"
        at += 4 + length
    return Segment(tuple(ranges), records, chunks, problem)


def _chunk(found: Any) -> tuple[list[OffsetRange], int]:
    """A chunk's spans, and how many records are in it. Raises UnknownContent for anything else."""
    values = _fields(found, *_CHUNK)
    spans, records = values["spans"], values["records"]
    if not isinstance(spans, list) or records < 0 or (records and not spans):
        raise UnknownContent(f"a chunk of {records:,} records does not say which offsets they have")
    return [_span(each) for each in spans], records


def _span(found: Any) -> OffsetRange:
    values = _fields(found, *_SPAN)
    if not isinstance(values["topic"], str) or values["partition"] < 0:
        raise UnknownContent("a span in it has no topic or no partition")
    try:
        return OffsetRange(values["topic"], values["partition"], values["first"], values["until"])
    except ValueError as error:
        raise UnknownContent(str(error)) from error


def _fields(found: Any, name: str, version: int, fields: set[tuple[str, str]]) -> dict[str, Any]:
    """An object's values. Raises UnknownContent unless it is of this class, as it is written today."""
    if not isinstance(found, JavaObject):
        raise UnknownContent(f"it holds {type(found).__name__} where {name} was expected")
    of = found.of
    if (of.name, of.version, set(of.fields), of.parent) != (name, version, fields, None):
        raise UnknownContent(f"it holds {of.name[:200]} of version {of.version}, which is not read here")
    return found.values
