"""The life of a driver: who it is, the lease it takes, the generation it goes on with, and how it ends.

What the entry points share; none of them is named here.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

import hand_over
import stop_orders
import transforms
from bad_records import BadRecords, cause
from dead_letters import DeadLetterTopic
from hadoop_files import HadoopFiles
from held_lease import HeldLease, now, take
from kafka_positions import KafkaPositions, LossesRecorded, LossesRefused
from micro_batch import MicroBatches
from sinks.console import ConsoleSink
from sinks.parquet import ParquetSink
from streamops.errors import LeaseLostError, StateError, StopOrderedError, StreamopsError
from streamops.state import batch_log, crash_loop, drivers, generations, lease, numbered_files, skips, superseded
from streamops.state.drivers import DriverRecord
from streamops.state.generations import Generation
from streamops.state.job_spec import JobSpec
from streamops.state.offsets import Offsets
from streamops.state.superseded import NOTHING, Span, Superseded
from transforms import Batch

log = logging.getLogger("streamops.job")

#: Characters of an error that are kept in the driver's record: Spark's may be pages long.
LONGEST_ERROR = 500

#: What the Python of a driver says whose JVM is gone, whatever it met in consequence.
JVM_GONE = "its JVM was gone: it was killed, or ran out of memory"


def driver_id(session: SparkSession) -> str:
    """The id by which the cluster knows this driver.

    Spark standalone runs a driver in a folder that is named after it; elsewhere the application's id stands for it.
    """
    folder = Path.cwd().name
    return folder if folder.startswith("driver-") else session.sparkContext.applicationId


def has_jvm(gateway: Any) -> bool:
    """Whether the JVM behind py4j's `gateway` answers."""
    try:
        gateway.jvm.java.lang.System.nanoTime()
    except (Py4JError, OSError):
        return False
    return True


