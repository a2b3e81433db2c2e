"""Parquet files, a folder a batch: `generation=1/batch=217/part-….parquet` below the pipeline's output.

The rows are written aside and the folder is renamed, in one step on `file:` and HDFS, so a reader never sees half a
batch. A batch without rows gets none. A folder that is there already holds the same batch whole: a driver that died
before it could log it wrote it, or one that was thought dead. It is kept and the new one dropped. Replacing it would
mean a moment without any, and a driver killed in that moment would leave a logged batch without its output.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812  the name that every Spark program gives it

from streamops.state.batch_log import LABEL

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from hadoop_files import HadoopFiles
    from transforms import Batch


def folder(batch: Batch) -> str:
    """Where a batch's files lie, below the pipeline's output; Spark reads the two numbers back as columns."""
    return f"generation={batch.generation}/batch={batch.number}"


class ParquetSink:
    """Writes below one folder, as one driver. `epoch` keeps apart what two drivers put aside."""

    def __init__(self, files: HadoopFiles, epoch: int) -> None:
        self._files = files
        self._epoch = epoch

    def prepare(self, frame: DataFrame, batch: Batch) -> int:
        counted = Observation()
        observed = frame.observe(counted, F.count(F.lit(1)).alias("rows"))
        observed.write.mode("overwrite").parquet(f"{self._files.url}/{self._aside(batch)}")
        return int(counted.get["rows"])

    def publish(self, batch: Batch, rows: int) -> tuple[str | None, int]:
        aside, target = self._aside(batch), folder(batch)
        if not rows:
            self._files.delete(aside)
            return None, 0
        label = {"rows": rows, "ranges": [taken.as_dict() for taken in batch.ranges], "epoch": self._epoch}
        self._files.replace(f"{aside}/{LABEL}", json.dumps(label))
        if not self._files.publish_new(aside, target):
            there = json.loads(self._files.read(f"{target}/{LABEL}") or "{}")
            if there.get("ranges") == label["ranges"]:
                self._files.delete(aside)
                return target, int(there["rows"])
            # Other ranges under the same number, and the batch log knows none: the checkpoint was lost and begun
            # again before this batch was ever logged, so nobody counts on what lies there.
            self._files.delete(target)
            self._files.publish_new(aside, target)
        return target, rows

    def _aside(self, batch: Batch) -> str:
        # A leading underscore hides it from every reader of Hadoop's and Spark's.
        return f"_aside/{batch.generation}-{batch.number}-{self._epoch}"
