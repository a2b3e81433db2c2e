"""Entry point of a stream over a folder: every text file that comes into it, once.

    spark-submit … folder_stream.py JOB_SPEC_JSON

Spark writes into the checkpoint which files a batch takes before it runs it, so a batch that is run again reads the
same ones; when one of them is gone, the job stops. A file is known by its name: it must be whole when it appears (write
it elsewhere on the same file system, or under a name that begins with `.` or `_`, then rename it) and is not read again
when it is changed. Exit codes are those of direct_stream.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import folder_lines
from job import Job, drive
from planned_files import PlannedFiles
from streamops.state import batch_log
from structured_stream import StructuredStream

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from streamops.errors import StreamopsError
    from streamops.state.generations import Generation
    from streamops.state.offsets import OffsetRange, Offsets

#: A folder with a million files, at the first start, is many batches and not one of a million tasks.
MOST_FILES_A_BATCH = 1000
#: Spark leaves out, without a word, a new file whose time is older by this than the newest it has seen. Its default of
#: a week would lose what `cp -p` or a slow archive brings; a hundred years is the same as never.
OLDEST_FILE = "36500d"


class FolderStream(StructuredStream):
    """Reads a folder."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        assert job.spec.folder is not None
        self._path = job.spec.folder.path

    def frame(self, generation: Generation) -> DataFrame:  # noqa: ARG002  the checkpoint alone says what was read
        reader = self._job.session.readStream.format("text")
        reader = reader.option("maxFilesPerTrigger", str(MOST_FILES_A_BATCH)).option("maxFileAge", OLDEST_FILE)
        return folder_lines.records(reader.load(self._path))

    def ranges(self, generation: Generation) -> Callable[[int], tuple[OffsetRange, ...]]:
        """None; but this is the moment to see that the files of a batch are there."""
        session, files = self._job.session, self._job.files
        planned = PlannedFiles(session._jvm, session.sparkContext._jsc.hadoopConfiguration(), files, generation)

        def none(batch: int) -> tuple[OffsetRange, ...]:
            if not files.exists(batch_log.entry_path(generation.number, batch)):
                planned.require(batch)
            return ()

        return none

    def progressed(self, processed: Offsets) -> None:
        """A folder has no offsets, and so no group that could show them."""

    def reason_to_stop(self, error: str) -> StreamopsError | None:
        return folder_lines.reason_to_stop(error, self._path)


if __name__ == "__main__":
    drive("folder_stream", lambda job: FolderStream(job).run())
