"""Runs both approaches for some batches, so that a JVM loads the classes that they need (stack/class_archive.py).

    spark-submit … load_classes.py STATE_URL BOOTSTRAP_SERVERS TOPIC CLASSES_OF_THE_EXECUTOR

Records must come into the topic all the while. The last argument is what `-Xlog:class+load` wrote in the executor.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from direct_stream import DirectStream
from job import Job
from receiver_stream import ReceiverStream
from streamops.errors import StopOrderedError, StreamopsError
from streamops.state import batch_log
from streamops.state.job_spec import JobSpec, ReceiverSpec
from streamops.state.lease import Owner, OwnerKind

log = logging.getLogger("streamops.classes")

#: Batches of each job: the first, and one that finds all loaded.
BATCHES = 3
#: Ends one that hangs.
LIMIT_S = 120.0

#: A class out of a file: `[0.412s][info][class,load] org.apache.spark.rdd.RDD source: file:/opt/spark/jars/…`. Classes
#: that are made at run time have other sources, or a slash in their names.
_LOADED = re.compile(r"\] ([\w.$-]+) source: (?:file|jrt):")


def main(state_url: str, servers: str, topic: str, loaded: str) -> None:
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("py4j").setLevel(logging.WARNING)
    session = SparkSession.builder.appName("load classes").getOrCreate()
    # Twice the receiver: the second start reads what the first one left in its log.
    for number, approach in enumerate(("direct", "receiver", "receiver")):
        spec = _spec(f"{state_url}/{approach}", approach, servers, topic)
        _run(Job(session, spec, f"driver-{number}"), DirectStream if approach == "direct" else ReceiverStream)
    session.stop()
    _load(session, Path(loaded))


def _spec(state_url: str, approach: str, servers: str, topic: str) -> JobSpec:
    return JobSpec(
        pipeline="classes", approach=approach, topics=(topic,), kafka={"bootstrap.servers": servers},
        state_url=state_url, output_url=f"{state_url}/{batch_log.OUTPUT}", transform="word_count", sink="parquet",
        interval_s=0.5, starting_offsets="earliest", on_data_loss="stop", on_bad_record="fail",
        owner=Owner(OwnerKind.SHELL), consumer_group="classes" if approach == "direct" else None,
        receiver=ReceiverSpec(1, "classes") if approach == "receiver" else None,
    )  # fmt: skip


def _run(job: Job, approach: Callable[[Job], Any]) -> None:
    stream = approach(job)
    before = batch_log.read_head(job.files, 1)
    wanted = BATCHES + (before.batch if before else -1)

    def work() -> None:
        with suppress(StreamopsError):
            stream.run()

    running = threading.Thread(target=work)
    running.start()
    deadline = time.monotonic() + LIMIT_S
    while (last := batch_log.read_head(job.files, 1)) is None or last.batch < wanted:
        if not running.is_alive() or time.monotonic() > deadline:
            raise TimeoutError(f"the {job.spec.approach} job has logged {last.batch + 1 if last else 0} batches")
        time.sleep(0.2)
    stream.stop_with(StopOrderedError("its classes are loaded", ""))
    running.join()
    if job.held is not None:
        job.held.end()


def _load(session: SparkSession, loaded: Path) -> None:
    """Load what the executor has loaded."""
    names = sorted({match.group(1) for line in loaded.read_text("utf-8").splitlines()
                    if (match := _LOADED.search(line)) is not None})
    java = session.sparkContext._jvm.java.lang
    loader = java.ClassLoader.getSystemClassLoader()
    missing = 0
    for name in names:
        try:
            java.Class.forName(name, False, loader)
        except Py4JJavaError:
            missing += 1
    log.info("%d classes of the executor are loaded, but for %d", len(names), missing)


if __name__ == "__main__":
    main(*sys.argv[1:])
