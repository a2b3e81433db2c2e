"""Entry point of the direct approach: offset ranges are defined per batch by Structured Streaming's Kafka source.

    spark-submit … direct_stream.py JOB_SPEC_JSON

Exit code 0: the job ended itself and its driver record says why; starting it again unchanged is pointless.
Anything else: it crashed, and a supervised driver is relaunched by Spark.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from group_commits import GroupCommits
from job import drive
from kafka_positions import data_loss_in
from streamops.errors import StateError, StreamopsError
from streamops.state import generations
from streamops.state.offsets import OffsetRange, Offsets, parse_spark_offsets, ranges_between, to_spark_offsets
from structured_stream import StructuredStream

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from hadoop_files import HadoopFiles
    from job import Job
    from streamops.state.generations import Generation


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


#: Milliseconds for one answer, and for one question with all that it takes. Kafka's admin client, which Spark asks
#: where topics end, may go on waiting for a leader that has left the cluster meanwhile until this is over, by default
#: for a minute; Spark then asks anew, three times (`fetchOffset.numRetries`), and is told who leads now.
PATIENCE = {"request.timeout.ms": "10000", "default.api.timeout.ms": "10000"}


def client_properties(stated: Mapping[str, str]) -> dict[str, str]:
    """Those of the connection, and how long to wait where it does not say: the two have to fit each other."""
    return dict(stated) if PATIENCE.keys() & stated.keys() else {**stated, **PATIENCE}


class DirectStream(StructuredStream):
    """Reads topics."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        group = job.spec.consumer_group
        self._commits = GroupCommits(job.positions, group) if group is not None else None

    def progressed(self, processed: Offsets) -> None:
        if self._commits is not None:
            self._commits.offer(processed)

    def frame(self, generation: Generation) -> DataFrame:
        spec = self._job.spec
        reader = self._job.session.readStream.format("kafka")
        for name, value in client_properties(spec.kafka).items():
            reader = reader.option(f"kafka.{name}", value)
        reader = (
            reader.option("subscribe", ",".join(spec.topics))
            .option("startingOffsets", json.dumps(to_spark_offsets(self._starting_offsets(generation))))
            .option("failOnDataLoss", str(spec.on_data_loss == "stop").lower())
            .option("includeHeaders", "true")
        )
        if spec.rate_limit is not None:
            reader = reader.option("maxOffsetsPerTrigger", str(max(1, round(spec.rate_limit * spec.interval_s))))
        return reader.load()

    def ranges(self, generation: Generation) -> Callable[[int], tuple[OffsetRange, ...]]:
        return PlannedRanges(self._job.files, generation).of

    def reason_to_stop(self, error: str) -> StreamopsError | None:
        return data_loss_in(error) if self._job.spec.on_data_loss == "stop" else None

    def _starting_offsets(self, generation: Generation) -> Offsets:
        """The generation's start, with offset 0 for partitions that were added since: Spark wants every one named.

        It looks at them only before the first batch; from then on the checkpoint says where to go on.
        """
        return {**dict.fromkeys(self._job.positions.partitions(), 0), **generation.start}


if __name__ == "__main__":
    drive("direct", lambda job: DirectStream(job).run())
