"""What retention will take next: the age of the oldest records that Kafka has, and how long each topic keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streamops.adapters.kafka import record_times, topic_admin, topic_positions
from streamops.adapters.kafka.broker import Broker
from streamops.declared.topics import Topic, TopicPlan
from streamops.errors import RefusedError, StateError
from streamops.points import lag_seconds
from streamops.points.lag_seconds import Retention
from streamops.points.recovery_points import RecoveryPoint
from streamops.points.retention_loss import Oldest
from streamops.state.offsets import TopicPartition

RETENTION = "retention.ms"


def oldest(
    broker: Broker, point: RecoveryPoint, asked: Iterable[TopicPartition], limits: Mapping[str, Retention], now_ms: int
) -> dict[TopicPartition, Oldest]:
    """The oldest record of each partition, as of the earliest offsets of `point`. Raises what Broker.call does."""
    earliest = {at: each.earliest for at in asked
                if (each := point.partitions[at]).earliest is not None and each.earliest != each.latest}
    known = {at: offset for at, offset in earliest.items() if offset is not None}
    layout = topic_positions.layout(broker, {at.topic for at in known}) if known else topic_positions.Layout()
    times = record_times.timestamps_at(broker, layout, sorted(known), known)
    found = {}
    for at, offset in known.items():
        goes_in_s, why = lag_seconds.data_loss_s(
            offset, offset, point.partitions[at].latest, times.get(at), limits.get(at.topic), None, now_ms)
        age_s, _ = lag_seconds.lag_s(1, times.get(at), now_ms)
        found[at] = Oldest(age_s, goes_in_s, why)
    return found


def raise_to(broker: Broker, declared: Mapping[str, Topic], wanted_ms: Mapping[str, int]) -> list[str]:
    """Have these topics keep their records for so long, and read it back; what was changed, in words.

    Raises RefusedError and StateError as topic_admin.apply does, and what Broker.call does.
    """
    limits = topic_positions.retention(broker, wanted_ms)
    done = []
    for topic, ms in sorted(wanted_ms.items()):
        now_ms = limits.get(topic, Retention(None)).retention_ms
        if now_ms is not None and now_ms >= ms:
            continue
        configs = {**declared[topic].configs, RETENTION: str(ms)}
        wanted = declared[topic].model_copy(update={"configs": configs})
        planned = topic_admin.plan(broker, {topic: wanted}, [topic])
        only = tuple(change for change in planned.steps if change.config == RETENTION)
        if not only:
            raise RefusedError(f"`{RETENTION}` of {topic} cannot be set", f"See streamops topics plan {topic}")
        topic_admin.apply(broker, {topic: wanted}, TopicPlan((topic,), only))
        found_ms = topic_positions.retention(broker, [topic]).get(topic, Retention(None)).retention_ms
        if found_ms is not None and found_ms < ms:
            raise StateError(f"{topic} keeps its records for {found_ms} ms, and was to keep them for {ms} ms",
                             "Somebody else changes it. Look again: streamops topics plan")
        done.append(f"{topic} keeps its records for {ms / 3_600_000:.1f} h now, and did for "
                    + ("ever" if now_ms is None else f"{now_ms / 3_600_000:.1f} h"))
    return done
