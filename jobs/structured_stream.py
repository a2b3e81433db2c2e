"""A Structured Streaming query as a driver runs it: under the lease, batch by batch, started again after failures.

What direct_stream.py and folder_stream.py share; each says what its query reads.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException, StreamingQueryException
from pyspark.sql.streaming.listener import StreamingQueryListener

import restarts
from streamops.errors import StreamopsError
from streamops.state import generations
from streamops.state.lease import JobState
from streamops.state.offsets import advance

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.streaming import StreamingQuery
    from pyspark.sql.streaming.listener import (
        QueryIdleEvent,
        QueryProgressEvent,
        QueryStartedEvent,
        QueryTerminatedEvent,
    )

    from held_lease import HeldLease
    from job import Job
    from streamops.state.generations import Generation
    from streamops.state.offsets import OffsetRange, Offsets


#: Milliseconds without data after which Spark says that a query is idle. On topics without data, that is what shows
#: that a driver has started; by default everybody would wait 10 s for it.
IDLE_AFTER_MS = 2000


class IdleReports(StreamingQueryListener):  # type: ignore[misc]  # pyspark is not followed by the type checker
    """Lets the beat say that the query asked its source and found nothing to read."""

    def __init__(self, held: HeldLease) -> None:
        self._held = held

    def onQueryIdle(self, event: QueryIdleEvent) -> None:  # noqa: N802, ARG002  Spark's name
        self._held.report(JobState.IDLE)

    def onQueryStarted(self, event: QueryStartedEvent) -> None:  # noqa: N802  Spark's name
        pass

    def onQueryProgress(self, event: QueryProgressEvent) -> None:  # noqa: N802  Spark's name
        if event.progress.numInputRows == 0:
            self._held.report(JobState.IDLE)

    def onQueryTerminated(self, event: QueryTerminatedEvent) -> None:  # noqa: N802  Spark's name
        pass


class StructuredStream(ABC):
    """The query of one driver, started again in the same process when a server was away."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._stop: StreamopsError | None = None
        self._query: StreamingQuery | None = None
        self._batch = threading.Lock()  # held while a batch runs

    @abstractmethod
    def frame(self, generation: Generation) -> DataFrame:
        """What the query reads: a stream with the columns of Spark's Kafka source."""

    @abstractmethod
    def ranges(self, generation: Generation) -> Callable[[int], tuple[OffsetRange, ...]]:
        """Says which offsets a batch takes, by its number, as the checkpoint has them."""

    @abstractmethod
    def reason_to_stop(self, error: str) -> StreamopsError | None:
        """The error to stop with when Spark's message says that trying again is pointless; None when it does not."""

    @abstractmethod
    def progressed(self, processed: Offsets) -> None:
        """Told after each batch, and once before the first, what the batch log says is processed. Must not wait."""

    def run(self) -> None:
        """Run until the job must end. Raises the StreamopsError that says why; never returns."""
        held = self._job.take_lease(self.stop_with)
        self._job.obey_orders(lambda ordered, _: self.end_after_batch(ordered))
        generation = self._job.generation()
        batches = self._job.micro_batches(generation)
        ranges_of = self.ranges(generation)
        self.progressed(advance(generation.start, batches.last.ranges if batches.last else ()))
        self._job.session.conf.set("spark.sql.streaming.noDataProgressEventInterval", f"{IDLE_AFTER_MS}ms")
        self._job.session.streams.addListener(IdleReports(held))

        def for_each_batch(frame: DataFrame, number: int) -> None:
            with self._batch:
                if self._stop is not None:
                    raise self._stop
                try:
                    entry = batches.run(frame, number, ranges_of(number))
                    self.progressed(advance({}, entry.ranges))
                except StreamopsError as stop:
                    self._remember(stop)
                    raise

        while True:
            try:
                self._query = self._start(generation, for_each_batch)
                if self._stop is not None:
                    self._query.stop()
                self._query.awaitTermination()
            except (StreamingQueryException, PySparkException) as error:
                self._raise_if_final(error)
                restarts.wait(batches, held, error)

    def stop_with(self, reason: StreamopsError) -> None:
        """Remember why the job ends and end the query. For any thread but the query's own."""
        self._remember(reason)
        if self._query is not None:
            self._query.stop()

    def end_after_batch(self, reason: StreamopsError) -> None:
        """As `stop_with`, but a batch that runs is finished and logged first."""
        self._remember(reason)
        # The next batch ends at once, but not before it has the lock: it is free again when the query is stopped, which
        # waits for that batch.
        with self._batch:
            pass
        self.stop_with(reason)

    def _remember(self, reason: StreamopsError) -> None:
        self._stop = self._stop or reason

    def _start(self, generation: Generation, for_each_batch: object) -> StreamingQuery:
        if self._stop is not None:
            raise self._stop
        spec = self._job.spec
        checkpoint = f"{spec.state_url}/{generations.checkpoint_path(generation.number)}"
        return (
            self.frame(generation)
            .writeStream.foreachBatch(for_each_batch)
            .queryName(spec.pipeline)
            .option("checkpointLocation", checkpoint)
            .trigger(processingTime=f"{round(spec.interval_s * 1000)} milliseconds")
            .start()
        )

    def _raise_if_final(self, error: Exception) -> None:
        if self._stop is not None:
            raise self._stop from None
        if (reason := self.reason_to_stop(str(error))) is not None:
            raise reason from None
        if self._job.session.sparkContext._jsc.sc().isStopped():
            raise error
