"""Positions in Kafka: which records a batch took, and whether batches leave a hole or overlap.

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from streamops.errors import StateError


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


#: The next offset to read, for every partition that is known. A partition that is missing is unknown, never 0.
Offsets = dict[TopicPartition, int]


@dataclass(frozen=True, order=True)
class OffsetRange:
    """The offsets `first` to `until` of one partition, `until` not included.

    Offsets are positions: compaction and transaction markers may leave fewer records than `until - first`.
    """

    topic: str
    partition: int
    first: int
    until: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.until:
            raise ValueError(f"offset range {self.first}..{self.until} of {self.topic}-{self.partition} runs backwards")

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)

    @property
    def span(self) -> int:
        """How many offsets the range covers."""
        return self.until - self.first

    def as_dict(self) -> dict[str, Any]:
        return {"topic": self.topic, "partition": self.partition, "first": self.first, "until": self.until}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OffsetRange:
        return cls(data["topic"], int(data["partition"]), int(data["first"]), int(data["until"]))


def parse_spark_offsets(text: str) -> Offsets:
    """Offsets from the JSON that Spark's Kafka source reads and writes: `{"lines": {"0": 23, "1": 42}}`."""
    return {
        TopicPartition(topic, int(partition)): int(offset)
        for topic, partitions in json.loads(text).items()
        for partition, offset in partitions.items()
    }


def to_spark_offsets(offsets: Mapping[TopicPartition, int]) -> dict[str, dict[str, int]]:
    """The shape `{"lines": {"0": 23, "1": 42}}`, in the order of topic and partition."""
    nested: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in sorted(offsets.items()):
        nested.setdefault(topic, {})[str(partition)] = offset
    return nested


def ranges_between(start: Mapping[TopicPartition, int], end: Mapping[TopicPartition, int]) -> tuple[OffsetRange, ...]:
    """The ranges that lead from `start` to `end`, one for each partition of `end`; empty where nothing came.

    A partition that only `end` knows was added to the topic meanwhile: it is read from its first record, offset 0,
    as Spark's Kafka source does. Raises StateError when a partition ends below its start: offsets only ever grow, so
    its topic was deleted and made again.
    """
    for at, until in sorted(end.items()):
        if until < start.get(at, 0):
            raise StateError(
                f"{at} was read up to offset {start[at]} and now ends at {until}: the topic was deleted and made again",
                "What is in the new topic was never read. Open a new generation with start offsets in it.",
            )
    return tuple(OffsetRange(at.topic, at.partition, start.get(at, 0), until) for at, until in sorted(end.items()))


def advance(start: Mapping[TopicPartition, int], ranges: Iterable[OffsetRange]) -> Offsets:
    """`start` moved to the end of every range."""
    return {**start, **{taken.topic_partition: taken.until for taken in ranges}}


@dataclass(frozen=True)
class Seam:
    """Two neighbouring ranges of one partition that do not meet: a hole (`found > expected`) or an overlap."""

    topic_partition: TopicPartition
    batch: int
    expected: int
    found: int

    def __str__(self) -> str:
        kind, size = ("hole", self.found - self.expected) if self.found > self.expected else (
            "overlap", self.expected - self.found)
        return (f"{kind} of {size} in {self.topic_partition} before batch {self.batch}: "
                f"expected offset {self.expected}, found {self.found}")


def seams(start: Mapping[TopicPartition, int], batches: Iterable[tuple[int, Iterable[OffsetRange]]]) -> list[Seam]:
    """Every hole and every overlap in `batches`, given as (batch, ranges) in the order of batch numbers.

    Empty when each range begins exactly where the one before it in that partition ended, beginning at `start`.
    """
    position: Offsets = dict(start)
    found: list[Seam] = []
    for batch, ranges in batches:
        for taken in ranges:
            expected = position.get(taken.topic_partition, 0)
            if taken.first != expected:
                found.append(Seam(taken.topic_partition, batch, expected, taken.first))
            position[taken.topic_partition] = taken.until
    return found
