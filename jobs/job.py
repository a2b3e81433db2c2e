"""The life of a driver: who it is, the lease it takes, the generation it goes on with, and how it ends.

What the entry points share; none of them is named here.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from pyspark.sql import SparkSession

import transforms
from bad_records import BadRecords
from dead_letters import DeadLetterTopic
from hadoop_files import HadoopFiles
from held_lease import HeldLease, now, take
from kafka_positions import KafkaPositions, LossesRecorded, LossesRefused
from micro_batch import MicroBatches
from sinks.console import ConsoleSink
from sinks.parquet import ParquetSink
from streamops import batch_log, drivers, generations, numbered_files
from streamops.drivers import DriverRecord
from streamops.errors import ConfigurationError, LeaseLostError, StateError, StreamopsError
from streamops.generations import Generation
from streamops.job_spec import JobSpec
from streamops.offsets import Offsets

log = logging.getLogger("streamops.job")


def driver_id(session: SparkSession) -> str:
    """The id by which the cluster knows this driver.

    Spark standalone runs a driver in a folder that is named after it; elsewhere the application's id stands for it.
    """
    folder = Path.cwd().name
    return folder if folder.startswith("driver-") else session.sparkContext.applicationId


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
        self.record = DriverRecord(self.driver, spec.pipeline, spec.owner, now())
        self.held: HeldLease | None = None

    def take_lease(self, on_lost: Callable[[LeaseLostError], None]) -> HeldLease:
        """Say that this driver exists, then take the lease. Raises LeaseLostError when another driver lives."""
        self._write_record()
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

    def generation(self) -> Generation:
        """The current generation; the first one is opened at the pipeline's starting offsets."""
        number = numbered_files.latest(self.files.names(generations.DIRECTORY))
        if number is None:
            if self.spec.folder is None:
                wanted = self.spec.starting_offsets
                first = self._open(1, self.positions.starting_at(wanted), f"first start, at {json.dumps(wanted)}")
            else:  # it has no offsets: Spark's checkpoint names the files that were read
                first = self._open(1, {}, f"first start, at {self.spec.folder.path}")
            if first is not None:
                return first
            number = 1  # opened by a driver that lost the lease meanwhile, and where it starts, this one goes on
        text = self.files.read(generations.path(number))
        assert text is not None
        return self._of_this_approach(Generation.from_json(text))

    def next_generation(self, current: Generation, start: Offsets, reason: str) -> Generation:
        """Open the generation after `current`, at `start`. Nothing of `current` may be planned and not logged."""
        following = self._open(current.number + 1, start, reason)
        if following is None:
            raise StateError(
                f"generation {current.number + 1} was opened by somebody else, and the lease is still ours",
                "Something wrote to the state directory past the lease. Find it before the pipeline goes on.",
            )
        return following

    def _open(self, number: int, start: Offsets, reason: str) -> Generation | None:
        """Write a generation down; None when it is there already. Raises LeaseLostError when the lease is not ours."""
        opened = Generation(
            pipeline=self.spec.pipeline,
            number=number,
            approach=self.spec.approach,
            start=start,
            reason=reason,
            opened_at=now(),
        )
        assert self.held is not None
        self.held.check()
        if not self.files.write_new(generations.path(number), opened.to_json()):
            self.held.check()
            return None
        log.info("opened generation %d at %s: %s", number, start, reason)
        return opened

    def _of_this_approach(self, generation: Generation) -> Generation:
        if generation.approach != self.spec.approach:
            raise ConfigurationError(
                f"{self.spec.pipeline} is a {self.spec.approach} pipeline now, and generation {generation.number} of "
                f"its state directory belongs to a {generation.approach} pipeline",
                f"Make it a {generation.approach} pipeline again, or give it another name and, for topics, as "
                "`starting_offsets` the offsets of the batch log's last entry (`streamops batches`).",
            )
        return generation

    def micro_batches(self, generation: Generation) -> MicroBatches:
        """What runs the batches of a generation, beginning after the last one that is logged."""
        assert self.held is not None
        spec = self.spec
        last = batch_log.read_head(self.files, generation.number)
        letters = (
            DeadLetterTopic(self.session, spec.kafka, spec.dead_letter_topic, spec.pipeline)
            if spec.on_bad_record == "dead_letter" and spec.dead_letter_topic
            else None
        )
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
        )
        if last is not None:
            batches.roll_up_what_is_overdue(last.batch)
        return batches

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
        _crash(session)
    except Exception:  # noqa: BLE001  whatever it is, another driver may get further
        _crash(session)


def _crash(session: SparkSession) -> NoReturn:
    """End Python and the JVM at once, to be relaunched: threads of Spark's would keep a JVM without its job alive."""
    log.exception("the job fails; a supervised driver is started again")
    with suppress(Exception):
        session._jvm.java.lang.Runtime.getRuntime().halt(1)
    os._exit(1)


def read_spec(arguments: list[str], approach: str) -> JobSpec:
    """The job spec of the command line's one argument. Ends the process with exit code 2 on a bad one."""
    try:
        if len(arguments) != 1:
            raise StreamopsError(f"expected one argument, the job spec as JSON; got {len(arguments)}")
        spec = JobSpec.from_json(arguments[0])
        if spec.approach != approach:
            raise StreamopsError(f"this is the entry point of {approach} pipelines; {spec.pipeline} is {spec.approach}")
    except (StreamopsError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    return spec
