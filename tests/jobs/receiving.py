"""What tests of the receiver look at, and wait for: records in the sink, and what its groups have committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyspark.sql import SparkSession

from hadoop_files import HadoopFiles

from . import observing
from .conftest import RunningStream, Topics


def rows(spark: SparkSession, files: HadoopFiles) -> list[Any]:
    return spark.read.parquet(f"{files.url}/output").collect()


def numbers(spark: SparkSession, files: HadoopFiles) -> list[int]:
    """The values in the sink, which are numbers, in order; a record that is there twice is in it twice."""
    return sorted(int(bytes(row.value)) for row in rows(spark, files))


def numbered(count: int, first: int = 0) -> list[bytes]:
    return [str(number).encode() for number in range(first, first + count)]


def until(running: RunningStream, holds: Callable[[], bool], what: str) -> None:
    """Wait for something. Raises what the driver ended with when it ended before."""

    def held() -> bool:
        if holds():
            return True
        if running.ended_with is not None:
            raise running.ended_with
        return False

    observing.until(held, what)


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
