"""One micro-batch: transform → sink → batch log, under the lease. What the receiver and the direct approach share.

The order is what makes the output exact (see "Exactly once" in docs/decisions.md):

1. A batch that the log has already is done: Spark runs it again when the driver died before it noted the end.
2. The rows are computed and put aside, the lease is checked, the rows are published.
3. The lease is checked again, and the entry is created, exclusively. From here on the batch is in the sink.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException

from bad_records import BadRecords, NoBadRecords
from held_lease import HeldLease, now
from streamops.errors import StateError, TransformError
from streamops.state import batch_log
from streamops.state.batch_log import Entry
from streamops.state.lease import JobState
from streamops.state.offsets import OffsetRange
from transforms import Batch, Transform

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from hadoop_files import HadoopFiles
    from sinks import Sink

log = logging.getLogger("streamops.batch")

#: The hint of the log's head is rewritten every so many batches; reading the head probes at most as many files.
HEAD_EVERY = 10


class Losses(Protocol):
    """Says which offsets of a batch Kafka no longer has."""

    def lost(self, ranges: Iterable[OffsetRange]) -> tuple[OffsetRange, ...]:
        """The parts of `ranges` that retention has taken."""


@dataclass
class MicroBatches:
    """Runs the batches of one generation, one after the other."""

    pipeline: str
    generation: int
    driver: str
    files: HadoopFiles
    held: HeldLease
    transform: Transform
    sink: Sink
    bad_records: BadRecords
    losses: Losses
    last: Entry | None
    allowed: Callable[[Batch], BadRecords | None] = lambda _: None  # what a person lets go of a batch that fails
    restarts: int = 0

    def run(self, frame: DataFrame, number: int, ranges: tuple[OffsetRange, ...]) -> Entry:
        """Bring the batch into the sink and into the log. Returns its entry.

        Raises LeaseLostError, BadRecordError, TransformError, StateError, and whatever Spark raises when a server is
        away.
        """
        if (logged := self._logged(number, ranges)) is not None:
            log.info("batch %d is in the sink already", number)
            self.last = logged
            return logged
        started_at, started = now(), time.monotonic()
        batch = Batch(self.pipeline, self.generation, number, ranges)
        self.held.check()
        lost = self.losses.lost(ranges)
        rows, set_aside = self._prepare(frame, batch)
        self.held.check()
        output, rows = self.sink.publish(batch, rows)
        sink_ms = round((time.monotonic() - started) * 1000)
        self.held.check()
        entry = Entry(
            pipeline=self.pipeline,
            generation=self.generation,
            batch=number,
            ranges=ranges,
            rows=rows,
            output=output,
            epoch=self.held.epoch,
            driver=self.driver,
            attempt=self._attempt(),
            started_at=started_at,
            finished_at=now(),
            sink_ms=sink_ms,
            lost=lost,
            dead_letters=set_aside,
        )
        self._append(entry)
        self.last = entry
        self.restarts = 0
        self.held.report(JobState.RUNNING, number)
        return entry

    def _logged(self, number: int, ranges: tuple[OffsetRange, ...]) -> Entry | None:
        text = self.files.read(batch_log.entry_path(self.generation, number))
        if text is None:
            return None
        entry = Entry.from_json(text)
        if entry.ranges != ranges:
            raise StateError(
                f"batch {number} of generation {self.generation} is in the batch log with other offsets than the "
                f"checkpoint has for it: {_text(entry.ranges)} logged, {_text(ranges)} in the checkpoint",
                "The checkpoint was lost or changed. The batch log is right: open a new generation from its head.",
            )
        return entry

    def _prepare(self, frame: DataFrame, batch: Batch) -> tuple[int, int]:
        """Rows put aside in the sink, and records put aside in the dead-letter topic."""
        try:
            return self.sink.prepare(self._transformed(frame, batch), batch), 0
        except (PySparkException, Py4JJavaError) as error:
            bad_records = self.allowed(batch) or self.bad_records
            try:
                found = bad_records.find(frame, lambda part: self._transformed(part, batch), error)
            except NoBadRecords:
                raise error from None
            self.held.check()
            rows = self.sink.prepare(self._transformed(found.good(frame), batch), batch)
            self.held.check()
            return rows, bad_records.set_aside(found, batch)

    def _transformed(self, frame: DataFrame, batch: Batch) -> DataFrame:
        try:
            return self.transform(frame, batch)
        except Py4JJavaError:
            raise
        except Exception as error:  # a team's function may raise anything at all
            if isinstance(error, PySparkException) and not isinstance(error, AnalysisException):
                raise
            raise TransformError(
                f"the transform fails before it sees a record of batch {batch.number}: {type(error).__name__}: {error}",
                "Correct the transform. Nothing of this batch was written, and the next driver begins with it.",
            ) from error

    def _attempt(self) -> int:
        """1 for the first try of a batch; a driver or a query that was started since the last entry adds one."""
        drivers = self.held.epoch - self.last.epoch if self.last else 0
        return 1 + drivers + self.restarts

    def _append(self, entry: Entry) -> None:
        path = batch_log.entry_path(entry.generation, entry.batch)
        if not self.files.write_new(path, entry.to_json()):
            self.held.check()
            raise StateError(
                f"batch {entry.batch} of generation {entry.generation} was logged by somebody else, and the lease "
                f"(epoch {entry.epoch}) is still ours",
                "Something wrote to the state directory past the lease. Find it before the pipeline goes on.",
            )
        due = batch_log.roll_ups_due(entry.generation, entry.batch)
        if due or entry.batch % HEAD_EVERY == 0:
            self.files.replace(batch_log.head_path(entry.generation), json.dumps({"batch": entry.batch}))
        for roll_up in due:
            self._roll_up(roll_up)

    def roll_up_what_is_overdue(self, head: int) -> None:
        """Finish what a driver that died left to roll up."""
        names = self.files.names(batch_log.directory(self.generation))
        for roll_up in batch_log.overdue_roll_ups(self.generation, names, head):
            self._roll_up(roll_up)

    def _roll_up(self, roll_up: batch_log.RollUp) -> None:
        """Many files into one; harmless when it is interrupted and when it is repeated."""
        texts = [self.files.read(source) for source in roll_up.sources]
        if None in texts and not self.files.exists(roll_up.target):
            log.warning("%s is not rolled up: some of its entries are missing", roll_up.target)
            return
        lines = "".join(text.rstrip("\n") + "\n" for text in texts if text is not None)
        self.files.write_new(roll_up.target, lines)
        for source in roll_up.sources:
            self.files.delete(source)


def _text(ranges: Iterable[OffsetRange]) -> str:
    return ", ".join(f"{taken.topic_partition} {taken.first}..{taken.until}" for taken in ranges) or "none"
