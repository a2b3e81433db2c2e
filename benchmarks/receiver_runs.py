"""The Spark side of receiver.py: rounds of runs over one topic, in one JVM, warm.

    python receiver_runs.py PLAN_JSON

`store` runs a receiver whose batches are counted and dropped: what is timed is poll, store and commit. `receiver` and
`direct` are whole word counts by our jobs; `receiver lambdas` and `direct lambdas` are those of programs of the Spark 2
era, by `KafkaUtils.createStream` with a write-ahead log and by `createDirectStream`.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.java_gateway import ensure_callback_server_started
from pyspark.sql import SparkSession
from pyspark.storagelevel import StorageLevel
from pyspark.streaming import StreamingContext
from pyspark.streaming.listener import StreamingListener

import spark_runs
from direct_stream import DirectStream
from job import Job
from kafka_utils import KafkaUtils
from receiver_stream import POLL_RECORDS, ReceiverStream
from streamops.state import batch_log
from streamops.state.batch_log import Entry
from streamops.state.job_spec import ReceiverSpec

PARTITIONS = 4
#: A receiver keeps one for itself.
CORES = 3
#: Seconds between the batches of whole word counts.
INTERVAL_S = 0.5


@dataclass
class Counted:
    """What has arrived, and when: seconds of this process's clock."""

    wanted: int
    records: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    first_records: int = 0

    def run(self, received: Any) -> bool:
        if arrived := received.records():
            self.records += arrived
            self.last_s = time.perf_counter()
            if not self.first_s:
                self.first_s, self.first_records = self.last_s, arrived
        return True

    def failed(self, reason: str) -> None:
        raise SystemExit(reason)

    def ended(self) -> None:
        pass

    @property
    def rate(self) -> float:
        """Records a second between the first interval that brought some and the last."""
        return (self.records - self.first_records) / (self.last_s - self.first_s)

    class Java:
        implements = ("org.apache.spark.streaming.streamops.BatchHandler",)


@dataclass
class Batches(StreamingListener):  # type: ignore[misc]
    """The batches of an old program that had records: how many, and when Spark processed them."""

    records: int = 0
    first_ms: int = 0
    last_ms: int = 0

    def onBatchCompleted(self, batchCompleted: Any) -> None:  # noqa: N802, N803  Spark's names
        batch = batchCompleted.batchInfo()
        if batch.numRecords():
            self.first_ms = self.first_ms or batch.processingStartTime()
            self.last_ms = batch.processingEndTime()
            self.records += batch.numRecords()

    @property
    def took_s(self) -> float:
        return (self.last_ms - self.first_ms) / 1000


