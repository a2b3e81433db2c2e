"""Reads a segment of Spark's write-ahead log that a receiver of ours wrote: which offsets it holds.

A segment is `receivedData/<stream>/log-<began ms>-<until ms>` below a start's checkpoint directory. Spark's
FileBasedWriteAheadLogWriter puts records behind each other: four bytes, big-endian, with a length, then as many bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from streamops.offsets import OffsetRange, Offsets


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
        ends: Offsets = {}
        for held in self.ranges:
            ends[held.topic_partition] = max(held.until, ends.get(held.topic_partition, 0))
        return ends


def read_segment(stream: BinaryIO) -> Segment:
    """Read a segment to its end, a record at a time. Never raises for what is in it."""
    raise NotImplementedError
