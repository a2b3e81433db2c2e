"""Partitions that retention has overtaken: what is gone, since when, and how long a topic has to keep its records."""

from __future__ import annotations

from typing import Any

import pytest

from streamops.points import retention_loss
from streamops.points.lag_seconds import Retention
from streamops.points.recovery_points import PartitionPoint, RecoveryPoint, Unknown, WalExtent
from streamops.points.retention_loss import Oldest, Overtaken
from streamops.state.offsets import OffsetRange, TopicPartition

P0, P1 = TopicPartition("lines", 0), TopicPartition("lines", 1)
HOUR_MS = 3_600_000


def point(at: str, *rows: tuple[int | None, int | None, int | None], **more: Any) -> RecoveryPoint:
    """Rows are earliest, processed, latest of partition 0, 1, …"""
    partitions = {TopicPartition("lines", number): PartitionPoint(earliest=earliest, processed=processed, latest=latest)
                  for number, (earliest, processed, latest) in enumerate(rows)}
    return RecoveryPoint("lines", "direct", at, 1, 5, at, 5, 5, {"lines": "id"}, partitions, **more)


NOW = point("2026-11-20T03:00", (42, 30, 100), (0, 10, 20))


@pytest.mark.parametrize(("now", "expected"), [
    pytest.param(NOW, [(P0, 12, 0, 58)], id="one partition of two"),
    pytest.param(point("now", (30, 30, 100), (0, 10, 20)), [], id="just not: the next one to process is there"),
    pytest.param(point("now", (100, 30, 100)), [(P0, 70, 0, 0)], id="all is gone"),
    pytest.param(point("now", (42, None, 100), (None, 3, None)), [], id="what is unknown is not judged"),
    pytest.param(point("now", (42, 30, 100), wal=WalExtent(1, 9, (OffsetRange("lines", 0, 30, 60),))),
                 [(P0, 0, 12, 58)], id="the write-ahead log holds all of it"),
    pytest.param(point("now", (42, 30, 100), wal=WalExtent(1, 9, (OffsetRange("lines", 0, 30, 35),))),
                 [(P0, 7, 5, 58)], id="the write-ahead log holds a part"),
    pytest.param(point("now", (42, 30, 100), wal=WalExtent(1, 9, None)), [(P0, 12, 0, 58)],
                 id="what the write-ahead log holds is unknown"),
])
def test_what_is_gone(now: RecoveryPoint, expected: list[tuple[TopicPartition, int, int, int]]) -> None:
    found = retention_loss.overtaken(now, [], {})
    assert [(each.topic_partition, each.gone, each.held, each.left) for each in found] == expected


@pytest.mark.parametrize(("earlier", "whole_at", "gone_at"), [
    pytest.param([], None, None, id="no points"),
    pytest.param([point("02:55", (40, 30, 90)), point("02:50", (31, 30, 90)), point("02:45", (30, 30, 90)),
                  point("02:40", (0, 30, 90))], "02:45", "02:50", id="between two points"),
    pytest.param([point("02:55", (0, 30, 90))], "02:55", None, id="since the last point"),
    pytest.param([point("02:55", (40, 30, 90))], None, "02:55", id="before all points"),
    pytest.param([point("02:55", (None, None, 90)), point("02:50", (0, 20, 80))], "02:50", None, id="one knew nothing"),
])
def test_since_when(earlier: list[RecoveryPoint], whole_at: str | None, gone_at: str | None) -> None:
    [found] = retention_loss.overtaken(NOW, earlier, {})
    assert (found.whole_at, found.gone_at) == (whole_at, gone_at)


def test_only_the_overtaken_partitions_are_moved() -> None:
    found = retention_loss.overtaken(NOW, [], {P0: Oldest(60.0, 300.0)})
    assert retention_loss.starts(found) == {P0: 42}
    assert retention_loss.in_words(found) == "lines-0 from 42"
    assert retention_loss.soonest_s(found) == 300
    assert "lines-0" in retention_loss.shown(found)
    assert found[0].as_dict()["gone"] == 12


def test_what_is_unknown_has_its_reason() -> None:
    now = point("now", (42, None, 100), (None, 3, None), unknown=(
        Unknown("processed", "the batch log is away", "lines", (0,)), Unknown("earliest", "no leader", "lines", (1,))))
    assert retention_loss.unknown(now) == {P0: "the batch log is away", P1: "no leader"}


def lost(goes_in_s: float | None, age_s: float | None = 3600, latest: int = 100) -> Overtaken:
    return Overtaken(P0, 30, 42, latest, 30, oldest=Oldest(age_s, goes_in_s))


@pytest.mark.parametrize(("found", "limit_ms", "expected"), [
    pytest.param(lost(600), HOUR_MS, {}, id="time enough"),
    pytest.param(lost(60), HOUR_MS, {"lines": 2 * HOUR_MS}, id="too soon: doubled"),
    pytest.param(lost(0, 4 * 3600), HOUR_MS, {"lines": 8 * HOUR_MS}, id="a segment that is kept for its newest record"),
    pytest.param(lost(None), HOUR_MS, {}, id="unknown"),
    pytest.param(lost(60, None), HOUR_MS, {}, id="of unknown age"),
    pytest.param(lost(60), None, {}, id="limited by size alone"),
    pytest.param(lost(60, latest=42), HOUR_MS, {}, id="nothing is left to lose"),
])
def test_how_long_a_topic_has_to_keep_its_records(
    found: Overtaken, limit_ms: int | None, expected: dict[str, int]
) -> None:
    assert retention_loss.enough_ms([found], {"lines": Retention(limit_ms)}, needed_s=300) == expected
