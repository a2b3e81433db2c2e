"""What tests of the jobs look at, and wait for: batch log, generation, beat, words in the sink."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from hadoop_files import HadoopFiles
from streamops.errors import LeaseLostError
from streamops.state import batch_log, generations, lease
from streamops.state.batch_log import Entry
from streamops.state.generations import Generation
from streamops.state.lease import Beat, JobState
from streamops.state.offsets import seams

#: How long something takes depends on what else the machine does: the limit only ends a test that hangs.
LIMIT_S = 300


class DriverDied(BaseException):
    """Stands for kill -9: nothing after it runs."""


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {LIMIT_S} s"
        time.sleep(0.1)


def entries(files: HadoopFiles, generation: int = 1) -> list[Entry]:
    return list(batch_log.entries(files, generation))


def covered(files: HadoopFiles, generation: int = 1) -> int:
    return sum(entry.span for entry in entries(files, generation))


def opened(files: HadoopFiles, number: int = 1) -> Generation:
    text = files.read(generations.path(number))
    assert text is not None
    return Generation.from_json(text)


def assert_contiguous(files: HadoopFiles, generation: int = 1) -> None:
    ranges = ((entry.batch, entry.ranges) for entry in entries(files, generation))
    assert seams(opened(files, generation).start, ranges) == []


def is_idle(files: HadoopFiles) -> bool:
    """Whether the first driver's beat says that there is nothing to read."""
    text = files.read(lease.beat_path(1))
    return text is not None and Beat.from_json(text).state is JobState.IDLE


def counts(spark: SparkSession, tmp_path: Path) -> Counter[str]:
    """The words in the sink; none while there is no batch in it."""
    if not list((tmp_path / "state" / "output").glob("generation=1/batch=*")):
        return Counter()
    rows = spark.read.parquet((tmp_path / "state/output").as_uri())
    return Counter({row[0]: row[1] for row in rows.groupBy("word").agg(F.sum("count")).collect()})


@contextmanager
def dying_at(step: str) -> Iterator[None]:
    """Drivers end when one of their batches comes to this step, a method of MicroBatches."""

    def dies(*_: object) -> None:
        raise LeaseLostError(f"the driver dies at {step}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"micro_batch.MicroBatches.{step}", dies)
        yield
