"""What the scripts inside Spark share: the session, the job of a word count, and running it for a while."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import SparkSession

from streamops.errors import JobStopped
from streamops.state.job_spec import JobSpec
from streamops.state.lease import Owner, OwnerKind

if TYPE_CHECKING:
    from direct_stream import DirectStream
    from job import Job
    from receiver_stream import ReceiverStream


def session(name: str, cores: int, memory: str, class_path: str, conf: Mapping[str, str]) -> SparkSession:
    """A session in a JVM of this process, which nothing outside of the machine can reach."""
    builder = (
        SparkSession.builder.master(f"local[{cores}]")
        .appName(name)
        .config("spark.driver.memory", memory)
        .config("spark.driver.extraClassPath", class_path)
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", str(cores))  # as jobs are submitted
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
    )
    for key, value in conf.items():
        builder = builder.config(key, value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("ERROR")
    return made


def word_count(approach: str, bootstrap: str, topic: str, state: Path, interval_s: float, **more: Any) -> JobSpec:
    """A word count of a whole topic into Parquet, with its state and its output below one folder."""
    return JobSpec(
        pipeline="benchmark",
        approach=approach,
        topics=(topic,),
        kafka={"bootstrap.servers": bootstrap},
        state_url=state.as_uri(),
        output_url=f"{state.as_uri()}/output",
        transform="word_count",
        sink="parquet",
        interval_s=interval_s,
        starting_offsets="earliest",
        on_data_loss="stop",
        on_bad_record="fail",
        owner=Owner(OwnerKind.SHELL),
        **more,
    )


@contextmanager
def running(job: Job, stream: DirectStream | ReceiverStream) -> Iterator[None]:
    """The job's stream runs in a thread of its own until the end of the block."""
    thread = threading.Thread(target=_until_stopped, args=(stream,), name=job.spec.approach)
    thread.start()
    yield
    stream.stop_with(JobStopped("measured"))
    thread.join()
    assert job.held is not None
    job.held.end()


def _until_stopped(stream: DirectStream | ReceiverStream) -> None:
    with suppress(JobStopped):
        stream.run()