class Job:
    """One driver of one pipeline."""

    def __init__(self, session: SparkSession, spec: JobSpec, driver: str) -> None:
        self.session = session
        self.spec = spec
        self.driver = driver
        context = session.sparkContext
        self._hadoop = context._jsc.hadoopConfiguration()
        self.files = HadoopFiles(context._gateway, self._hadoop, spec.state_url)
        self.positions = KafkaPositions(context._jvm, spec.kafka, spec.topics)
        self.record = DriverRecord(self.driver, spec.pipeline, spec.owner, now(), version=spec.version)
        self.held: HeldLease | None = None

    def take_lease(self, on_lost: Callable[[LeaseLostError], None]) -> HeldLease:
        """Say that this driver exists, then take the lease.

        Raises LeaseLostError when another driver lives, StopOrderedError when a person stopped the pipeline.
        """
        self._count_crashes()
        self._write_record()
        self._wait_in_a_loop()
        stop_orders.require_none(self.files, self.driver)
        self.held = take(
            self.files,
            pipeline=self.spec.pipeline,
            driver=self.driver,
            owner=self.spec.owner,
            supersedes=self.spec.supersedes,
            host=socket.gethostname(),
            pid=os.getpid(),
            on_lost=on_lost,
        )
        self.record = replace(self.record, epoch=self.held.epoch)
        self._write_record()
        return self.held

    def _count_crashes(self) -> None:
        """Take over what the record says of this driver's earlier processes, the last of which has died."""
        text = self.files.read(drivers.path(self.driver))
        former = DriverRecord.from_json(text) if text is not None else None
        if former is None or former.stop_kind is not None:
            return
        number = numbered_files.latest(self.files.names(generations.DIRECTORY))
        last = batch_log.read_head(self.files, number) if number is not None else None
        has_progressed = last is not None and last.driver == self.driver and last.finished_at > former.started_at
        self.record = former.relaunched(self.record.started_at, has_progressed=has_progressed)

    def _wait_in_a_loop(self) -> None:
        """Wait, where this driver dies again and again without a batch. Raises StopOrderedError when an order comes."""
        wait_s = crash_loop.wait_s(self.record.crashes, datetime.now(UTC))
        if wait_s:
            log.warning("%d processes of this driver have died; waiting %.0f s", len(self.record.crashes), wait_s)
        deadline = time.monotonic() + wait_s
        while (left_s := deadline - time.monotonic()) > 0:
            stop_orders.require_none(self.files, self.driver)
            time.sleep(min(lease.BEAT_S, left_s))

    def crashed(self, error: BaseException) -> None:
        """Leave the error where on-call and the next process of this driver look."""
        lines = cause(str(error)).strip().splitlines() or [""]
        said = f"{type(error).__name__}: {lines[0]}"[:LONGEST_ERROR]
        self.record = replace(self.record, last_error=said if has_jvm(self.session.sparkContext._gateway) else JVM_GONE)
        self._write_record()

    def obey_orders(self, end: Callable[[StopOrderedError, float | None], None]) -> None:
        """Call `end` once an order to stop comes, with the reason and the seconds that the order gives the driver.

        `end` may wait: it is called in a thread of its own.
        """
        assert self.held is not None
        stop_orders.watch(self.held, lambda order: end(stop_orders.as_error(order, self.driver), order.within_s))

    def generation(self) -> Generation:
        """The current generation; the first one is opened at the pipeline's starting offsets."""
        current = generations.current(self.files)
        if current is None:
            self._require_no_output()
            if self.spec.folder is None:
                wanted = self.spec.starting_offsets
                first = self._open(1, self.positions.starting_at(wanted), f"first start, at {json.dumps(wanted)}")
            else:  # it has no offsets: Spark's checkpoint names the files that were read
                first = self._open(1, {}, f"first start, at {self.spec.folder.path}")
            if first is not None:
                return first
            # Opened by a driver that lost the lease meanwhile, and where it starts, this one goes on.
            current = generations.current(self.files)
        assert current is not None
        self._tell_readers(current)  # whoever opened it may have died before that
        return self._of_this_approach(current)

    def _require_no_output(self) -> None:
        """A first start into output that is there would put other batches in the place of those that count."""
        if there := [name for name in self.files.names(batch_log.OUTPUT) if name.startswith("generation=")]:
            raise StateError(
                f"{self.spec.pipeline} has output ({min(there)}, …) and no generation: its state directory was deleted",
                f"Restore it from a recovery point: streamops offsets restore {self.spec.pipeline} --to-point newest. "
                "Or, to begin anew, move the output away.",
            )

    def next_generation(self, current: Generation, start: Offsets, reason: str) -> Generation:
        """Open the generation after `current`, at `start`, where its batch log ends.

        What a driver that was thought dead yet adds to `current`, or has published and not logged, does not count.
        """
        last = batch_log.read_head(self.files, current.number)
        superseded = current.superseded.adding([Span(current.number, last.batch + 1 if last else 0)])
        following = self._open(current.number + 1, start, reason, superseded)
        if following is None:
            raise StateError(
                f"generation {current.number + 1} was opened by somebody else, and the lease is still ours",
                "Something wrote to the state directory past the lease. Find it before the pipeline goes on.",
            )
        return following

    def _open(
        self, number: int, start: Offsets, reason: str, superseded: Superseded = NOTHING
    ) -> Generation | None:
        """Write a generation down; None when it is there already. Raises LeaseLostError when the lease is not ours."""
        opened = Generation(
            pipeline=self.spec.pipeline,
            number=number,
            approach=self.spec.approach,
            start=start,
            reason=reason,
            opened_at=now(),
            superseded=superseded,
        )
        assert self.held is not None
        self.held.check()
        if not self.files.write_new(generations.path(number), opened.to_json()):
            self.held.check()
            return None
        log.info("opened generation %d at %s: %s", number, start, reason)
        self._tell_readers(opened)
        return opened

    def _tell_readers(self, opened: Generation) -> None:
        """The copy of what is superseded, for whoever reads the output itself."""
        if opened.superseded.spans and self.files.names(batch_log.OUTPUT):
            assert self.held is not None
            self.held.check()
            place = f"{batch_log.OUTPUT}/{superseded.FILE}"
            self.files.replace(place, opened.superseded.to_json(opened.pipeline, opened.number))

    def _of_this_approach(self, generation: Generation) -> Generation:
        """The generation itself, or, where it is of the other approach, the one that goes on where it ends."""
        if generation.approach == self.spec.approach:
            return generation
        start = hand_over.start_after(generation, self.spec, self.files, self.positions)
        reason = f"handed over from {generation.approach} to {self.spec.approach}"
        return self.next_generation(generation, start, reason)

    def micro_batches(self, generation: Generation) -> MicroBatches:
        """What runs the batches of a generation, beginning after the last one that is logged."""
        assert self.held is not None
        spec = self.spec
        last = batch_log.read_head(self.files, generation.number)
        topic = spec.dead_letter_topic if spec.on_bad_record == "dead_letter" else None
        letters = self._dead_letters(topic) if topic is not None else None
        output = HadoopFiles(self.session.sparkContext._gateway, self._hadoop, spec.output_url)
        batches = MicroBatches(
            pipeline=spec.pipeline,
            generation=generation.number,
            driver=self.driver,
            files=self.files,
            held=self.held,
            transform=transforms.load(spec.transform),
            sink=ParquetSink(output, self.held.epoch) if spec.sink == "parquet" else ConsoleSink(),
            bad_records=BadRecords(letters, spec.max_dead_letters),
            losses=LossesRecorded(self.positions) if spec.on_data_loss == "continue" else LossesRefused(),
            last=last,
            allowed=self._allowed,
        )
        if last is not None:
            batches.roll_up_what_is_overdue(last.batch)
        return batches

    def _allowed(self, batch: Batch) -> BadRecords | None:
        """What takes the records of a batch that a person lets go; None where nobody let any go."""
        skip = skips.standing(self.files, batch.generation, batch.number)
        if skip is None:
            return None
        log.warning("of batch %d, %d records may be skipped: so wants %s", batch.number, len(skip.records), skip.by)
        return BadRecords(self._dead_letters(skip.dead_letter_topic), len(skip.records), only=skip.offsets)

    def _dead_letters(self, topic: str) -> DeadLetterTopic:
        return DeadLetterTopic(self.session, self.spec.kafka, topic, self.spec.pipeline)

    def stop(self, stopped: StreamopsError) -> NoReturn:
        """End this driver for good: say why where on-call looks, and exit with 0, on which Spark relaunches nothing."""
        log.error("stopped: %s", stopped)
        self._end(stopped.kind, str(stopped))

    def finish(self, summary: str) -> NoReturn:
        """End this driver because its work is done."""
        self._end(drivers.FINISHED, summary)

    def _end(self, kind: str, reason: str) -> NoReturn:
        self.record = replace(self.record, stopped_at=now(), stop_kind=kind, reason=reason)
        self._write_record()
        if self.held is not None:
            self.held.end()
        self.session.stop()
        sys.exit(0)

    def _write_record(self) -> None:
        self.files.replace(drivers.path(self.driver), self.record.to_json())


