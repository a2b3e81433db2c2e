"""Reading for recovery points: state directory, consumer groups and brokers of each pipeline, in this order.

What cannot be read is missing in the point, with the reason; reading goes on.

    with SnapshotReader() as reader:
        point = reader.take(pipeline, earlier)      # earlier: the pipeline's last point, or None
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar

from streamops.adapters.connections import connection
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.kafka import consumer_groups, record_times, topic_positions
from streamops.adapters.kafka.broker import Broker
from streamops.adapters.pipelines import state_evidence
from streamops.adapters.pipelines.files import state_files
from streamops.declared.pipeline import Pipeline
from streamops.errors import StreamopsError
from streamops.points import snapshot
from streamops.points.earlier_points import growth_per_s, known_timestamps, oldest_waiting
from streamops.points.lag_seconds import Growth
from streamops.points.recovery_points import RecoveryPoint
from streamops.points.snapshot import ObservedBatchLog, ObservedEvidence, ObservedKafka, Reading
from streamops.state.offsets import TopicPartition

#: Seconds to wait for brokers: a snapshot of many pipelines goes on without them.
_BROKER_TIMEOUT_S = 5.0

_Source = TypeVar("_Source")
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class _Away:
    """What could not be read, and why."""

    reason: str


class SnapshotReader:
    """Takes the points of several pipelines, over one connection to each Kafka cluster. To be closed: use `with`."""

    def __init__(self, timeout_s: float = _BROKER_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._brokers: dict[str, Broker | _Away] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for broker in self._brokers.values():
            if isinstance(broker, Broker):
                broker.close()

    def take(self, pipeline: Pipeline, earlier: RecoveryPoint | None = None) -> RecoveryPoint:
        """The recovery point of a pipeline that reads topics, now. Never raises for a server that is away."""
        broker = self._broker(pipeline.connections.kafka)
        files = _tried(lambda: state_files(pipeline))
        before = _with(files, state_evidence.log_position)
        evidence = self._evidence(pipeline, files, before, broker)
        # Storage that did not answer is not asked again: it may take half a minute to say so.
        after = before if isinstance(before, _Away) else _with(files, state_evidence.log_position)
        batch_log = _batch_log(before, after)
        kafka, now = self._kafka(pipeline, broker, batch_log.processed.values, earlier)
        if evidence.wal is not None and evidence.group_committed.values:
            held = state_evidence.stored(dict(batch_log.processed.values), dict(evidence.group_committed.values))
            evidence = replace(evidence, wal=replace(evidence.wal, ranges=held))
        return snapshot.take(pipeline.name, pipeline.approach, pipeline.topics, kafka, batch_log, evidence, now)

    def _broker(self, conn_id: str) -> Broker | _Away:
        if conn_id not in self._brokers:
            self._brokers[conn_id] = _tried(lambda: Broker.connect(connection(conn_id), self._timeout_s))
        return self._brokers[conn_id]

    def _evidence(
        self, pipeline: Pipeline, files: StateFiles | _Away, at: state_evidence.LogPosition | _Away,
        broker: Broker | _Away,
    ) -> ObservedEvidence:
        """Checkpoint, sink and write-ahead log as of the batch log's position, and the group's commits."""
        generation = at.generation.number if isinstance(at, state_evidence.LogPosition) and at.generation else None
        group = _with(broker, lambda up: consumer_groups.committed(up, pipeline, generation))
        if isinstance(at, _Away) or isinstance(files, _Away):
            why = at.reason if isinstance(at, _Away) else "the state directory cannot be read"
            return ObservedEvidence(_reading(group), Reading(reason=why), None, None, None,
                                    dict.fromkeys(("checkpoint_batch", "sink_batch", "wal"), why))
        there = _tried(lambda: state_evidence.checkpointed(files, pipeline.approach, at))
        if isinstance(there, _Away):
            there = state_evidence.Checkpointed(None, {}, there.reason)
        sink, why_no_sink = _or_reason(_tried(lambda: state_evidence.sink_batch(files, pipeline.sink.type, at)))
        wal, why_no_wal = _or_reason(_tried(lambda: state_evidence.write_ahead_log(files, pipeline, at)))
        return ObservedEvidence(
            group_committed=_reading(group),
            checkpointed=Reading(there.ends, there.reason or "the checkpoint does not name this partition"),
            checkpoint_batch=there.batch,
            sink_batch=sink,
            wal=wal,
            reasons={"checkpoint_batch": there.reason, "sink_batch": why_no_sink, "wal": why_no_wal,
                     "wal_offsets": _reading(group).reason},
        )

    def _kafka(
        self, pipeline: Pipeline, broker: Broker | _Away, processed: Mapping[TopicPartition, int],
        earlier: RecoveryPoint | None,
    ) -> tuple[ObservedKafka, datetime]:
        """What brokers say, the latest offsets last, and the time of those."""
        found = _with(broker, lambda up: _read(up, pipeline.topics, processed, earlier))
        if not isinstance(found, _Away):
            return found
        away = Reading(reason=found.reason)
        undescribed = dict.fromkeys(pipeline.topics, found.reason)
        return ObservedKafka((), {}, away, away, away, away, away, undescribed=undescribed), datetime.now(UTC)


def _read(
    broker: Broker, topics: Sequence[str], processed: Mapping[TopicPartition, int], earlier: RecoveryPoint | None,
) -> tuple[ObservedKafka, datetime]:
    found = topic_positions.layout(broker, topics)
    partitions = found.partitions
    known = frozenset(partitions)
    strange = {at: found.absent.get(at.topic, "Kafka has no such partition") for at in processed if at not in known}

    def complete(reading: Reading) -> Reading:
        return replace(reading, missing={**reading.missing, **strange})

    retention = topic_positions.retention(broker, found.topic_ids)
    earliest = complete(topic_positions.earliest(broker, found))
    youngest = complete(topic_positions.youngest_ms(broker, found))
    latest = complete(topic_positions.latest(broker, found))
    now = datetime.now(UTC)
    samples = {} if earlier is None else known_timestamps([earlier])
    oldest, to_read = oldest_waiting(processed, latest.values, samples)
    oldest.update(record_times.timestamps_at(broker, found, to_read, processed))
    limited = [topic for topic, limits in retention.items() if limits.retention_bytes is not None]
    growth = {}
    if limited and earlier is not None:
        per_s = growth_per_s(earlier, found.topic_ids, latest.values, round(now.timestamp() * 1000))
        sizes = topic_positions.sizes_bytes(broker, found, limited)
        growth = {at: Growth(size, per_s[at]) for at, size in sizes.items() if at in per_s}
    return ObservedKafka(
        partitions=partitions,
        topic_ids=found.topic_ids,
        earliest=earliest,
        latest=latest,
        leader_epochs=complete(Reading(found.leader_epochs, "the brokers do not say it")),
        processed_at_ms=complete(Reading(oldest, "its record was not read")),
        latest_at_ms=youngest,
        retention=retention,
        growth=growth,
        samples=samples,
        undescribed=found.absent,
    ), now


def _batch_log(
    before: state_evidence.LogPosition | _Away, after: state_evidence.LogPosition | _Away,
) -> ObservedBatchLog:
    if isinstance(after, _Away):
        return ObservedBatchLog(processed=Reading(reason=after.reason), reason=after.reason)
    if after.generation is None:
        reason = "the pipeline was never started"
        return ObservedBatchLog(processed=Reading(reason=reason), reason=reason)
    last = after.last
    return ObservedBatchLog(
        generation=after.generation.number,
        last_batch=last.batch if last else None,
        last_batch_finished_at=last.finished_at if last else None,
        processed=Reading(after.processed, "the batch log does not know this partition yet"),
        settled={} if isinstance(before, _Away) else before.settled,
    )


def _tried(read: Callable[[], _Found]) -> _Found | _Away:
    try:
        return read()
    except StreamopsError as error:
        return _Away(error.found)


def _with(source: _Source | _Away, read: Callable[[_Source], _Found]) -> _Found | _Away:
    return source if isinstance(source, _Away) else _tried(lambda: read(source))


def _or_reason(found: tuple[_Found | None, str] | _Away) -> tuple[_Found | None, str]:
    return (None, found.reason) if isinstance(found, _Away) else found


def _reading(found: Reading | _Away) -> Reading:
    return Reading(reason=found.reason) if isinstance(found, _Away) else found
