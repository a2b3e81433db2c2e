"""Jobs that are broken on purpose, each as a job is that somebody wrote in good faith: what a drill is there to find.

Each is the project's own job with a few lines changed; a change that does not fit any more fails the test.
"""

from __future__ import annotations

import shutil
from pathlib import Path

#: Seconds by which each broken job widens the moment in which a crash shows it; a batch a second comes meanwhile.
WINDOW_S = 3

#: File, text, and what is put in its place.
Change = tuple[str, str, str]

BROKEN: dict[str, tuple[Change, ...]] = {
    # It appends where it should replace: a batch that runs again is there twice.
    "a_sink_that_appends": (
        ("sinks/parquet.py", 'observed.write.mode("overwrite").parquet(f"{self._files.url}/{self._aside(batch)}")',
         'observed.write.mode("append").parquet(f"{self._files.url}/{folder(batch)}")'),
        ("sinks/parquet.py", "        aside, target = self._aside(batch), folder(batch)\n",
         f"        import time\n        time.sleep({WINDOW_S})\n"
         "        return (folder(batch), rows) if rows else (None, 0)\n"
         "        aside, target = self._aside(batch), folder(batch)\n"),
    ),
    # It tells Spark that a batch is done, and stores it afterwards: what it had not stored, nobody runs again.
    "a_commit_before_the_store": (
        ("structured_stream.py", "                    entry = batches.run(frame, number, ranges_of(number))\n"
         "                    self.progressed(advance({}, entry.ranges))\n",
         "                    ranges = ranges_of(number)\n"
         "                    kept = self._job.session.createDataFrame(frame.collect(), frame.schema)\n"
         "                    LATER.submit(lambda: (time.sleep(WINDOW_S), batches.run(kept, number, ranges)))\n"
         "                    self.progressed(advance({}, ranges))\n"),
        ("structured_stream.py", "class StructuredStream(ABC):",
         "import time\nfrom concurrent.futures import ThreadPoolExecutor\n\nLATER = ThreadPoolExecutor(1)\n"
         f"WINDOW_S = {WINDOW_S}\n\n\nclass StructuredStream(ABC):"),
    ),
    # It logs a batch before its output is in the sink: what is logged is not run again, and is not there.
    "a_log_written_too_early": (
        ("micro_batch.py", "        output, rows = self.sink.publish(batch, rows)\n",
         '        output = f"generation={batch.generation}/batch={batch.number}" if rows else None\n'),
        ("micro_batch.py", "        self._append(entry)\n        self.last = entry\n",
         f"        self._append(entry)\n        time.sleep({WINDOW_S})\n        self.sink.publish(batch, rows)\n"
         "        self.last = entry\n"),
    ),
}


def write(jobs: Path, name: str, to: Path) -> Path:
    """The project's jobs with one of these broken, in a folder of their own."""
    shutil.copytree(jobs, to)
    for file, text, instead in BROKEN[name]:
        content = (to / file).read_text("utf-8")
        assert content.count(text) == 1, f"{file} has changed: make {name} fit it"
        (to / file).write_text(content.replace(text, instead), "utf-8")
    return to