def drive(approach: str, work: Callable[[Job], None]) -> None:
    """What an entry point does: read the job spec, start Spark, work, and end for good where that is what is due."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("py4j").setLevel(logging.WARNING)
    spec = read_spec(sys.argv[1:], approach)
    session = SparkSession.builder.appName(f"streamops {spec.pipeline}").getOrCreate()
    job = Job(session, spec, driver_id(session))
    try:
        work(job)
    except StreamopsError as stopped:
        if not stopped.retryable:
            job.stop(stopped)
        _crash(job, stopped)
    except Exception as error:  # noqa: BLE001  whatever it is, another driver may get further
        _crash(job, error)


def _crash(job: Job, error: Exception) -> NoReturn:
    """End Python and the JVM at once, to be relaunched: threads of Spark's would keep a JVM without its job alive."""
    log.exception("the job fails; a supervised driver is started again")
    with suppress(Exception):
        job.crashed(error)
    with suppress(Exception):
        job.session._jvm.java.lang.Runtime.getRuntime().halt(1)
    os._exit(1)


def read_spec(arguments: list[str], approach: str | None = None) -> JobSpec:
    """The job spec of the command line's one argument. Ends the process with exit code 2 on a bad one.

    `approach` is the only one that is taken; None takes any.
    """
    try:
        if len(arguments) != 1:
            raise StreamopsError(f"expected one argument, the job spec as JSON; got {len(arguments)}")
        spec = JobSpec.from_json(arguments[0])
        if approach is not None and spec.approach != approach:
            raise StreamopsError(f"this is the entry point of {approach} pipelines; {spec.pipeline} is {spec.approach}")
    except (StreamopsError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    return spec
