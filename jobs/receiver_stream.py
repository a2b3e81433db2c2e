"""Entry point of the receiver approach: receivers in executors read Kafka by its consumer-group API.

    spark-submit … receiver_stream.py JOB_SPEC_JSON

What a receiver has stored is in Spark's write-ahead log before its offset is committed, and at the next start it comes
first. Exit codes are those of direct_stream.py.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.java_gateway import ensure_callback_server_started

import restarts
from bad_records import cause
from job import Job, drive
from received_batches import ReceivedBatches
from streamops.errors import ConfigurationError, StateError, StreamopsError, UnavailableError
from streamops.state import generations
from streamops.state.lease import JobState
from streamops.state.offsets import to_spark_offsets

if TYPE_CHECKING:
    from hadoop_files import HadoopFiles
    from held_lease import HeldLease
    from streamops.state.job_spec import ReceiverSpec

log = logging.getLogger("streamops.receiver")

#: Says which Spark wrote a directory's write-ahead logs, and in which format chunks are in them.
WRITTEN_BY = "written_by.json"
#: The most records of one poll. Each poll becomes a block; at 100 bytes a record that is 2 MB.
POLL_RECORDS = 20_000
#: Records of earlier receivers that are processed while new ones start: seconds' worth. For more, these would store all
#: the while, and nobody would take it.
MOST_MEANWHILE = 200_000
#: Seconds between two looks at whether Spark still runs the receivers.
LOOK_EVERY_S = 1.0
#: Seconds that a batch has to end in when its receivers are stopped. Its Spark jobs are cancelled; the team's own code
#: in the driver is what may take time.
BATCH_ENDS_WITHIN_S = 60.0
#: Seconds that a driver takes to end once its receivers have nothing left to process.
ENDS_IN_S = 5.0


class Receiving:
    """Receivers from their start to their end. What Java calls is called in threads of its own."""

    def __init__(self, batches: ReceivedBatches, held: HeldLease, receivers: int) -> None:
        self._batches = batches
        self._held = held
        self._receivers = receivers
        self._over = threading.Event()
        self._batch = threading.Lock()
        self.error: BaseException | None = None
        self.was_ended = False

    def run(self, received: Any) -> bool:
        """Process what was received in one or more intervals; False when that failed, and then for good."""
        with self._batch:
            return self._run(received)

    def _run(self, received: Any) -> bool:
        if self._over.is_set():
            return False
        try:
            ready = received.receivers() == self._receivers
            # The first batch of a generation may be empty. It says that the job works, so it waits for the receivers.
            if (ready or received.chunks()) and self._batches.take(received) is None and ready:
                self._held.report(JobState.IDLE)
        except BaseException as error:  # noqa: BLE001  the thread that waits for it decides
            self.fail(error)
            return False
        return True

    def failed(self, reason: str) -> None:
        """A receiver says that going on is pointless."""
        text = reason.strip()
        if "TopicMadeAgain" in text:
            self.fail(StateError(text, "What is in the new topic was never read. Open a new generation in it."))
        else:
            self.fail(ConfigurationError(
                f"a receiver cannot read Kafka: {text}",
                "Correct the topics, the Kafka connection or its rights, then start the job again.",
            ))

    def ended(self) -> None:
        """The process was told to end, and what could be processed is."""
        self.was_ended = True
        self._held.end()
        self._over.set()

    def fail(self, error: BaseException) -> None:
        self.error = self.error or error
        self._over.set()

    def wait(self, is_active: Any) -> None:
        """Return when it is over. Raises what went wrong."""
        while not self._over.wait(LOOK_EVERY_S):
            if not is_active():
                self.fail(UnavailableError("Spark has stopped the receivers", "See the log of the driver."))
        if self.error is not None:
            raise self.error

    def no_more_batches(self) -> bool:
        """Wait for the batch that runs when it is over. False when it does not end, and so may still be logged."""
        self._over.set()
        is_free = self._batch.acquire(timeout=BATCH_ENDS_WITHIN_S)
        if is_free:
            self._batch.release()
        return is_free

    class Java:
        implements = ("org.apache.spark.streaming.streamops.BatchHandler",)


class ReceiverStream:
    """The receivers of one driver, started again in the same process when a server was away."""

    def __init__(self, job: Job) -> None:
        assert job.spec.receiver is not None
        self._job = job
        self._spec: ReceiverSpec = job.spec.receiver
        self._stop: StreamopsError | None = None
        self._receiving: Receiving | None = None
        self._streaming: Any = None  # what Spark runs of it, while it does
        self._gateway: Any = job.session.sparkContext._gateway
        self._jvm: Any = job.session._jvm.org.apache.spark.streaming.streamops

    def run(self) -> None:
        """Run until the job must end, and return when the process was told to. Raises what says why it must."""
        held = self._job.take_lease(self.stop_with)
        self._job.obey_orders(self.end_when_processed)
        batches = ReceivedBatches(self._job, self._job.generation())
        ensure_callback_server_started(self._gateway)
        attempt = 0
        while True:
            attempt += 1
            try:
                batches, left = self._left_behind(batches)
                self._receive(batches, held, attempt, left)
                return
            except (PySparkException, Py4JError, UnavailableError) as error:
                if self._stop is not None:
                    raise self._stop from None
                if self._job.session.sparkContext._jsc.sc().isStopped():
                    raise
                restarts.wait(batches.batches, held, error)

    def stop_with(self, reason: StreamopsError) -> None:
        """Remember why the job ends, and end the receivers. For any thread."""
        self._stop = self._stop or reason
        if self._receiving is not None:
            self._receiving.fail(reason)

    def end_when_processed(self, reason: StreamopsError, within_s: float | None) -> None:
        """As `stop_with`, but what was received is processed first.

        For up to `within_s`, less the time that the rest of the end takes, or else for the pipeline's `stop_within_s`.
        """
        limit_s = self._spec.stop_within_s if within_s is None else max(0.0, within_s - ENDS_IN_S)
        try:
            if self._streaming is not None and not self._streaming.drain(round(limit_s)):
                log.warning("not all that was received is processed; what is left comes first at the next start")
        except Py4JError:
            log.warning("the end was not graceful", exc_info=True)
        finally:
            self.stop_with(reason)

    def _receive(self, batches: ReceivedBatches, held: HeldLease, attempt: int, left: LeftBehind) -> None:
        """Start receivers in a group and a directory of their own: no driver that was thought dead is in either.

        They begin where the pipeline will stand when what is `left` is processed, and start while it is. Should it then
        stand before that, the first batch shows a gap, and they start again.
        """
        start = batches.stands_after(left.recovered) if left.recovered.records() <= MOST_MEANWHILE else None
        if start is None:
            left.process(batches)
            start = batches.processed
        spec, generation = self._job.spec, batches.generation.number
        part = f"{held.epoch:06d}-{attempt:03d}"
        directory = f"{generations.checkpoint_path(generation)}/{part}"
        if self._spec.write_ahead_log:
            self._job.files.replace(f"{directory}/{WRITTEN_BY}", json.dumps(self._format()))
        group = f"{self._spec.consumer_group}.{generation}.{held.epoch}.{attempt}"
        settings = self._jvm.ReceiverSettings.of(
            list(spec.topics),
            {**spec.kafka, "group.id": group},
            {str(at): offset for at, offset in start.items()},
            POLL_RECORDS,
            group,
            uuid.uuid4().hex,
        )
        receiving = self._receiving = Receiving(batches, held, self._spec.receivers)
        streaming = self._jvm.KafkaStreaming(
            self._job.session._jsparkSession,
            f"{spec.state_url}/{directory}",
            round(spec.interval_s * 1000),
            self._spec.receivers,
            settings,
            round(self._spec.stop_within_s),
            receiving,
        )
        if self._stop is not None:
            raise self._stop
        try:
            with _starting(streaming):
                left.process(batches)
            streaming.open()
            self._streaming = streaming
            receiving.wait(streaming.isActive)
        finally:
            self._streaming = None
            if not receiving.was_ended and not (streaming.stop() and receiving.no_more_batches()):
                raise NotStoppedError("Spark could not stop the receivers and their batch in this process")

    def _left_behind(self, batches: ReceivedBatches) -> tuple[ReceivedBatches, LeftBehind]:
        """What earlier receivers stored, and the batches that go on from there.

        Logs of another Spark cannot be read: what is in them is read from Kafka again, in a new generation.
        """
        place = generations.checkpoint_path(batches.generation.number)
        directories = [f"{place}/{name}" for name in sorted(self._job.files.names(place))]
        written = {directory: self._job.files.read(f"{directory}/{WRITTEN_BY}") for directory in directories}
        readable = self._format()
        ours = [directory for directory in directories if _is(written[directory], readable)]
        for directory in ours:
            self._job.files.close_abandoned(directory)
        left = LeftBehind(self._job.files, ours, self._recovered(ours, batches))
        if strange := [directory for directory in directories if directory not in ours]:
            left.process(batches)
            batches = self._new_generation(batches, strange[-1], written[strange[-1]])
            left = LeftBehind(self._job.files, [], self._recovered([], batches))
        return batches, left

    def _recovered(self, directories: list[str], batches: ReceivedBatches) -> Any:
        context = self._job.session.sparkContext._jsc.sc()
        urls = [f"{self._job.spec.state_url}/{each}" for each in directories]
        return self._jvm.RecoveredBlocks.read(context, urls, json.dumps(to_spark_offsets(batches.processed)))

    def _new_generation(self, batches: ReceivedBatches, directory: str, by: str | None) -> ReceivedBatches:
        reason = (
            f"the write-ahead log in {directory} was written by {by or 'an unknown version'}, and this is "
            f"{json.dumps(self._format())}: what it holds is read from Kafka again, from the batch log's head on"
        )
        log.warning("opening a new generation: %s", reason)
        return ReceivedBatches(self._job, self._job.next_generation(batches.generation, batches.processed, reason))

    def _format(self) -> dict[str, Any]:
        return {"spark": self._job.session.version, "chunks": self._jvm.Chunk.Format()}


class LeftBehind:
    """What receivers of earlier starts stored, and their directories."""

    def __init__(self, files: HadoopFiles, directories: list[str], recovered: Any) -> None:
        self._files = files
        self._directories = directories
        self._is_processed = False
        self.recovered = recovered

    def process(self, batches: ReceivedBatches) -> None:
        """Finish the batch that is planned, process what else is new, then remove the directories; all of it once."""
        if self._is_processed:
            return
        batches.finish_planned(self.recovered)
        if self.recovered.chunks():
            batches.take(self.recovered, recovered=True)
        for directory in self._directories:
            self._files.delete(directory)
        self._is_processed = True


class NotStartedError(Exception):
    """Spark could not start the receivers. It leaves parts behind that stand in the way of another try in this JVM."""


class NotStoppedError(Exception):
    """Receivers or a batch of theirs go on. Only the end of the process stops them."""


@contextmanager
def _starting(streaming: Any) -> Iterator[None]:
    """Receivers start meanwhile: for most of that time Spark and Kafka wait for each other. Raises NotStartedError."""
    failed: list[NotStartedError] = []

    def start() -> None:
        try:
            streaming.start()
        except Py4JError as error:
            failed.append(NotStartedError(cause(str(error))))

    thread = threading.Thread(target=start, name="start-receivers")
    thread.start()
    try:
        yield
    finally:
        thread.join()
        if failed:
            raise failed[0]


def _is(text: str | None, expected: dict[str, Any]) -> bool:
    try:
        return text is not None and json.loads(text) == expected
    except ValueError:
        return False


if __name__ == "__main__":
    drive("receiver", lambda job: ReceiverStream(job).run())
