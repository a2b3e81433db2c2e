"""Planned batches as files."""

from __future__ import annotations

import json

import pytest

from streamops.errors import StateError
from streamops.state import planned_batch
from streamops.state.offsets import OffsetRange, TopicPartition
from streamops.state.planned_batch import PlannedBatch

PLANNED = PlannedBatch(
    generation=2,
    batch=217,
    epoch=5,
    ranges=(OffsetRange("lines", 0, 10, 30), OffsetRange("lines", 1, 7, 7)),
    lost=(OffsetRange("lines", 0, 10, 12),),
)


def test_a_plan_is_read_as_it_was_written() -> None:
    assert PlannedBatch.from_json(PLANNED.to_json()) == PLANNED


def test_the_public_format() -> None:
    assert json.loads(PLANNED.to_json()) == {
        "format": "streamops.planned_batch/1",
        "generation": 2,
        "batch": 217,
        "epoch": 5,
        "ranges": [
            {"topic": "lines", "partition": 0, "first": 10, "until": 30},
            {"topic": "lines", "partition": 1, "first": 7, "until": 7},
        ],
        "lost": [{"topic": "lines", "partition": 0, "first": 10, "until": 12}],
    }


def test_where_each_partition_stands_after_it() -> None:
    assert PLANNED.ends == {TopicPartition("lines", 0): 30, TopicPartition("lines", 1): 7}


def test_paths_sort_as_batches_do() -> None:
    assert planned_batch.path(2, 217) == "plans/000002/000000000217.json"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "streamops.planned_batch/9"}', PLANNED.to_json()[:60]])
def test_anything_else_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(StateError) as refused:
        PlannedBatch.from_json(text)
    assert refused.value.repair
