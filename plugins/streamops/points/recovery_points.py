"""Recovery points: what is known of a pipeline at one moment, enough to come back to it.

The format is public, `streamops.recovery_point/1`, one JSON object:

    {"format": "streamops.recovery_point/1", "pipeline": "orders", "approach": "direct",
     "taken_at": "2026-11-20T03:00:00.000+00:00", "generation": 2, "last_batch": 217, …,
     "columns": ["partition", "earliest", "processed", …],
     "topics": {"orders": {"topic_id": "Zk0…", "partitions": [[0, 10, 250, …], [1, 0, 240, …]]}},
     "wal": {"files": 3, "bytes": 40960, "offsets": 120, "ranges": {"orders": [[0, 250, 370]]}},
     "unknown": [{"what": "latest", "reason": "broker 3 does not answer", "topic": "orders", "partitions": [1]}],
     "disagreements": [{"source": "group", "expected": true, "reason": "…", "offsets": 120,
                        "sizes": {"orders": {"0": 120}}}]}

A partition is a row, so that 50,000 of them are 6 MB and not 15. What is missing is null, and `unknown` says why; it is
never 0 or -1. `processed` is the batch log's and the authority; group commits and checkpoint are evidence beside it.
`lag_records`, `lag_s`, `data_loss_s` of the whole are there for readers, and worked out again by us.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from streamops.state import stored_json
from streamops.state.offsets import OffsetRange, Offsets, TopicPartition, parse_spark_offsets, to_spark_offsets

FORMAT = "streamops.recovery_point/1"


@dataclass(frozen=True, slots=True)
class PartitionPoint:
    """One partition at the moment of the point; None is unknown, and the point's `unknown` says why.

    Offsets are the next one to read: `processed` by the batch log, `group_committed` by the consumer group,
    `checkpointed` by Spark's checkpoint, the end of the batch that runs. `earliest` and `latest` are Kafka's.
    `processed_at_ms` is the timestamp of the record at `processed`, the oldest that waits, `latest_at_ms` that of the
    newest; both in ms since 1970. `lag_s` and `data_loss_s` are explained in lag_seconds.py.
    """

    earliest: int | None = None
    processed: int | None = None
    group_committed: int | None = None
    checkpointed: int | None = None
    latest: int | None = None
    leader_epoch: int | None = None
    processed_at_ms: int | None = None
    latest_at_ms: int | None = None
    lag_s: float | None = None
    data_loss_s: float | None = None

    @property
    def lag_records(self) -> int | None:
        """Offsets that wait to be processed; offsets without a record count as records."""
        if self.processed is None or self.latest is None or self.latest < self.processed:
            return None
        return self.latest - self.processed


#: The columns of a row after the partition's number, in the order of the file.
COLUMNS = tuple(field.name for field in fields(PartitionPoint))


@dataclass(frozen=True)
class Unknown:
    """Why a value is missing: of these partitions of a topic, of all of them (None), or of the point (no topic)."""

    what: str
    reason: str
    topic: str | None = None
    partitions: tuple[int, ...] | None = None


class Source(StrEnum):
    """Evidence that is compared with the batch log."""

    GROUP = "group"
    CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Disagreement:
    """Evidence that differs from the batch log, for one reason.

    `sizes` holds, for each partition, the evidence's offset less the batch log's. `expected` is what a healthy job
    shows while a batch runs; the rest is for a person.
    """

    source: Source
    reason: str
    expected: bool
    sizes: Mapping[TopicPartition, int]

    @property
    def offsets(self) -> int:
        """How many offsets differ, over all partitions."""
        return sum(map(abs, self.sizes.values()))


@dataclass(frozen=True)
class WalExtent:
    """A receiver's write-ahead log: its files, their bytes, and the offsets in it that are not processed yet.

    `ranges` go from what is processed to what the group committed, which is stored before it is committed; None is
    unknown. Files are cleaned some time after their records were processed, so they may hold more than that.
    """

    files: int
    size_bytes: int
    ranges: tuple[OffsetRange, ...] | None = None

    @property
    def offsets(self) -> int | None:
        return None if self.ranges is None else sum(held.span for held in self.ranges)


@dataclass(frozen=True)
class RecoveryPoint:
    """A pipeline at one moment. Times are UTC, ISO 8601; partitions are in order.

    `last_batch` is the last in the batch log, `checkpoint_batch` the last that the checkpoint (or a plan) names,
    `sink_batch` the last that the sink holds. `wal` is None where there is no write-ahead log, or `unknown` says why.
    """

    pipeline: str
    approach: str
    taken_at: str
    generation: int | None
    last_batch: int | None
    last_batch_finished_at: str | None
    checkpoint_batch: int | None
    sink_batch: int | None
    topic_ids: Mapping[str, str | None]
    partitions: Mapping[TopicPartition, PartitionPoint]
    wal: WalExtent | None = None
    unknown: tuple[Unknown, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()

    @property
    def taken_ms(self) -> int:
        return round(datetime.fromisoformat(self.taken_at).timestamp() * 1000)

    @property
    def processed(self) -> Offsets:
        """The next offset to process, of the partitions where it is known."""
        return {at: each.processed for at, each in self.partitions.items() if each.processed is not None}

    @property
    def lag_records(self) -> int | None:
        """The sum over the partitions whose lag is known; None when none is."""
        known = [lag for each in self.partitions.values() if (lag := each.lag_records) is not None]
        return sum(known) if known else None

    @property
    def lag_s(self) -> float | None:
        """The largest of those that are known."""
        return max((each.lag_s for each in self.partitions.values() if each.lag_s is not None), default=None)

    @property
    def data_loss_s(self) -> float | None:
        """The shortest of those that are known."""
        return min((each.data_loss_s for each in self.partitions.values() if each.data_loss_s is not None),
                   default=None)

    def why_unknown(self, what: str, at: TopicPartition | None = None) -> str | None:
        """Why `what`, named as the field is, is None for this partition, or for the point."""
        for each in self.unknown:
            if each.what == what and (each.topic is None or (at is not None and each.topic == at.topic and (
                    each.partitions is None or at.partition in each.partitions))):
                return each.reason
        return None

    def to_json(self) -> str:
        """The point in the public format, on one line."""
        topics: dict[str, Any] = {
            topic: {"topic_id": topic_id, "partitions": []} for topic, topic_id in self.topic_ids.items()}
        for at, each in self.partitions.items():
            topics[at.topic]["partitions"].append([at.partition, *(getattr(each, name) for name in COLUMNS)])
        wal = self.wal
        data: dict[str, Any] = {
            "format": FORMAT,
            "pipeline": self.pipeline,
            "approach": self.approach,
            "taken_at": self.taken_at,
            "generation": self.generation,
            "last_batch": self.last_batch,
            "last_batch_finished_at": self.last_batch_finished_at,
            "checkpoint_batch": self.checkpoint_batch,
            "sink_batch": self.sink_batch,
            "lag_records": self.lag_records,
            "lag_s": self.lag_s,
            "data_loss_s": self.data_loss_s,
            "columns": ["partition", *COLUMNS],
            "topics": topics,
            "wal": wal and {"files": wal.files, "bytes": wal.size_bytes, "offsets": wal.offsets,
                            "ranges": None if wal.ranges is None else _nested(wal.ranges)},
            "unknown": [{"what": each.what, "reason": each.reason, "topic": each.topic,
                         "partitions": each.partitions} for each in self.unknown],
            "disagreements": [{"source": each.source, "expected": each.expected, "reason": each.reason,
                               "offsets": each.offsets, "sizes": to_spark_offsets(each.sizes)}
                              for each in self.disagreements],
        }
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> RecoveryPoint:
        """The point that `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, FORMAT, "a recovery point") as data:
            if data["columns"] != ["partition", *COLUMNS]:
                raise ValueError(f"its columns are {data['columns']}")
            wal = data["wal"]
            return cls(
                pipeline=data["pipeline"],
                approach=data["approach"],
                taken_at=data["taken_at"],
                generation=data["generation"],
                last_batch=data["last_batch"],
                last_batch_finished_at=data["last_batch_finished_at"],
                checkpoint_batch=data["checkpoint_batch"],
                sink_batch=data["sink_batch"],
                topic_ids={topic: each["topic_id"] for topic, each in data["topics"].items()},
                partitions={TopicPartition(topic, number): PartitionPoint(*values)
                            for topic, each in data["topics"].items() for number, *values in each["partitions"]},
                wal=wal and WalExtent(wal["files"], wal["bytes"], None if wal["ranges"] is None else tuple(
                    OffsetRange(topic, *row) for topic, rows in wal["ranges"].items() for row in rows)),
                unknown=tuple(
                    Unknown(each["what"], each["reason"], each["topic"],
                            None if each["partitions"] is None else tuple(each["partitions"]))
                    for each in data["unknown"]),
                disagreements=tuple(
                    Disagreement(Source(each["source"]), each["reason"], each["expected"],
                                 parse_spark_offsets(json.dumps(each["sizes"])))
                    for each in data["disagreements"]),
            )


def _nested(ranges: Iterable[OffsetRange]) -> dict[str, list[list[int]]]:
    nested: dict[str, list[list[int]]] = {}
    for held in sorted(ranges):
        nested.setdefault(held.topic, []).append([held.partition, held.first, held.until])
    return nested
