"""What tests of the receiver look at, and wait for: batch log, sink, and what its consumer groups have committed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pyspark.sql import SparkSession

from hadoop_files import HadoopFiles
from streamops import batch_log, generations
from streamops.batch_log import Entry
from streamops.generations import Generation
from streamops.offsets import seams

from .conftest import RunningStream, Topics

LIMIT_S = 120


def entries(files: HadoopFiles, generation: int = 1) -> list[Entry]:
    return list(batch_log.entries(files, generation))


def covered(files: HadoopFiles, generation: int = 1) -> int:
    return sum(entry.span for entry in entries(files, generation))


def rows(spark: SparkSession, files: HadoopFiles) -> list[Any]:
    return spark.read.parquet(f"{files.url}/output").collect()


def numbers(spark: SparkSession, files: HadoopFiles) -> list[int]:
    """The values in the sink, which are numbers, in order; a record that is there twice is in it twice."""
    return sorted(int(bytes(row.value)) for row in rows(spark, files))


def numbered(count: int, first: int = 0) -> list[bytes]:
    return [str(number).encode() for number in range(first, first + count)]


def until(running: RunningStream, holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        if running.ended_with is not None:
            raise running.ended_with
        assert time.monotonic() < deadline, f"{what}: not within {LIMIT_S} s"
        time.sleep(0.1)


def assert_contiguous(files: HadoopFiles, generation: int = 1) -> None:
    text = files.read(generations.path(generation))
    assert text is not None
    start = Generation.from_json(text).start
    assert seams(start, ((entry.batch, entry.ranges) for entry in entries(files, generation))) == []


class Committed:
    """What the consumer groups of a pipeline have committed."""

    def __init__(self, topics: Topics) -> None:
        self._admin = topics.admin

    def of(self, topic: str) -> int:
        """The sum over partitions, of the group that is furthest."""
        return max((sum(self._offsets(group, topic)) for group in self._groups()), default=0)

    def _groups(self) -> list[str]:
        return [group["group_id"] for group in self._admin.list_groups() if group["group_id"].startswith("group.")]

    def _offsets(self, group: str, topic: str) -> list[int]:
        found = self._admin.list_group_offsets(group)[group]
        return [position.offset for at, position in found.items() if at.topic == topic]
