"""A snapshot: one recovery point out of what was read of Kafka, of the batch log and of the evidence beside it.

Pure: readings and the time are arguments, and one pass over the partitions makes the point. Whoever reads does it in
this order, so that what moves meanwhile explains itself: where the batch log stands (`settled`), the evidence, where
the batch log stands now (`processed`), Kafka's offsets last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from streamops.points import lag_seconds
from streamops.points.disagreements import disagreements
from streamops.points.lag_seconds import Growth, Retention
from streamops.points.recovery_points import PartitionPoint, RecoveryPoint, Unknown, WalExtent
from streamops.state.offsets import TopicPartition


@dataclass(frozen=True)
class Reading:
    """One number for each partition as far as it could be read, and why the others are missing.

    `missing` says it of single partitions (one broker of three is away), `reason` of all others.
    """

    values: Mapping[TopicPartition, int] = field(default_factory=dict)
    reason: str = "it was not read"
    missing: Mapping[TopicPartition, str] = field(default_factory=dict)

    def why(self, at: TopicPartition) -> str:
        return self.missing.get(at, self.reason)


@dataclass(frozen=True)
class ObservedKafka:
    """What the brokers say. `partitions` are those that the topics have; `growth` is what they grew by lately.

    `samples` are (offset, timestamp in ms) of real records that earlier points saw, ascending (earlier_points.py), for
    the lag in seconds where the record at the processed offset was not read. `undescribed` says of
    topics why their id is missing.
    """

    partitions: Collection[TopicPartition] = ()
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    earliest: Reading = field(default_factory=Reading)
    latest: Reading = field(default_factory=Reading)
    leader_epochs: Reading = field(default_factory=Reading)
    processed_at_ms: Reading = field(default_factory=Reading)
    latest_at_ms: Reading = field(default_factory=Reading)
    retention: Mapping[str, Retention] = field(default_factory=dict)
    growth: Mapping[TopicPartition, Growth] = field(default_factory=dict)
    samples: Mapping[TopicPartition, Sequence[tuple[int, int]]] = field(default_factory=dict)
    undescribed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ObservedBatchLog:
    """Where the batch log stands. `settled` is where it stood before the last batch that it had when reading began."""

    generation: int | None = None
    last_batch: int | None = None
    last_batch_finished_at: str | None = None
    processed: Reading = field(default_factory=Reading)
    settled: Mapping[TopicPartition, int] = field(default_factory=dict)
    reason: str = "no batch is logged yet"


@dataclass(frozen=True)
class ObservedEvidence:
    """What is compared with the batch log. `reasons` say of a field that is None why it is."""

    group_committed: Reading = field(default_factory=Reading)
    checkpointed: Reading = field(default_factory=Reading)
    checkpoint_batch: int | None = None
    sink_batch: int | None = None
    wal: WalExtent | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)


def take(
    pipeline: str,
    approach: str,
    topics: Sequence[str],
    kafka: ObservedKafka,
    batch_log: ObservedBatchLog,
    evidence: ObservedEvidence,
    now: datetime,
) -> RecoveryPoint:
    """The recovery point of a pipeline at `now` (UTC). Every None in it has its reason in `unknown`.

    Partitions are those of Kafka and of the batch log: the latter so that a point of a pipeline whose brokers are away
    still says what was processed.
    """
    wanted = set(topics)
    known = {at for at in (*kafka.partitions, *batch_log.processed.values) if at.topic in wanted}
    now_ms = round(now.timestamp() * 1000)
    reasons = _Reasons()
    partitions = {at: _partition(at, kafka, batch_log, evidence, now_ms, reasons) for at in sorted(known)}
    whole = {
        "generation": (batch_log.generation, batch_log.reason),
        "last_batch": (batch_log.last_batch, batch_log.reason),
        "last_batch_finished_at": (batch_log.last_batch_finished_at, batch_log.reason),
        "checkpoint_batch": (evidence.checkpoint_batch, evidence.reasons.get("checkpoint_batch", "it was not read")),
        "sink_batch": (evidence.sink_batch, evidence.reasons.get("sink_batch", "it was not read")),
        "wal": (evidence.wal, evidence.reasons.get("wal", "it was not read")),
    }
    unknown = [Unknown(what, reason) for what, (value, reason) in whole.items() if value is None]
    if evidence.wal is not None and evidence.wal.ranges is None:
        unknown.append(Unknown("wal_offsets", evidence.reasons.get("wal_offsets", "they were not read")))
    for topic in topics:
        if topic not in kafka.topic_ids:
            unknown.append(Unknown("topic_id", kafka.undescribed.get(topic, "it was not read"), topic))
    return RecoveryPoint(
        pipeline=pipeline,
        approach=approach,
        taken_at=now.isoformat(timespec="milliseconds"),
        generation=batch_log.generation,
        last_batch=batch_log.last_batch,
        last_batch_finished_at=batch_log.last_batch_finished_at,
        checkpoint_batch=evidence.checkpoint_batch,
        sink_batch=evidence.sink_batch,
        topic_ids={topic: kafka.topic_ids.get(topic) for topic in topics},
        partitions=partitions,
        wal=evidence.wal,
        unknown=(*unknown, *reasons.grouped(partitions)),
        disagreements=tuple(disagreements(
            approach, batch_log.processed.values, batch_log.settled, batch_log.last_batch,
            evidence.group_committed.values, evidence.checkpointed.values, evidence.checkpoint_batch)),
    )


class _Reasons:
    """Why values are missing, gathered: 50,000 partitions of a broker that is away are one line and not 50,000."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[TopicPartition]] = defaultdict(list)

    def add(self, what: str, reason: str, at: TopicPartition) -> None:
        self._found[what, reason].append(at)

    def grouped(self, partitions: Collection[TopicPartition]) -> Iterator[Unknown]:
        """One Unknown for all, for a whole topic, or for some partitions of a topic, whichever says it."""
        sizes = _by_topic(partitions)
        for (what, reason), missing in self._found.items():
            if len(missing) == len(partitions):
                yield Unknown(what, reason)
                continue
            for topic, numbers in _by_topic(missing).items():
                whole = len(numbers) == len(sizes[topic])
                yield Unknown(what, reason, topic, None if whole else tuple(numbers))


