"""What earlier recovery points tell about the next one: timestamps of real records, and how fast partitions grow.

Pure: points, offsets and the time are arguments.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from streamops.points.recovery_points import RecoveryPoint
from streamops.state.offsets import TopicPartition

#: (offset, timestamp in ms since 1970) of real records, ascending by offset.
Samples = Sequence[tuple[int, int]]


def known_timestamps(points: Iterable[RecoveryPoint]) -> dict[TopicPartition, Samples]:
    """(offset, timestamp in ms) of every record whose timestamp these points hold, ascending by offset.

    A topic that was made again begins anew: of older points of it nothing is taken.
    """
    found: dict[TopicPartition, dict[int, int]] = defaultdict(dict)
    ids: dict[str, str] = {}
    for point in points:
        for topic, topic_id in point.topic_ids.items():
            if topic_id is not None and ids.setdefault(topic, topic_id) != topic_id:
                ids[topic] = topic_id
                for at in [at for at in found if at.topic == topic]:
                    del found[at]
        for at, each in point.partitions.items():
            if each.processed is not None and each.processed_at_ms is not None:
                found[at][each.processed] = each.processed_at_ms
            if each.latest and each.latest_at_ms is not None:
                found[at][each.latest - 1] = each.latest_at_ms
    return {at: sorted(times.items()) for at, times in found.items()}


def oldest_waiting(
    processed: Mapping[TopicPartition, int], latest: Mapping[TopicPartition, int],
    samples: Mapping[TopicPartition, Samples],
) -> tuple[dict[TopicPartition, int], list[TopicPartition]]:
    """The timestamps (ms) of records at `processed` that samples have, and the partitions whose record is to be read.

    Those come with the most waiting records first, in case that not all can be read. Where nothing waits there is no
    such record.
    """
    known: dict[TopicPartition, int] = {}
    waiting: dict[TopicPartition, int] = {}
    for at, offset in processed.items():
        if (end := latest.get(at)) is None or end <= offset:
            continue
        found = next((at_ms for sampled, at_ms in samples.get(at, ()) if sampled == offset), None)
        if found is not None:
            known[at] = found
        else:
            waiting[at] = end - offset
    return known, sorted(waiting, key=lambda at: (-waiting[at], at))


def growth_per_s(
    last: RecoveryPoint, topic_ids: Mapping[str, str], latest: Mapping[TopicPartition, int], now_ms: int,
) -> dict[TopicPartition, float]:
    """Offsets a second by which partitions grew since `last`; nothing of topics that were made again meanwhile."""
    passed_s = (now_ms - last.taken_ms) / 1000
    if passed_s <= 0:
        return {}
    same = {topic for topic, topic_id in topic_ids.items() if last.topic_ids.get(topic) == topic_id}
    return {at: (latest[at] - each.latest) / passed_s for at, each in last.partitions.items()
            if each.latest is not None and at.topic in same and latest.get(at, -1) >= each.latest}
