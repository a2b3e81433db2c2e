"""Spark settings of a receiver pipeline. Pure. A pipeline's `resources.conf` wins over all of them."""

from __future__ import annotations

from streamops.declared.pipeline import Pipeline

#: Records a second and receiver before Spark has seen how fast batches go. Without it the first batch takes whatever
#: the topic has.
INITIAL_RATE = 50_000

#: Seconds that Hadoop's hooks may take beyond the stop itself: Spark's own come after ours.
_MARGIN_S = 15


def receiver_conf(pipeline: Pipeline, state_url: str) -> dict[str, str]:
    """Settings for the job of `pipeline`, whose state directory is `state_url` (as Hadoop reads it)."""
    receiver = pipeline.receiver
    scheme = state_url.partition(":")[0]
    conf = {
        "spark.streaming.receiver.writeAheadLog.enable": _text(receiver.write_ahead_log),
        "spark.streaming.backpressure.enabled": "true",
        "spark.streaming.backpressure.initialRate": str(INITIAL_RATE),
        # Hadoop gives all hooks of a JVM 30 s by default, and a graceful stop is one of them.
        "spark.shutdown.timeout": f"{round(receiver.stop_within_s) + _MARGIN_S}s",
        "spark.streaming.ui.retainedBatches": "100",
    }
    if pipeline.rate_limit is not None:
        each = max(1, pipeline.rate_limit // receiver.receivers)
        conf["spark.streaming.receiver.maxRate"] = str(each)
        conf["spark.streaming.backpressure.initialRate"] = str(min(each, INITIAL_RATE))
    if scheme == "file":
        # Hadoop's checksummed file system keeps the end of a file in memory when told to flush; this one does not.
        conf["spark.hadoop.fs.file.impl"] = "org.apache.hadoop.fs.RawLocalFileSystem"
    elif scheme != "hdfs":
        # Object stores cannot flush: a file is there when it is closed (Spark's streaming guide, "Configuring
        # write-ahead logs").
        conf["spark.streaming.driver.writeAheadLog.closeFileAfterWrite"] = "true"
        conf["spark.streaming.receiver.writeAheadLog.closeFileAfterWrite"] = "true"
    return conf


def _text(value: bool) -> str:
    return str(value).lower()
