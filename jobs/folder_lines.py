"""The lines of a folder's text files, as records of the shape that transforms know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812  the name that every Spark program gives it

from streamops.errors import ConfigurationError, DataLossError, StreamopsError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def records(lines: DataFrame) -> DataFrame:
    """Columns of Spark's Kafka source out of those of its text source, batch or stream.

    `value` is the line's bytes without its end (`\\n`, `\\r\\n` or `\\r`), `topic` the URL of its file as Hadoop
    writes it (`file:/in/a.txt`), `timestamp` when that was last changed. What a line has not is null (key, headers) or
    0 (partition, offset, timestampType).
    """
    return lines.select(
        F.lit(None).cast("binary").alias("key"),
        F.col("value").cast("binary").alias("value"),
        F.col("_metadata.file_path").alias("topic"),
        F.lit(0).alias("partition"),
        F.lit(0).cast("bigint").alias("offset"),
        F.col("_metadata.file_modification_time").alias("timestamp"),
        F.lit(0).alias("timestampType"),
        F.lit(None).cast("array<struct<key:string,value:binary>>").alias("headers"),
    )


def reason_to_stop(error: str, folder: str) -> StreamopsError | None:
    """The error to stop with when Spark's message says that trying again is pointless; None when it does not.

    The words are Spark 4.2's error classes (common/utils/src/main/resources/error/error-conditions.json).
    """
    if "PATH_NOT_FOUND" in error:
        return ConfigurationError(
            f"there is no folder {folder}", "Make it, or correct `folder.path` in pipelines.yaml, then start the job."
        )
    if "FAILED_READ_FILE.FILE_NOT_EXIST" in error:
        lines = [line.strip() for line in error.splitlines()]
        telling = next(line for line in lines if "FAILED_READ_FILE.FILE_NOT_EXIST" in line)
        return DataLossError(
            f"a file is gone that was seen and not read yet: {telling[:500]}",
            "Put it back under its name, then start the job. To go on without it: resources.conf, "
            "`spark.sql.files.ignoreMissingFiles: true`.",
        )
    return None
