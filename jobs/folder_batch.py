"""Entry point of a word count over a folder: the files that are there, once; then the job ends.

    spark-submit … folder_batch.py JOB_SPEC_JSON

Each start of a driver is a generation of its own with one batch, whose word counts go to the sink like any other's.
The totals and the most frequent words are printed, and kept in `results/` (see state/word_totals.py). Exit code 0:
done, or ended itself; the driver record says which. Anything else: it crashed, and Spark relaunches it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F  # noqa: N812  the name that every Spark program gives it

import folder_lines
import restarts
from bad_records import cause
from held_lease import now
from job import drive
from streamops.errors import JobStopped
from streamops.state import generations, word_totals
from streamops.state.lease import JobState
from streamops.state.word_totals import WordTotals
from transforms import Batch, identity

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from job import Job
    from streamops.state.generations import Generation

log = logging.getLogger("streamops.folder")


class FolderBatch:
    """One run."""

    def __init__(self, job: Job) -> None:
        assert job.spec.folder is not None
        self._job = job
        self._folder = job.spec.folder

    def run(self) -> WordTotals:
        """Count, write and return the totals. Raises the StreamopsError that says why it cannot be done."""
        held = self._job.take_lease(lambda lost: log.warning("%s", lost))  # the next step of the batch stops it
        generation = self._generation()
        batches = self._job.micro_batches(generation)
        count_words, batches.transform = batches.transform, identity.transform
        held.report(JobState.RUNNING)
        lines: DataFrame | None = None
        while True:
            try:
                # The folder is listed here, once: every try reads the same files.
                if lines is None:
                    lines = folder_lines.records(self._job.session.read.text(self._folder.path))
                counted = count_words(lines, Batch(self._job.spec.pipeline, generation.number, 0, ())).persist()
                try:
                    batches.run(counted, 0, ())
                    totals = self._totals(generation, lines, counted)
                finally:
                    counted.unpersist()
                self._job.files.replace(word_totals.path(generation.number), totals.to_json())
                return totals
            except (PySparkException, Py4JJavaError) as error:
                if (reason := folder_lines.reason_to_stop(str(error), self._folder.path)) is not None:
                    raise reason from None
                if batches.restarts == restarts.MAX_RESTARTS:
                    raise JobStopped(
                        f"counting the words of {self._folder.path} has failed {batches.restarts + 1} times in a row: "
                        f"{cause(str(error))}",
                        "Correct what it names, then start it again: every run counts the whole folder.",
                    ) from error
                restarts.wait(batches, held, error)

    def _generation(self) -> Generation:
        first = not self._job.files.names(generations.DIRECTORY)
        newest = self._job.generation()
        return newest if first else self._job.next_generation(newest, {}, f"a run by driver {self._job.driver}")

    def _totals(self, generation: Generation, lines: DataFrame, counted: DataFrame) -> WordTotals:
        spec = self._job.spec
        words, different = counted.agg(F.coalesce(F.sum("count"), F.lit(0)), F.count("*")).collect()[0]
        top = counted.orderBy(F.col("count").desc(), F.col("word")).limit(self._folder.top).collect()
        return WordTotals(
            pipeline=spec.pipeline,
            generation=generation.number,
            folder=self._folder.path,
            driver=self._job.driver,
            finished_at=now(),
            lines=lines.where(F.length("value") > 0).count(),
            words=words,
            different_words=different,
            top=tuple((row["word"], row["count"]) for row in top),
        )


def run(job: Job) -> None:
    """Count, and end the driver."""
    totals = FolderBatch(job).run()
    print(f"{totals.table()}\n{totals.summary()}", flush=True)  # noqa: T201  the driver's own output
    job.finish(totals.summary())


if __name__ == "__main__":
    drive("folder_batch", run)
