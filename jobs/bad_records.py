"""Records that a transform cannot process: found by halving the batch, and set aside or reported.

Spark names the task that failed and not the record, and a transform may be any expression or Python function. So the
batch is halved until single records fail, which takes about log2(records in the batch) short jobs for each of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Protocol

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F  # noqa: N812  the name that every Spark program gives it

from streamops.errors import BadRecordError
from streamops.state.offsets import OffsetRange, TopicPartition

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from transforms import Batch

log = logging.getLogger("streamops.bad_records")

Apply = Callable[["DataFrame"], "DataFrame"]


class NoBadRecords(Exception):
    """The batch fails, but no record of it fails alone: a server is away, or the transform fails as a whole."""


@dataclass(frozen=True)
class BadRecord:
    """One record that the transform cannot process, and the first line of what it said."""

    at: TopicPartition
    offset: int
    error: str

    def __str__(self) -> str:
        return f"{self.at} offset {self.offset}: {self.error}"


@dataclass(frozen=True)
class Found:
    """The bad records of a batch, and their rows."""

    records: tuple[BadRecord, ...]

    def good(self, frame: DataFrame) -> DataFrame:
        return frame.where(~self.condition())

    def condition(self) -> Column:
        """True for the rows of the bad records."""
        by_partition: dict[TopicPartition, list[int]] = {}
        for record in self.records:
            by_partition.setdefault(record.at, []).append(record.offset)
        return reduce(or_, (_at(at) & F.col("offset").isin(offsets) for at, offsets in by_partition.items()))


class DeadLetters(Protocol):
    """Takes bad records for good, once each."""

    def send(self, frame: DataFrame, found: Found, batch: Batch) -> None:
        """Send the records, in one transaction, unless an earlier try of the same batch did."""


class BadRecords:
    """What a pipeline does about bad records: stop, or put up to `limit` of a batch into a dead-letter topic.

    Where `only` is given, it stops at any other record than those.
    """

    def __init__(
        self,
        dead_letters: DeadLetters | None,
        limit: int,
        only: Collection[tuple[TopicPartition, int]] | None = None,
    ) -> None:
        self._dead_letters = dead_letters
        self._limit = limit if dead_letters else 1
        self._only = only
        self._frame: DataFrame | None = None

    def find(self, frame: DataFrame, apply: Apply, error: Exception) -> Found:
        """The records of a batch that failed with `error`, each of which fails alone.

        Raises NoBadRecords when the records are not to blame, BadRecordError when the pipeline says `fail` or when
        there are more than the limit.
        """
        kept = frame.persist()
        try:
            spans = kept.groupBy("topic", "partition").agg(F.min("offset"), F.max("offset"))
            whole = [OffsetRange(topic, at, first, last + 1) for topic, at, first, last in spans.collect()]
        except (PySparkException, Py4JJavaError):
            kept.unpersist()
            raise NoBadRecords from error
        try:
            records = tuple(self._search(kept, apply, whole))
        finally:
            kept.unpersist()
        if not records:
            raise NoBadRecords from error
        self._frame = frame
        return Found(records)

    def set_aside(self, found: Found, batch: Batch) -> int:
        assert self._dead_letters is not None
        assert self._frame is not None
        self._dead_letters.send(self._frame, found, batch)
        log.warning("batch %d: %d records went to the dead-letter topic", batch.number, len(found.records))
        return len(found.records)

    def _search(self, frame: DataFrame, apply: Apply, whole: list[OffsetRange]) -> Iterator[BadRecord]:
        waiting, count = list(reversed(whole)), 0
        while waiting:
            part = waiting.pop()
            said = failure(apply(frame.where(_within(part))))
            if said is None:
                continue
            if part.span > 1:
                middle = part.first + part.span // 2
                waiting.append(OffsetRange(part.topic, part.partition, middle, part.until))
                waiting.append(OffsetRange(part.topic, part.partition, part.first, middle))
                continue
            record = BadRecord(part.topic_partition, part.first, said)
            count += 1
            log.warning("the transform cannot process %s", record)
            if self._dead_letters is None:
                raise BadRecordError(
                    f"the transform cannot process {record}",
                    "Correct the transform, or let the pipeline go on with `on_bad_record: dead_letter`. "
                    "Nothing of this batch was written.",
                )
            if self._only is not None and (record.at, record.offset) not in self._only:
                raise BadRecordError(
                    f"the transform cannot process {record}, which is not among the {len(self._only)} records of this "
                    "batch that may be skipped",
                    "Prove it anew: the runbook `poison_record`. Nothing of this batch was written.",
                )
            if count > self._limit:
                raise BadRecordError(
                    f"the transform cannot process more than {self._limit} records of one batch, the last of them "
                    f"{record}",
                    "So many bad records look like a broken transform. Correct it, or raise `max_dead_letters`.",
                )
            yield record


def _within(part: OffsetRange) -> Column:
    return _at(part.topic_partition) & (F.col("offset") >= part.first) & (F.col("offset") < part.until)


def _at(at: TopicPartition) -> Column:
    return (F.col("topic") == at.topic) & (F.col("partition") == at.partition)


def failure(frame: DataFrame) -> str | None:
    """What goes wrong when the rows are computed, in one line; None when nothing does."""
    try:
        frame.write.format("noop").mode("overwrite").save()
    except (PySparkException, Py4JJavaError) as error:
        return cause(str(error))
    return None


def cause(text: str) -> str:
    """The line of a Spark error that names the cause, at most 300 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by:") or _ends_python_traceback(line)]
    return (causes or lines or ["no message"])[-1 if causes else 0].removeprefix("Caused by:").strip()[:300]


def _ends_python_traceback(line: str) -> bool:
    name, colon, _ = line.partition(":")
    return bool(colon) and name.endswith(("Error", "Exception")) and name.isidentifier()
