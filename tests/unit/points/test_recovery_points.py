"""Recovery points as files: the public format, and what it says of values that are missing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from streamops.errors import StateError
from streamops.points.recovery_points import (
    COLUMNS,
    Disagreement,
    PartitionPoint,
    RecoveryPoint,
    Source,
    Unknown,
    WalExtent,
)
from streamops.state.offsets import OffsetRange, TopicPartition

P0, P1 = TopicPartition("lines", 0), TopicPartition("lines", 1)

POINT = RecoveryPoint(
    pipeline="lines",
    approach="receiver",
    taken_at="2026-11-20T03:00:00.250+00:00",
    generation=2,
    last_batch=217,
    last_batch_finished_at="2026-11-20T02:59:59.000+00:00",
    checkpoint_batch=218,
    sink_batch=None,
    topic_ids={"lines": "Zk0"},
    partitions={P0: PartitionPoint(0, 10, 15, None, 30, 4, 1_000, 9_000, 2.5, 3600.0), P1: PartitionPoint(processed=7)},
    wal=WalExtent(3, 40_960, (OffsetRange("lines", 0, 10, 15),)),
    unknown=(Unknown("sink_batch", "it was not read"), Unknown("latest", "broker 3 is away", "lines", (1,)),
             Unknown("checkpointed", "a receiver has none", "lines")),
    disagreements=(Disagreement(Source.GROUP, "received, not processed", True, {P0: 5}),),
)


def test_a_point_is_read_as_it_was_written() -> None:
    assert RecoveryPoint.from_json(POINT.to_json()) == POINT
    assert RecoveryPoint.from_json((unread := replace(POINT, wal=WalExtent(1, 2))).to_json()) == unread
    bare = replace(POINT, wal=None, unknown=(), disagreements=(), partitions={}, generation=None)
    assert RecoveryPoint.from_json(bare.to_json()) == bare


def test_the_public_format() -> None:
    assert json.loads(POINT.to_json()) == {
        "format": "streamops.recovery_point/1",
        "pipeline": "lines",
        "approach": "receiver",
        "taken_at": "2026-11-20T03:00:00.250+00:00",
        "generation": 2,
        "last_batch": 217,
        "last_batch_finished_at": "2026-11-20T02:59:59.000+00:00",
        "checkpoint_batch": 218,
        "sink_batch": None,
        "lag_records": 20,
        "lag_s": 2.5,
        "data_loss_s": 3600.0,
        "columns": ["partition", "earliest", "processed", "group_committed", "checkpointed", "latest", "leader_epoch",
                    "processed_at_ms", "latest_at_ms", "lag_s", "data_loss_s"],
        "topics": {"lines": {"topic_id": "Zk0", "partitions": [
            [0, 0, 10, 15, None, 30, 4, 1000, 9000, 2.5, 3600.0],
            [1, None, 7, None, None, None, None, None, None, None, None],
        ]}},
        "wal": {"files": 3, "bytes": 40960, "offsets": 5, "ranges": {"lines": [[0, 10, 15]]}},
        "unknown": [
            {"what": "sink_batch", "reason": "it was not read", "topic": None, "partitions": None},
            {"what": "latest", "reason": "broker 3 is away", "topic": "lines", "partitions": [1]},
            {"what": "checkpointed", "reason": "a receiver has none", "topic": "lines", "partitions": None},
        ],
        "disagreements": [{"source": "group", "expected": True, "reason": "received, not processed", "offsets": 5,
                           "sizes": {"lines": {"0": 5}}}],
    }


def test_times_and_totals() -> None:
    assert POINT.taken_ms == 1_795_143_600_250
    assert POINT.processed == {P0: 10, P1: 7}
    assert (POINT.lag_records, POINT.lag_s, POINT.data_loss_s) == (20, 2.5, 3600.0)
    nothing = replace(POINT, partitions={P1: PartitionPoint(processed=7)})
    assert (nothing.lag_records, nothing.lag_s, nothing.data_loss_s) == (None, None, None)


@pytest.mark.parametrize(("what", "at", "reason"), [
    pytest.param("sink_batch", None, "it was not read", id="of the point"),
    pytest.param("latest", P1, "broker 3 is away", id="of one partition"),
    pytest.param("latest", P0, None, id="of another partition"),
    pytest.param("checkpointed", P0, "a receiver has none", id="of a whole topic"),
    pytest.param("checkpointed", TopicPartition("other", 0), None, id="of another topic"),
])
def test_why_a_value_is_unknown(what: str, at: TopicPartition | None, reason: str | None) -> None:
    assert POINT.why_unknown(what, at) == reason


@pytest.mark.parametrize(("text", "found"), [
    pytest.param("", "cannot be read", id="empty"),
    pytest.param("[]", "cannot be read", id="a list"),
    pytest.param('{"format": "streamops.recovery_point/9"}', "streamops.recovery_point/9", id="a later format"),
    pytest.param('{"format": "streamops.recovery_point/1"}', "cannot be read", id="nothing in it"),
    pytest.param(POINT.to_json().replace('"processed"', '"done"'), "its columns are", id="other columns"),
    pytest.param(POINT.to_json().replace("[1,null,", "[1,null,null,"), "cannot be read", id="a row that is too long"),
    pytest.param(POINT.to_json().replace("[[0,0,10", "[[],[0,0,10"), "cannot be read", id="a row without a number"),
    pytest.param(POINT.to_json().replace('"bytes"', '"size"'), "cannot be read", id="a log without its size"),
])
def test_anything_else_is_refused(text: str, found: str) -> None:
    with pytest.raises(StateError, match=found):
        RecoveryPoint.from_json(text)


def test_a_point_of_many_partitions_is_lean() -> None:
    row = PartitionPoint(10_000_000, 20_000_000, 20_000_000, None, 20_000_500, 12, 1_790_000_000_000,
                         1_790_000_000_000, 12.345, 86_400.0)
    point = replace(POINT, partitions={TopicPartition("lines", number): row for number in range(5_000)})
    assert len(point.to_json()) < 110 * 5_000
    assert not hasattr(row, "__dict__")
    assert len(COLUMNS) == 10
