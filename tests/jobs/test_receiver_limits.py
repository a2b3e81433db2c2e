"""Receivers that are faster than what follows them: back-pressure and limits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from pyspark.sql import SparkSession

from hadoop_files import HadoopFiles
from micro_batch import MicroBatches
from streamops.state.job_spec import JobSpec

from .conftest import RunningStream, Topics
from .observing import assert_contiguous, covered, entries
from .receiving import Committed, assert_exactly, numbered, until


@pytest.mark.long
def test_a_slow_transform_slows_the_receiver_down(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec], streaming: Callable[..., None], monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fast topic and a transform of a thousand records a second: what waits, and memory, settle."""
    streaming(backpressure__initialRate="2000", backpressure__pid__minRate="10")
    topic = topics.create()
    topics.send(topic, numbered(60_000))
    run = MicroBatches.run

    def slow(batches: MicroBatches, frame: Any, number: int, ranges: Any) -> Any:
        time.sleep(sum(part.span for part in ranges) / 1000)
        return run(batches, frame, number, ranges)

    monkeypatch.setattr(MicroBatches, "run", slow)
    running = receivers(receiver_spec(topic, interval_s=1.0))
    runtime = spark._jvm.java.lang.Runtime.getRuntime()

    def received() -> int:
        return Committed(topics).of(topic)

    def backlog() -> int:
        """Records received and not processed."""
        return received() - covered(files)

    def live_mb() -> float:
        spark._jvm.System.gc()
        return float(runtime.totalMemory() - runtime.freeMemory()) / 2**20

    until(running, lambda: received() > 10_000 and backlog() < 5_000, "what waits is less than two batches of 4 s")
    assert received() < 60_000, "the receiver waits too"
    settled_mb, batches = live_mb(), len(entries(files))
    until(running, lambda: len(entries(files)) >= batches + 8, "eight more batches")
    assert backlog() < 10_000
    assert live_mb() < settled_mb + 30
    running.stop()
    logged = covered(files)
    assert_exactly(spark, files, range(logged))
    assert_contiguous(files)


@pytest.mark.long
def test_batches_that_cost_more_than_an_interval_keep_up(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream],
    receiver_spec: Callable[..., JobSpec], monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each takes what came in the two intervals and more in which the one before it ran."""
    topic, interval_s = topics.create(), 0.5
    run = MicroBatches.run

    def slow(batches: MicroBatches, frame: Any, number: int, ranges: Any) -> Any:
        time.sleep(2 * interval_s)
        return run(batches, frame, number, ranges)

    monkeypatch.setattr(MicroBatches, "run", slow)
    running = receivers(receiver_spec(topic, interval_s=interval_s))
    until(running, lambda: entries(files) != [], "the first batch is through")
    before, began, sent = len(entries(files)), time.monotonic(), 0
    while time.monotonic() - began < 30 * interval_s:
        topics.send(topic, numbered(20, sent))
        sent += 20
        time.sleep(interval_s / 4)
    intervals = (time.monotonic() - began) / interval_s
    behind = sent - covered(files)
    until(running, lambda: covered(files) == sent, "everything is in a batch")
    running.stop()
    assert behind < sent / 2, "batches of one interval each would have done less than half"
    assert len(entries(files)) - before < intervals * 0.7
    assert_exactly(spark, files, range(sent))
    assert_contiguous(files)


def test_a_fixed_limit_holds(
    files: HadoopFiles, topics: Topics, receivers: Callable[..., RunningStream], receiver_spec: Callable[..., JobSpec],
    streaming: Callable[..., None],
) -> None:
    streaming(receiver__maxRate="1000")
    topic = topics.create()
    topics.send(topic, numbered(20_000))
    began = time.monotonic()
    running = receivers(receiver_spec(topic))
    until(running, lambda: covered(files) >= 5000, "some batches are through")
    took_s = time.monotonic() - began
    running.stop()
    assert covered(files) <= 1000 * (took_s + 1)
