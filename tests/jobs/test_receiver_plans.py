"""A batch that was planned and not processed when its driver died."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pyspark.sql import SparkSession

from hadoop_files import HadoopFiles
from streamops.state.job_spec import JobSpec
from streamops.state.planned_batch import PlannedBatch

from .conftest import RunningStream, Topics
from .observing import DriverDied, assert_contiguous, covered, entries
from .receiving import assert_exactly, numbered, until


def dies_with_its_plan(receivers: Callable[..., RunningStream], spec: JobSpec) -> None:
    """A driver that dies when its first batch is written down and nothing of it is done."""

    def dies(*_: Any, **__: Any) -> None:
        raise DriverDied

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("micro_batch.MicroBatches.run", dies)
        assert isinstance(receivers(spec, "driver-0").join(), DriverDied)


def test_a_planned_batch_is_finished_as_it_was_planned(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec],
) -> None:
    """A driver dies with its plan on disk, another goes on while more records are there than the plan knew."""
    topic = topics.create()
    spec = receiver_spec(topic)
    topics.send(topic, numbered(100))
    dies_with_its_plan(receivers, spec)
    (name,) = files.names("plans/000001")
    planned = PlannedBatch.from_json(files.read(f"plans/000001/{name}") or "")
    topics.send(topic, numbered(100, first=100))
    running = receivers(spec)
    until(running, lambda: covered(files) == 200, "everything is in a batch")
    running.stop()
    first = entries(files)[0]
    assert first.ranges == planned.ranges
    assert first.epoch > planned.epoch
    assert_exactly(spark, files, range(200))
    assert files.names("plans/000001") == []


def test_a_planned_batch_that_no_log_holds_is_read_from_kafka(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec],
) -> None:
    topic = topics.create()
    spec = receiver_spec(topic)
    topics.send(topic, numbered(100))
    dies_with_its_plan(receivers, spec)
    files.delete("checkpoint/000001")
    topics.send(topic, numbered(100, first=100))
    running = receivers(spec)
    until(running, lambda: covered(files) == 200, "everything is in a batch")
    running.stop()
    assert_exactly(spark, files, range(200))
    assert_contiguous(files)
