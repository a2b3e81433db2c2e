"""The Spark side of overhead.py: pairs of runs over one topic, the direct job's and a bare foreachBatch's.

    python word_count_runs.py PLAN_JSON

Both run in one JVM, warm, taking turns in who is first, each in a session of its own that shares the Spark context.
Times are Spark's: a query's progress says when each of its triggers began and how long it took, all of it included.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812  the name that every Spark program gives it

import spark_runs
from direct_stream import DirectStream
from job import Job
from streamops.state.job_spec import JobSpec
from transforms import Batch
from transforms.word_count import transform
from word_count_plans import Plan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.streaming import StreamingQuery

    from micro_batch import MicroBatches
    from sinks import Sink
    from streamops.state.generations import Generation

#: As soon as the last batch has ended. The rate limit is a second's, so it is a thousand times a batch's.
INTERVAL_S = 0.001


@dataclass(frozen=True)
class Run:
    """One run as measured, without its warm-up.

    `seconds` are of wall clock, `cpu_s` of processor time in the JVM and in Python; `…_ms` are milliseconds a batch.
    """

    seconds: float
    records: int
    cpu_s: float
    words: int
    files: int
    trigger_ms: float
    phases_ms: dict[str, float]
    ours_ms: dict[str, float]

    @property
    def rate(self) -> float:
        return self.records / self.seconds


class Clock:
    """Milliseconds by what they were spent on, and how often. The beat's thread is not counted: nobody waits for it."""

    def __init__(self) -> None:
        self.ms: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            if threading.current_thread().name != "lease-beat":
                self.ms[what] += (time.perf_counter() - started) * 1000
                self.calls[what] += 1

    def reset(self) -> None:
        self.ms.clear()
        self.calls.clear()


class TimedFiles:
    """The state directory, timed by the folder that is asked for: `lease`, `batch_log`, `checkpoint`, and so on."""

    def __init__(self, files: Any, clock: Clock) -> None:
        self._files, self._clock = files, clock

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._files, name)
        if not callable(found):
            return found

        def timed(path: str, *rest: Any) -> Any:
            with self._clock(path.split("/", 1)[0]):
                return found(path, *rest)

        return timed


class TimedSink:
    """A sink, timed by its two steps."""

    def __init__(self, sink: Sink, clock: Clock) -> None:
        self._sink, self._clock = sink, clock

    def prepare(self, frame: DataFrame, batch: Batch) -> int:
        with self._clock("sink: compute and write"):
            return self._sink.prepare(frame, batch)

    def publish(self, batch: Batch, rows: int) -> tuple[str | None, int]:
        with self._clock("sink: label and rename"):
            return self._sink.publish(batch, rows)


class TimedJob(Job):
    """A job whose files and sink are timed. It does what a job does."""

    def __init__(self, session: SparkSession, spec: JobSpec, clock: Clock) -> None:
        super().__init__(session, spec, "benchmark")
        self.clock = clock
        self.files = TimedFiles(self.files, clock)  # type: ignore[assignment]

    def micro_batches(self, generation: Generation) -> MicroBatches:
        batches = super().micro_batches(generation)
        batches.sink = TimedSink(batches.sink, self.clock)
        return batches


