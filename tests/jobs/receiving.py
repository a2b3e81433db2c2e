"""What tests of the receiver look at, and wait for: records in the sink, and what its groups have committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from pyspark.sql import SparkSession

from hadoop_files import HadoopFiles
from streamops.state import generations, numbered_files

from . import observing
from .conftest import RunningStream, Topics


def rows(spark: SparkSession, files: HadoopFiles) -> list[Any]:
    """What the batch log says is in the sink. A folder without an entry is not output: its driver was stopped."""
    newest = numbered_files.latest(files.names(generations.DIRECTORY)) or 0
    logged = (entry for number in range(1, newest + 1) for entry in observing.entries(files, number))
    folders = [f"{files.url}/output/{entry.output}" for entry in logged if entry.output]
    return spark.read.parquet(*folders).collect() if folders else []


def numbers(spark: SparkSession, files: HadoopFiles) -> list[int]:
    """The values in the sink, which are numbers, in order; a record that is there twice is in it twice."""
    return sorted(int(bytes(row.value)) for row in rows(spark, files))


def assert_exactly(spark: SparkSession, files: HadoopFiles, expected: Iterable[int]) -> None:
    """Says how many values are lost, doubled or strange, and the first of each, however many there are."""
    found, wanted = Counter(numbers(spark, files)), {*expected}
    lost = sorted(wanted - found.keys())
    doubled = sorted(number for number, times in found.items() if times > 1)
    strange = sorted(found.keys() - wanted)
    counts = {"lost": lost, "doubled": doubled, "strange": strange}
    assert not any(counts.values()), {name: (len(each), each[:5]) for name, each in counts.items()}


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
