"""What earlier recovery points tell about the next one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from streamops.points.earlier_points import growth_per_s, known_timestamps, oldest_waiting
from streamops.points.recovery_points import PartitionPoint, RecoveryPoint
from streamops.state.offsets import TopicPartition

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
P0, P1, P2 = (TopicPartition("lines", number) for number in range(3))


def point(partitions: dict[TopicPartition, PartitionPoint], topic_id: str | None = "id1") -> RecoveryPoint:
    return RecoveryPoint("lines", "direct", (NOW - timedelta(seconds=100)).isoformat(), 1, 7, None, None, None,
                         {"lines": topic_id}, partitions)


def test_timestamps_that_points_know() -> None:
    first = point({P0: PartitionPoint(processed=10, latest=30, processed_at_ms=1000, latest_at_ms=9000),
                   P1: PartitionPoint(processed=50, latest=50, latest_at_ms=5000), P2: PartitionPoint(latest=0)})
    second = point({P0: PartitionPoint(processed=30, latest=90, latest_at_ms=20_000)}, None)
    assert known_timestamps([first, second]) == {P0: [(10, 1000), (29, 9000), (89, 20_000)], P1: [(49, 5000)]}


def test_of_a_topic_that_was_made_again_only_the_new_one_counts() -> None:
    first = point({P0: PartitionPoint(processed=10, latest=30, processed_at_ms=1000, latest_at_ms=9000)})
    again = point({P0: PartitionPoint(latest=12, latest_at_ms=20_000)}, "id2")
    assert known_timestamps([first, again]) == {P0: [(11, 20_000)]}


def test_which_records_are_to_be_read() -> None:
    processed = {P0: 10, P1: 20, P2: 30}
    latest = {P0: 15, P1: 40, P2: 30}
    assert oldest_waiting(processed, latest, {}) == ({}, [P1, P0])
    assert oldest_waiting(processed, latest, {P1: [(20, 7000), (39, 8000)], P0: [(11, 1)]}) == ({P1: 7000}, [P0])
    assert oldest_waiting(processed, {P1: 19}, {}) == ({}, [])


def test_how_fast_a_partition_grows() -> None:
    last = point({P0: PartitionPoint(latest=100), P1: PartitionPoint(), P2: PartitionPoint(latest=100)})
    ids = {"lines": "id1"}
    assert growth_per_s(last, ids, {P0: 300, P1: 5, P2: 90}, NOW_MS) == {P0: 2.0}
    assert growth_per_s(last, {"lines": "id2"}, {P0: 300}, NOW_MS) == {}
    assert growth_per_s(last, {}, {P0: 300}, NOW_MS) == {}
    assert growth_per_s(last, ids, {P0: 300}, last.taken_ms) == {}