class Runs:
    """Runs one plan after the other against one topic."""

    def __init__(self, session: SparkSession, bootstrap: str, topic: str, folder: Path) -> None:
        self._session, self._bootstrap, self._topic, self._folder = session, bootstrap, topic, folder
        self._processes = [psutil.Process(), psutil.Process(session.sparkContext._gateway.proc.pid)]

    def direct(self, plan: Plan) -> Run:
        state = self._empty()
        clock = Clock()
        limit = round(plan.records / INTERVAL_S)
        spec = spark_runs.word_count("direct", self._bootstrap, self._topic, state, INTERVAL_S, rate_limit=limit)
        session = self._session.newSession()
        job = TimedJob(session, spec, clock)
        with spark_runs.running(job, DirectStream(job)):
            while not session.streams.active:
                time.sleep(0.05)
            query = session.streams.active[0]
            _wait_for(query, plan.warm_up)
            clock.reset()
            cpu_s = self._cpu_s()
            progress = _wait_for(query, plan.batches)
            cpu_s = self._cpu_s() - cpu_s
            ours = {what: spent / (plan.batches - plan.warm_up) for what, spent in clock.ms.items()}
        return self._measured(plan, progress, cpu_s, state / "output" / "generation=1", ours)

    def bare(self, plan: Plan) -> Run:
        """What a person would write who needs none of this: read, count, write, next."""
        state = self._empty()

        def for_each_batch(frame: DataFrame, number: int) -> None:
            words = transform(frame, Batch("bare", 1, number, ()))
            words.write.mode("overwrite").parquet(f"{state.as_uri()}/output/batch={number}")

        query = (
            self._session.newSession()
            .readStream.format("kafka")
            .option("kafka.bootstrap.servers", self._bootstrap)
            .option("subscribe", self._topic)
            .option("startingOffsets", "earliest")
            .option("maxOffsetsPerTrigger", str(plan.records))
            .load()
            .writeStream.foreachBatch(for_each_batch)
            .option("checkpointLocation", f"{state.as_uri()}/checkpoint")
            .trigger(processingTime=f"{round(INTERVAL_S * 1000)} milliseconds")
            .start()
        )
        _wait_for(query, plan.warm_up)
        cpu_s = self._cpu_s()
        progress = _wait_for(query, plan.batches)
        cpu_s = self._cpu_s() - cpu_s
        query.stop()
        return self._measured(plan, progress, cpu_s, state / "output", {})

    def _cpu_s(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)

    def _empty(self) -> Path:
        state = self._folder / "state"
        shutil.rmtree(state, ignore_errors=True)
        self._session._jvm.System.gc()
        return state

    def _measured(
        self, plan: Plan, progress: list[dict[str, Any]], cpu_s: float, output: Path, ours: dict[str, float]
    ) -> Run:
        taken = [each for each in progress if plan.warm_up <= each["batchId"] < plan.batches]
        assert len(taken) == plan.batches - plan.warm_up, f"Spark kept the progress of {len(taken)} batches only"
        began = datetime.fromisoformat(taken[0]["timestamp"])
        last = taken[-1]
        ended_s = datetime.fromisoformat(last["timestamp"]).timestamp() + last["durationMs"]["triggerExecution"] / 1000
        folders = [output / f"batch={each['batchId']}" for each in taken]
        words = self._session.read.parquet(*map(str, folders[:20])).agg(F.sum("count"))
        return Run(
            seconds=ended_s - began.timestamp(),
            records=sum(each["numInputRows"] for each in taken),
            cpu_s=cpu_s,
            words=words.collect()[0][0],
            files=len(list(folders[0].glob("part-*"))),
            trigger_ms=statistics.median(each["durationMs"]["triggerExecution"] for each in taken),
            phases_ms={
                phase: statistics.mean(each["durationMs"].get(phase, 0) for each in taken)
                for phase in sorted(last["durationMs"])
            },
            ours_ms=ours,
        )


def _wait_for(query: StreamingQuery, batches: int) -> list[dict[str, Any]]:
    """Wait until so many batches are done. Returns the progress of each, oldest first."""
    while True:
        if (error := query.exception()) is not None:
            raise error
        last = query.lastProgress
        if last is not None and last["batchId"] >= batches - 1:
            return [json.loads(each.json) for each in query.recentProgress]
        time.sleep(0.2)


def main() -> None:
    plan = json.loads(sys.argv[1])
    conf = {"spark.sql.streaming.numRecentProgressUpdates": "10000"}
    session = spark_runs.session("overhead", 2, "1g", plan["class_path"], conf)
    runs = Runs(session, plan["bootstrap"], plan["topic"], Path(plan["folder"]))
    plans = [Plan(**each) for each in plan["plans"]]
    for one in plans:
        # The first pair of all warms the JVM up, and is not reported.
        for number in range(-1 if one is plans[0] else 0, one.pairs):
            order = (runs.direct, runs.bare) if number % 2 else (runs.bare, runs.direct)
            done = {run.__name__: run(one) for run in order}
            if number < 0:
                continue
            pair = {name: {**asdict(run), "rate": run.rate} for name, run in done.items()}
            print(json.dumps({"plan": one.name, **pair}), flush=True)
    session.stop()


if __name__ == "__main__":
    main()
