"""Entry point of the direct approach: offset ranges are defined per batch by Structured Streaming's Kafka source.

    spark-submit … direct_stream.py JOB_SPEC_JSON

Exit code 0: the job ended itself and its driver record says why; starting it again unchanged is pointless.
Anything else: it crashed, and a supervised driver is relaunched by Spark.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException, StreamingQueryException
from pyspark.sql import SparkSession
from pyspark.sql.streaming.listener import StreamingQueryListener

from job import Job, driver_id, read_spec
from kafka_positions import data_loss_in
from streamops import generations
from streamops.errors import StateError, StreamopsError
from streamops.lease import JobState
from streamops.offsets import OffsetRange, Offsets, parse_spark_offsets, ranges_between, to_spark_offsets

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.streaming import StreamingQuery
    from pyspark.sql.streaming.listener import (
        QueryIdleEvent,
        QueryProgressEvent,
        QueryStartedEvent,
        QueryTerminatedEvent,
    )

    from hadoop_files import HadoopFiles
    from held_lease import HeldLease
    from micro_batch import MicroBatches
    from streamops.generations import Generation

log = logging.getLogger("streamops.direct")

#: Failures in a row, without a batch between them, after which the process gives up and is relaunched: about 2 minutes.
MAX_RESTARTS = 8
#: Seconds before the query is started again: doubled with each failure in a row, up to the longest.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0


class PlannedRanges:
    """The offset range of each batch, from the checkpoint: Spark writes there what a batch is before it runs it.

    A file `offsets/217` holds a version line, a line of metadata, and a line for each source: the end offsets.
    """

    def __init__(self, files: HadoopFiles, generation: Generation) -> None:
        self._files = files
        self._generation = generation
        self._known: tuple[int, Offsets] = (-1, generation.start)

    def of(self, batch: int) -> tuple[OffsetRange, ...]:
        known, start = self._known
        if known != batch - 1:
            start = self._end_of(batch - 1) if batch else self._generation.start
        end = self._end_of(batch)
        self._known = (batch, end)
        return ranges_between(start, end)

    def _end_of(self, batch: int) -> Offsets:
        path = f"{generations.checkpoint_path(self._generation.number)}/offsets/{batch}"
        text = self._files.read(path)
        if text is None:
            raise StateError(
                f"Spark runs batch {batch}, but the checkpoint does not say which offsets that is ({path} is missing)",
                "The checkpoint was changed while the job ran. Open a new generation from the batch log's head.",
            )
        return parse_spark_offsets(text.splitlines()[2])


class IdleReports(StreamingQueryListener):  # type: ignore[misc]  # pyspark is not followed by the type checker
    """Lets the beat say that the query asked Kafka and found nothing to read."""

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


class DirectStream:
    """The query of one driver, started again in the same process when a server was away."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._stop: StreamopsError | None = None
        self._query: StreamingQuery | None = None

    def run(self) -> None:
        """Run until the job must end. Raises the StreamopsError that says why; never returns."""
        held = self._job.take_lease(self.stop_with)
        generation = self._job.generation()
        batches = self._job.micro_batches(generation)
        ranges = PlannedRanges(self._job.files, generation)
        self._job.session.streams.addListener(IdleReports(held))

        def for_each_batch(frame: DataFrame, number: int) -> None:
            try:
                batches.run(frame, number, ranges.of(number))
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
                self._wait(batches, held, error)

    def stop_with(self, reason: StreamopsError) -> None:
        """Remember why the job ends and end the query. For any thread but the query's own."""
        self._remember(reason)
        if self._query is not None:
            self._query.stop()

    def _remember(self, reason: StreamopsError) -> None:
        self._stop = self._stop or reason

    def _start(self, generation: Generation, for_each_batch: object) -> StreamingQuery:
        if self._stop is not None:
            raise self._stop
        spec = self._job.spec
        reader = self._job.session.readStream.format("kafka")
        for name, value in spec.kafka.items():
            reader = reader.option(f"kafka.{name}", value)
        reader = (
            reader.option("subscribe", ",".join(spec.topics))
            .option("startingOffsets", json.dumps(to_spark_offsets(self._starting_offsets(generation))))
            .option("failOnDataLoss", str(spec.on_data_loss == "stop").lower())
            .option("includeHeaders", "true")
        )
        if spec.rate_limit is not None:
            reader = reader.option("maxOffsetsPerTrigger", str(max(1, round(spec.rate_limit * spec.interval_s))))
        checkpoint = f"{spec.state_url}/{generations.checkpoint_path(generation.number)}"
        return (
            reader.load()
            .writeStream.foreachBatch(for_each_batch)
            .queryName(spec.pipeline)
            .option("checkpointLocation", checkpoint)
            .trigger(processingTime=f"{round(spec.interval_s * 1000)} milliseconds")
            .start()
        )

    def _starting_offsets(self, generation: Generation) -> Offsets:
        """The generation's start, with offset 0 for partitions that were added since: Spark wants every one named.

        It looks at them only before the first batch; from then on the checkpoint says where to go on.
        """
        return {**dict.fromkeys(self._job.positions.partitions(), 0), **generation.start}

    def _raise_if_final(self, error: Exception) -> None:
        if self._stop is not None:
            raise self._stop from None
        if (lost := data_loss_in(str(error))) is not None and self._job.spec.on_data_loss == "stop":
            raise lost from None
        if self._job.session.sparkContext._jsc.sc().isStopped():
            raise error

    def _wait(self, batches: MicroBatches, held: HeldLease, error: Exception) -> None:
        batches.restarts += 1
        if batches.restarts > MAX_RESTARTS:
            raise error
        wait_s = min(FIRST_WAIT_S * 2 ** (batches.restarts - 1), LONGEST_WAIT_S)
        log.warning("the query failed (%d in a row), starting it again in %.1f s: %s", batches.restarts, wait_s, error)
        held.report(JobState.RESTARTING)
        time.sleep(wait_s)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("py4j").setLevel(logging.WARNING)
    spec = read_spec(sys.argv[1:], "direct")
    session = SparkSession.builder.appName(f"streamops {spec.pipeline}").getOrCreate()
    job = Job(session, spec, driver_id(session))
    try:
        DirectStream(job).run()
    except StreamopsError as stopped:
        if stopped.retryable:
            raise
        job.stop(stopped)


if __name__ == "__main__":
    main()