def _by_topic(partitions: Collection[TopicPartition]) -> dict[str, list[int]]:
    topics: dict[str, list[int]] = defaultdict(list)
    for at in partitions:
        topics[at.topic].append(at.partition)
    return topics


def _partition(
    at: TopicPartition, kafka: ObservedKafka, batch_log: ObservedBatchLog, evidence: ObservedEvidence, now_ms: int,
    reasons: _Reasons,
) -> PartitionPoint:
    """One partition; a reason for each value that is missing goes to `reasons`."""

    def read(what: str, reading: Reading) -> int | None:
        value = reading.values.get(at)
        if value is None:
            reasons.add(what, reading.why(at), at)
        return value

    earliest = read("earliest", kafka.earliest)
    processed = read("processed", batch_log.processed)
    latest = read("latest", kafka.latest)
    group_committed = read("group_committed", evidence.group_committed)
    checkpointed = read("checkpointed", evidence.checkpointed)
    leader_epoch = read("leader_epoch", kafka.leader_epochs)
    latest_at_ms = read("latest_at_ms", kafka.latest_at_ms)
    waiting, why_no_lag = lag_seconds.lag_records(processed, latest)
    if why_no_lag is not None:
        reasons.add("lag_records", why_no_lag, at)
    processed_at_ms = oldest_ms = kafka.processed_at_ms.values.get(at)
    if processed_at_ms is None:
        if waiting and processed is not None and latest is not None:
            samples = _with_newest(kafka.samples.get(at, ()), latest, latest_at_ms)
            oldest_ms = lag_seconds.timestamp_at(processed, samples)
        reasons.add("processed_at_ms", lag_seconds.IDLE if waiting == 0 else kafka.processed_at_ms.why(at), at)
    lag_s, why_no_lag_s = lag_seconds.lag_s(waiting, oldest_ms, now_ms)
    if why_no_lag_s is not None:
        reasons.add("lag_s", why_no_lag_s, at)
    data_loss_s, why_no_loss = lag_seconds.data_loss_s(
        processed, earliest, latest, oldest_ms, kafka.retention.get(at.topic), kafka.growth.get(at), now_ms)
    if why_no_loss is not None:
        reasons.add("data_loss_s", why_no_loss, at)
    return PartitionPoint(earliest, processed, group_committed, checkpointed, latest, leader_epoch, processed_at_ms,
                          latest_at_ms, lag_s, data_loss_s)


def _with_newest(
    samples: Sequence[tuple[int, int]], latest: int, latest_at_ms: int | None,
) -> Sequence[tuple[int, int]]:
    """`samples` and the newest record of now: what waits is mostly newer than what the last point saw."""
    if latest_at_ms is None or (samples and samples[-1][0] >= latest - 1):
        return samples
    return [*samples, (latest - 1, latest_at_ms)]
