"""The receiver job in a session of this process, on a real broker: what becomes of every record when something fails."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaConsumer
from pyspark.sql import SparkSession

from hadoop_files import HadoopFiles
from job import Job
from receiver_stream import ReceiverStream
from streamops import batch_log, generations
from streamops.batch_log import Entry
from streamops.errors import LeaseLostError
from streamops.job_spec import JobSpec, ReceiverSpec

from .conftest import Topics

LIMIT_S = 120


@pytest.fixture
def streaming(spark: SparkSession) -> Iterator[Callable[..., None]]:
    """Sets Spark's streaming settings for one test, as spark-submit's --conf would."""
    conf = spark.sparkContext._jsc.sc().conf()
    before: dict[str, str | None] = {}

    def set_all(**settings: str) -> None:
        for name, value in settings.items():
            key = "spark.streaming." + name.replace("__", ".")
            before.setdefault(key, conf.get(key) if conf.contains(key) else None)
            conf.set(key, value)

    set_all(receiver__writeAheadLog__enable="true", backpressure__enabled="true")
    yield set_all
    for key, value in before.items():
        conf.remove(key) if value is None else conf.set(key, value)


class Running:
    """Receivers in a thread of this process, as a driver of its own."""

    def __init__(self, session: SparkSession, spec: JobSpec, driver: str) -> None:
        self.job = Job(session, spec, driver)
        self.stream = ReceiverStream(self.job)
        self.ended_with: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"driver {driver}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.stream.run()
        except BaseException as error:  # noqa: BLE001  what it ends with is what the test looks at
            self.ended_with = error
        finally:
            if self.job.held is not None:
                self.job.held.end()

    def stop(self) -> None:
        self.stream.stop_with(LeaseLostError("the test stops it"))
        self.join()

    def join(self) -> BaseException | None:
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), "the driver did not end"
        return self.ended_with


@pytest.fixture
def receivers(spark: SparkSession, streaming: Callable[..., None]) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(spec: JobSpec, name: str = "driver-1") -> Running:
        started.append(Running(spark, spec, name))
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def receiver_spec(spec: Callable[..., JobSpec]) -> Callable[..., JobSpec]:
    def make(*topics: str, receivers: int = 1, write_ahead_log: bool = True, **changes: Any) -> JobSpec:
        receiver = ReceiverSpec(receivers, "group", write_ahead_log, stop_within_s=20)
        return spec(*topics, approach="receiver", receiver=receiver, transform="identity", **changes)

    return make


def entries(files: HadoopFiles, generation: int = 1) -> list[Entry]:
    return list(batch_log.entries(files, generation))


def until(running: Running, holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        if running.ended_with is not None:
            raise running.ended_with
        assert time.monotonic() < deadline, f"{what}: not within {LIMIT_S} s"
        time.sleep(0.1)


def covered(files: HadoopFiles, generation: int = 1) -> int:
    return sum(entry.span for entry in entries(files, generation))


def rows(spark: SparkSession, files: HadoopFiles) -> list[Any]:
    return spark.read.parquet(f"{files.url}/output").collect()


def test_records_arrive_whole(
    spark: SparkSession, files: HadoopFiles, topics: Topics, receivers: Callable[..., Running],
    receiver_spec: Callable[..., JobSpec],
) -> None:
    topic = topics.create(partitions=2)
    topics.send(topic, [b"one", b"two"], partition=0)
    topics.send(topic, [b"three"], partition=1)
    running = receivers(receiver_spec(topic))
    until(running, lambda: covered(files) == 3, "three records are in a batch")
    running.stop()
    found = sorted((row.partition, row.offset, bytes(row.value), row.key, row.topic) for row in rows(spark, files))
    assert found == [(0, 0, b"one", None, topic), (0, 1, b"two", None, topic), (1, 0, b"three", None, topic)]
