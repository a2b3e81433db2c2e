"""Standing orders, as drivers obey them: a stop ends them without a batch half done, and none begins under one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import DataFrame, SparkSession

import transforms
from hadoop_files import HadoopFiles
from streamops.errors import StopOrderedError
from streamops.state import drivers, orders
from streamops.state.drivers import DriverRecord
from streamops.state.job_spec import JobSpec
from streamops.state.lease import BEAT_S
from streamops.state.orders import Order, Wish

from .observing import assert_contiguous, counts, covered, until
from .receiving import Committed, numbered

if TYPE_CHECKING:
    from .conftest import RunningStream, Topics

Spec = Callable[..., JobSpec]
Driver = Callable[..., "RunningStream"]


def give(files: HadoopFiles, number: int, wish: Wish) -> None:
    order = Order("p", number, wish, "alice@shell", "2026-11-20T03:00:00.000+00:00", "new certificates")
    assert files.write_new(orders.path(number), order.to_json())


def test_a_direct_job_ends_on_an_order_and_goes_on_once_it_is_lifted(
    spark: SparkSession, topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles, tmp_path: Path
) -> None:
    topic = topics.create()
    topics.send(topic, [b"one two"] * 50)
    first = driver(spec(topic), "driver-1")
    until(lambda: covered(files) == 50, "the first batch")
    give(files, 1, Wish.STOP)
    ended = first.join()
    assert isinstance(ended, StopOrderedError)
    assert "stopped by alice@shell" in str(ended)
    assert "new certificates" in str(ended)

    topics.send(topic, [b"two"] * 7)
    refused = driver(spec(topic), "driver-2").join()
    assert isinstance(refused, StopOrderedError), "a driver that anything else submits does not begin"
    text = files.read(drivers.path("driver-2"))
    assert text is not None
    assert DriverRecord.from_json(text).epoch is None, "it never had the lease"

    give(files, 2, Wish.RUN)
    driver(spec(topic), "driver-3")
    until(lambda: covered(files) == 57, "the third driver's batch")
    assert counts(spark, tmp_path) == {"one": 50, "two": 57}
    assert_contiguous(files)


def test_a_batch_that_runs_is_finished_first(
    topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, runs = transforms.load, threading.Event()

    def slow_after_the_first(name: str) -> transforms.Transform:
        transform = load(name)

        def slow(frame: DataFrame, batch: transforms.Batch) -> DataFrame:
            if batch.number:
                runs.set()
                time.sleep(2 * BEAT_S)
            return transform(frame, batch)

        return slow

    monkeypatch.setattr(transforms, "load", slow_after_the_first)
    topic = topics.create()
    topics.send(topic, [b"one"] * 5)
    running = driver(spec(topic), "driver-1")
    until(lambda: covered(files) == 5, "the first batch")
    topics.send(topic, [b"two"] * 3)
    assert runs.wait(60)
    give(files, 1, Wish.STOP)
    assert isinstance(running.join(), StopOrderedError)
    assert covered(files) == 8, "the batch that was running is in the log"


@pytest.mark.parametrize("interval_s", [0.5, 4.0])
def test_a_receiver_job_processes_what_it_received_before_it_ends(
    topics: Topics, receiver_spec: Spec, receivers: Driver, files: HadoopFiles, interval_s: float
) -> None:
    topic, committed = topics.create(partitions=2), Committed(topics)
    running = receivers(receiver_spec(topic, interval_s=interval_s))
    topics.send(topic, numbered(3000))
    until(lambda: covered(files) == 3000, "the first records")
    topics.send(topic, numbered(2000))
    until(lambda: committed.of(topic) >= 5000, "everything is received")
    give(files, 1, Wish.PAUSE)
    assert isinstance(running.join(), StopOrderedError)
    assert covered(files) == 5000
    assert_contiguous(files)
