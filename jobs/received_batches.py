"""What receivers stored, made into batches: planned, written down, run, each offset once."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame

import kafka_records
from kafka_positions import LossesRecorded
from streamops.errors import DataLossError, UnavailableError
from streamops.state import planned_batch
from streamops.state.offsets import (
    OffsetRange,
    Offsets,
    TopicPartition,
    advance,
    parse_spark_offsets,
    ranges_between,
    to_spark_offsets,
)
from streamops.state.planned_batch import PlannedBatch

if TYPE_CHECKING:
    from job import Job
    from micro_batch import MicroBatches
    from streamops.state.batch_log import Entry
    from streamops.state.generations import Generation

log = logging.getLogger("streamops.received")


class KnownLosses:
    """The losses of a batch that is planned: a replay records the same."""

    def __init__(self) -> None:
        self.known: tuple[OffsetRange, ...] = ()

    def lost(self, ranges: Iterable[OffsetRange]) -> tuple[OffsetRange, ...]:  # noqa: ARG002  the protocol's shape
        return self.known


class ReceivedBatches:
    """The batches of one generation, one after the other."""

    def __init__(self, job: Job, generation: Generation) -> None:
        self._job = job
        self.generation = generation
        self.batches: MicroBatches = job.micro_batches(generation)
        self._losses = KnownLosses()
        self.batches.losses = self._losses
        last = self.batches.last
        #: Where the pipeline stands: every offset below is in the sink.
        self.processed: Offsets = advance(generation.start, last.ranges if last else ())

    @property
    def next_number(self) -> int:
        return self.batches.last.batch + 1 if self.batches.last else 0

    def take(self, received: Any, *, recovered: bool = False) -> Entry | None:
        """Process what is new in a ReceivedBatch. None when nothing is, unless the generation has no batch yet.

        A gap that Kafka can fill ends a `recovered` batch, since what follows is received again; in any other it raises
        UnavailableError. Raises DataLossError for a gap that Kafka cannot fill, and whatever MicroBatches.run raises.
        """
        ends, gaps = self._plan(received, {})
        if fillable := self._in_kafka(gaps):
            if not recovered:
                raise UnavailableError(
                    f"blocks with {_words(fillable)} are gone, and Kafka still has those records",
                    "The receivers start again where the batch log stands.",
                )
            limits = {gap.topic_partition: gap.first for gap in sorted(fillable, reverse=True)}
            ends, gaps = self._plan(received, limits)
        self._accept(gaps)
        if ends == self.processed and self.batches.last is not None:
            return None
        ranges = ranges_between(self.processed, ends)
        planned = PlannedBatch(self.generation.number, self.next_number, self.batches.held.epoch, ranges, gaps)
        return self._run(self._written(planned), received)

    def stands_after(self, recovered: Any) -> Offsets | None:
        """Where the pipeline will stand when what is planned and `recovered` are processed.

        None where nobody knows yet: there are gaps, of which Kafka decides.
        """
        ends, gaps = self._plan(recovered, {})
        if gaps:
            return None
        planned = self._planned()
        return {**ends, **{at: max(end, ends.get(at, 0)) for at, end in (planned.ends if planned else {}).items()}}

    def finish_planned(self, recovered: Any) -> Entry | None:
        """Run the batch that is planned and not logged, as it was planned; None when there is none.

        Its records come out of `recovered`, a ReceivedBatch, or, where that lacks some, out of Kafka.
        """
        planned = self._planned()
        if planned is None:
            return None
        log.info("batch %d was planned by epoch %d, and is finished now", planned.batch, planned.epoch)
        ends, gaps = self._plan(recovered, planned.ends)
        if unknown := set(ends) - set(planned.ends):
            # A partition that was added after the plan was made: its records belong to the next batch.
            ends, gaps = self._plan(recovered, {**planned.ends, **dict.fromkeys(unknown, 0)})
        missing = ranges_between(ends, planned.ends)
        holes = [hole for hole in gaps if not any(_within(hole, lost) for lost in planned.lost)]
        if not holes and not any(part.span for part in missing):
            return self._run(planned, recovered)
        return self._run(planned, None)

    def _planned(self) -> PlannedBatch | None:
        text = self._job.files.read(planned_batch.path(self.generation.number, self.next_number))
        return PlannedBatch.from_json(text) if text is not None else None

    def _plan(self, received: Any, limits: Offsets) -> tuple[Offsets, tuple[OffsetRange, ...]]:
        planned = json.loads(received.plan(_text(self.processed), _text(limits)))
        gaps = tuple(OffsetRange(*gap) for gap in planned["gaps"])
        return parse_spark_offsets(json.dumps(planned["ends"])), gaps

    def _in_kafka(self, gaps: tuple[OffsetRange, ...]) -> tuple[OffsetRange, ...]:
        """Those gaps of which Kafka still has records, and so all that follows them."""
        if not gaps:
            return ()
        earliest = self._job.positions.earliest([gap.topic_partition for gap in gaps])
        return tuple(gap for gap in gaps if earliest[gap.topic_partition] < gap.until)

    def _accept(self, gone: tuple[OffsetRange, ...]) -> None:
        """Go on without some records, or raise DataLossError, as the pipeline says."""
        if not gone:
            return
        if self._job.spec.on_data_loss == "stop":
            raise DataLossError(
                f"unprocessed records are gone from Kafka: {_words(gone)}",
                "Retention has overtaken the pipeline. To go on without them, and have the batch log say which they "
                "were, set `on_data_loss: continue`.",
            )
        log.warning("retention has taken %s", _words(gone))

    def _written(self, planned: PlannedBatch) -> PlannedBatch:
        """Put the plan down, then see that the lease is still ours: in this order nobody can have planned otherwise."""
        files = self._job.files
        there = not files.write_new(planned_batch.path(planned.generation, planned.batch), planned.to_json())
        self.batches.held.check()
        if there:
            raise UnavailableError(
                f"batch {planned.batch} was planned by an earlier driver in this moment",
                "It is finished as that one planned it.",
            )
        return planned

    def _run(self, planned: PlannedBatch, received: Any) -> Entry:
        """`received` is planned already; None reads the same offsets from Kafka."""
        session = self._job.session
        self._losses.known = planned.lost
        if received is not None:
            frame = DataFrame(received.frame(session._jsparkSession, self._tasks()), session)
        else:
            frame = self._from_kafka(planned)
        entry = self.batches.run(frame, planned.batch, planned.ranges)
        self.processed = advance(self.processed, entry.ranges)
        self._job.files.delete(planned_batch.path(planned.generation, planned.batch))
        return entry

    def _tasks(self) -> int:
        """How many run at once: one more than that would be a second wave, as long as the first."""
        assert self._job.spec.receiver is not None
        return max(1, int(self._job.session.sparkContext.defaultParallelism) - self._job.spec.receiver.receivers)

    def _from_kafka(self, planned: PlannedBatch) -> DataFrame:
        log.info("batch %d is read from Kafka again", planned.batch)
        spec = self._job.spec
        wanted = [part for part in planned.ranges if part.span]
        gone = set(LossesRecorded(self._job.positions).lost(wanted)) - set(planned.lost)
        self._accept(tuple(sorted(gone)))
        self._losses.known = tuple(sorted({*planned.lost, *gone}))
        taken = {part.topic_partition: part.until for part in self._losses.known}
        left = [replace(part, first=taken.get(part.topic_partition, part.first)) for part in wanted]
        return kafka_records.read(
            self._job.session, spec.kafka, left, fail_on_data_loss=spec.on_data_loss == "stop")


def _text(offsets: Mapping[TopicPartition, int]) -> str:
    return json.dumps(to_spark_offsets(offsets))


def _words(ranges: Iterable[OffsetRange]) -> str:
    return ", ".join(f"{part.topic_partition} {part.first}..{part.until}" for part in ranges)


def _within(inner: OffsetRange, outer: OffsetRange) -> bool:
    same = inner.topic_partition == outer.topic_partition
    return same and outer.first <= inner.first and inner.until <= outer.until