class Runs:
    """Runs over one topic, each with an empty state directory."""

    def __init__(self, session: SparkSession, plan: dict[str, Any]) -> None:
        self._session, self._plan = session, plan
        self._jvm: Any = session._jvm
        self._conf = session.sparkContext._jsc.sc().conf()
        self._kafka = {"bootstrap.servers": plan["bootstrap"]}
        self._number = 0

    def bare(self) -> dict[str, float]:
        """The loop that nothing can be faster than."""
        settings = {**self._kafka, "fetch.min.bytes": str(2**20), "max.partition.fetch.bytes": str(2**22),
                    "max.poll.records": str(POLL_RECORDS)}
        spent_ns = self._jvm.BareLoop.run(settings, self._plan["topic"], self._plan["records"])
        return {"records_per_s": self._plan["records"] / (spent_ns / 1e9)}

    def store(self, *, write_ahead_log: bool) -> dict[str, float]:
        """One receiver, from its first interval with records to the last."""
        state = self._empty()
        self._conf.set("spark.streaming.receiver.writeAheadLog.enable", str(write_ahead_log).lower())
        scala = self._jvm.org.apache.spark.streaming.streamops
        settings = scala.ReceiverSettings.of(
            [self._plan["topic"]], {**self._kafka, "group.id": f"store-{self._number}"}, {}, POLL_RECORDS, "", "",
        )
        counted = Counted(self._plan["records"])
        streaming = scala.KafkaStreaming(
            self._session._jsparkSession, f"{state.as_uri()}/checkpoint", 100, 1, settings, 30, counted
        )
        streaming.start()
        while counted.records < counted.wanted:
            time.sleep(0.05)
        # Spark cleans the log of finished batches; what was written is what Kafka held, and is measured on the way.
        written = sum(path.stat().st_size for path in (state / "checkpoint").rglob("log-*"))
        streaming.stop()
        return {"records_per_s": counted.rate, "log_bytes": float(written)}

    def receiver(self) -> dict[str, float]:
        self._conf.set("spark.streaming.receiver.writeAheadLog.enable", "true")
        return self._job(lambda job: ReceiverStream(job), "receiver")

    def direct(self) -> dict[str, float]:
        return self._job(lambda job: DirectStream(job), "direct")

    def lambdas(self, *, received: bool) -> dict[str, float]:
        """As people wrote it for Spark 2, by a receiver with a write-ahead log or by offset ranges.

        Batches hold at most half a second's work, and their counts are saved as text.
        """
        state = self._empty()
        a_second = self._plan["records"] // 8 * 2
        limits = {
            "spark.streaming.receiver.writeAheadLog.enable": "true",
            "spark.streaming.receiver.maxRate": str(a_second),
            "spark.streaming.kafka.maxRatePerPartition": str(a_second // PARTITIONS),
        }
        for name, value in limits.items():
            self._conf.set(name, value)
        ssc = StreamingContext(self._session.sparkContext, INTERVAL_S)
        ssc.checkpoint(f"{state.as_uri()}/checkpoint")
        brokers, topic, group = self._plan["bootstrap"], self._plan["topic"], f"lambdas-{self._number}"
        params = {"metadata.broker.list": brokers, "auto.offset.reset": "smallest"}
        if received:
            level = StorageLevel.MEMORY_AND_DISK
            stream = KafkaUtils.createStream(ssc, brokers, group, {topic: 1}, params, storageLevel=level)
        else:
            stream = KafkaUtils.createDirectStream(ssc, [topic], params)
        counts = (
            stream.map(lambda record: record[1])
            .flatMap(lambda line: line.split(" "))
            .map(lambda word: (word, 1))
            .reduceByKey(lambda a, b: a + b)
        )
        counts.saveAsTextFiles(f"{state.as_uri()}/counts")
        batches = Batches()
        ssc.addStreamingListener(batches)
        ssc.start()
        while batches.records < self._plan["records"]:
            time.sleep(0.1)
        ssc.stop(stopSparkContext=False, stopGraceFully=False)
        for name in limits:
            self._conf.remove(name)
        return {"records_per_s": batches.records / (batches.took_s + (INTERVAL_S if received else 0.0))}

    def _job(self, stream_of: Callable[[Job], Any], approach: str) -> dict[str, float]:
        """A whole word count into Parquet. Timed by the batch log: from the first batch with records to the last."""
        state = self._empty()
        more: dict[str, Any] = {"receiver": ReceiverSpec(1, "benchmark")}
        if approach == "direct":
            # Batches of half a second's work, as the receiver's are.
            more = {"rate_limit": self._plan["records"] // 8 * 2}
        spec = spark_runs.word_count(approach, self._plan["bootstrap"], self._plan["topic"], state, INTERVAL_S, **more)
        session = self._session.newSession()
        # As it is submitted: as many parts as tasks run at once beside a receiver.
        session.conf.set("spark.sql.shuffle.partitions", str(CORES - (approach == "receiver")))
        job = Job(session, spec, f"driver-{self._number}")
        entries: list[Entry] = []
        with spark_runs.running(job, stream_of(job)):
            while sum(entry.span for entry in entries) < self._plan["records"]:
                time.sleep(0.2)
                entries = list(batch_log.entries(job.files, 1))
        busy = [entry for entry in entries if entry.span]
        began, ended = _seconds(busy[0].started_at), _seconds(busy[-1].finished_at)
        # What the first batch holds was received before it began.
        received_s = spec.interval_s if approach == "receiver" else 0.0
        return {"records_per_s": self._plan["records"] / (ended - began + received_s)}

    def _empty(self) -> Path:
        self._number += 1
        state = Path(self._plan["folder"]) / f"state-{self._number}"
        shutil.rmtree(state.with_name(f"state-{self._number - 1}"), ignore_errors=True)
        self._jvm.System.gc()
        return state


def _seconds(at: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(at).timestamp()


def main() -> None:
    plan = json.loads(sys.argv[1])
    conf = {"spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem"}
    session = spark_runs.session("receiver", CORES, "2g", plan["class_path"], conf)
    ensure_callback_server_started(session.sparkContext._gateway)
    runs = Runs(session, plan)
    kinds: dict[str, Callable[[], dict[str, float]]] = {
        "bare": runs.bare,
        "store": lambda: runs.store(write_ahead_log=True),
        "store without log": lambda: runs.store(write_ahead_log=False),
        "receiver": runs.receiver,
        "direct": runs.direct,
        "receiver lambdas": lambda: runs.lambdas(received=True),
        "direct lambdas": lambda: runs.lambdas(received=False),
    }
    # The first round warms the JVM up, and is not reported. Rounds take turns in who is first.
    for number in range(-1, plan["rounds"]):
        names = list(kinds) if number % 2 else list(reversed(kinds))
        for name in names:
            found = kinds[name]()
            if number >= 0:
                print(json.dumps({"round": number, "run": name, **found}), flush=True)
    session.stop()


if __name__ == "__main__":
    main()
