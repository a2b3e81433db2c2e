"""One batch, tried again after a driver died at each of its steps, and under a lease that is lost at each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

import transforms
from bad_records import BadRecords
from hadoop_files import HadoopFiles
from held_lease import HeldLease, take
from kafka_positions import LossesRefused
from micro_batch import MicroBatches
from sinks.parquet import ParquetSink
from streamops.errors import LeaseLostError, StateError, TransformError
from streamops.state import batch_log
from streamops.state.lease import Owner, OwnerKind
from streamops.state.offsets import OffsetRange

from .observing import DriverDied

RANGES = (OffsetRange("lines", 0, 0, 3),)


@pytest.fixture
def frame(spark: SparkSession) -> DataFrame:
    rows = [(bytearray(b"a b a"), "lines", 0, n) for n in range(3)]
    return spark.createDataFrame(rows, "value binary, topic string, partition int, offset long")


class Drivers:
    """Drivers of one pipeline, one after the other, each taking the lease from the one before."""

    def __init__(self, files: HadoopFiles, output: HadoopFiles) -> None:
        self.files = files
        self.output = output
        self.held: list[HeldLease] = []

    def start(self, transform: str = "word_count") -> MicroBatches:
        previous = f"driver-{len(self.held)}"
        self.held.append(
            take(self.files, pipeline="p", driver=f"driver-{len(self.held) + 1}", owner=Owner(OwnerKind.SHELL),
                 supersedes=(previous,), host="h", pid=1, on_lost=lambda _: None)
        )
        held = self.held[-1]
        return MicroBatches(
            pipeline="p", generation=1, driver=held.held.driver, files=self.files, held=held,
            transform=transforms.load(transform), sink=ParquetSink(self.output, held.epoch),
            bad_records=BadRecords(None, 0), losses=LossesRefused(), last=batch_log.read_head(self.files, 1),
        )


@pytest.fixture
def drivers(files: HadoopFiles, spark: SparkSession, tmp_path: Path) -> Any:
    context = spark.sparkContext
    output = HadoopFiles(context._gateway, context._jsc.hadoopConfiguration(), (tmp_path / "output").as_uri())
    made = Drivers(files, output)
    yield made
    for held in made.held:
        held.end()


def in_sink(spark: SparkSession, tmp_path: Path) -> dict[str, int]:
    """What a reader who knows nothing of the batch log sees."""
    rows = spark.read.parquet((tmp_path / "output").as_uri()).groupBy("word").sum("count").collect()
    return {row[0]: row[1] for row in rows}


def test_a_batch_is_in_the_sink_and_in_the_log(
    drivers: Drivers, frame: DataFrame, spark: SparkSession, tmp_path: Path
) -> None:
    entry = drivers.start().run(frame, 0, RANGES)
    assert (entry.rows, entry.output, entry.attempt, entry.epoch) == (2, "generation=1/batch=0", 1, 1)
    assert batch_log.read_head(drivers.files, 1) == entry
    assert in_sink(spark, tmp_path) == {"a": 6, "b": 3}


def _die(*_: object) -> None:
    raise DriverDied


def dies_before_publishing(batches: MicroBatches) -> None:
    batches.sink.publish = _die  # type: ignore[method-assign]


def dies_before_logging(batches: MicroBatches) -> None:
    batches._append = _die  # type: ignore[method-assign]


def dies_after_logging(batches: MicroBatches) -> None:
    batches.held.report = _die  # type: ignore[method-assign]


@pytest.mark.parametrize("dies", [dies_before_publishing, dies_before_logging, dies_after_logging])
def test_a_batch_that_is_run_again_is_there_once(
    drivers: Drivers, frame: DataFrame, spark: SparkSession, tmp_path: Path, dies: Callable[[MicroBatches], None]
) -> None:
    first = drivers.start()
    dies(first)
    with pytest.raises(DriverDied):
        first.run(frame, 0, RANGES)
    entry = drivers.start().run(frame, 0, RANGES)
    assert in_sink(spark, tmp_path) == {"a": 6, "b": 3}
    assert list(batch_log.entries(drivers.files, 1)) == [entry]
    assert entry.rows == 2


@pytest.mark.parametrize("step", ["transform", "publish", "append"])
def test_a_driver_that_lost_the_lease_in_the_middle_commits_nothing_of_its_own(
    drivers: Drivers, frame: DataFrame, spark: SparkSession, tmp_path: Path, step: str
) -> None:
    older = drivers.start()
    newer_entries = []

    def overtaken(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: object) -> object:
            newer_entries.append(drivers.start().run(frame, 0, RANGES))
            return original(*args)

        return call

    if step == "transform":
        older.transform = overtaken(older.transform)
    elif step == "publish":
        older.sink.publish = overtaken(older.sink.publish)  # type: ignore[method-assign]
    else:
        older._append = overtaken(older._append)  # type: ignore[method-assign]
    with pytest.raises(LeaseLostError):
        older.run(frame, 0, RANGES)
    assert in_sink(spark, tmp_path) == {"a": 6, "b": 3}
    assert list(batch_log.entries(drivers.files, 1)) == newer_entries
    assert newer_entries[0].driver == "driver-2"


def test_a_logged_batch_with_other_offsets_stops_the_job(drivers: Drivers, frame: DataFrame) -> None:
    drivers.start().run(frame, 0, RANGES)
    with pytest.raises(StateError, match=r"lines-0 0\.\.3 logged, lines-0 0\.\.2 in the checkpoint"):
        drivers.start().run(frame, 0, (OffsetRange("lines", 0, 0, 2),))


def test_output_that_was_never_logged_and_is_of_other_offsets_is_replaced(
    drivers: Drivers, frame: DataFrame, spark: SparkSession, tmp_path: Path
) -> None:
    first = drivers.start()
    dies_before_logging(first)
    with pytest.raises(DriverDied):
        first.run(frame, 0, RANGES)
    entry = drivers.start().run(frame.where("offset < 2"), 0, (OffsetRange("lines", 0, 0, 2),))
    assert in_sink(spark, tmp_path) == {"a": 4, "b": 2}
    assert entry.rows == 2


def test_attempts_count_drivers_and_restarts_since_the_last_entry(drivers: Drivers, frame: DataFrame) -> None:
    drivers.start().run(frame, 0, RANGES)
    drivers.start()
    third = drivers.start()
    third.restarts = 2
    following = tuple(replace(taken, first=3, until=6) for taken in RANGES)
    assert third.run(frame, 1, following).attempt == 5
    assert third.run(frame, 2, (OffsetRange("lines", 0, 6, 9),)).attempt == 1


def test_a_transform_that_fails_as_a_whole_says_so(drivers: Drivers, frame: DataFrame) -> None:
    batches = drivers.start()
    batches.transform = lambda frame, _: frame.select("nowhere")
    with pytest.raises(TransformError, match="nowhere"):
        batches.run(frame, 0, RANGES)


def test_a_transform_that_is_missing_says_where_it_is_looked_for() -> None:
    with pytest.raises(TransformError, match=r"jobs/transforms/lengths\.py, function by_topic"):
        transforms.load("lengths:by_topic")


def test_the_log_rolls_up_while_batches_run(drivers: Drivers, frame: DataFrame) -> None:
    batches = drivers.start()
    none = frame.limit(0)
    batches.sink.prepare = lambda *_: 0  # type: ignore[method-assign]
    batches.sink.publish = lambda *_: (None, 0)  # type: ignore[method-assign]
    for number in range(450):
        batches.run(none, number, (OffsetRange("lines", 0, number, number + 1),))
    names = drivers.files.names(batch_log.directory(1))
    assert len(names) < 160
    assert [entry.batch for entry in batch_log.entries(drivers.files, 1)] == list(range(450))
    head = batch_log.read_head(drivers.files, 1)
    assert head is not None
    assert head.batch == 449
