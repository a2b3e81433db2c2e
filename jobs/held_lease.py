"""Taking the lease of a pipeline, holding it with beats, and finding out that it is gone."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from hadoop_files import HadoopFiles
from streamops.errors import LeaseLostError
from streamops.state import lease, numbered_files
from streamops.state.lease import Beat, JobState, Lease, Owner

log = logging.getLogger("streamops.lease")


def now() -> str:
    """The time, UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class HeldLease:
    """A lease that this process holds, until another driver takes a higher epoch."""

    def __init__(self, files: HadoopFiles, held: Lease, on_lost: Callable[[LeaseLostError], None]) -> None:
        self.files = files
        self.held = held
        self._on_lost = on_lost
        self._state = JobState.STARTING
        self._batch: int | None = None
        self._beat_lock = threading.Lock()
        self.ended = threading.Event()  # set when the job has ended itself
        self._thread = threading.Thread(target=self._keep_beating, name="lease-beat", daemon=True)
        self._beat()
        self._thread.start()

    @property
    def epoch(self) -> int:
        return self.held.epoch

    def check(self) -> None:
        """Return when this process may commit; raise LeaseLostError when another driver took the lease."""
        if self.files.exists(lease.path(self.epoch + 1)):
            raise self._lost()

    def report(self, state: JobState, batch: int | None = None) -> None:
        """Say what the job does, at once when that is something new."""
        changed = state is not self._state
        self._state = state
        self._batch = self._batch if batch is None else batch
        if changed:
            with _only_a_warning():
                self._beat()

    def end(self) -> None:
        """Stop beating and say that the job ended itself."""
        self.ended.set()
        self._state = JobState.STOPPED
        self._beat()

    def _keep_beating(self) -> None:
        try:
            while not self.ended.wait(lease.BEAT_S):
                with _only_a_warning():
                    self._beat()
                    self.check()
                    self._check_that_it_is_there()
        except LeaseLostError as lost:
            self._on_lost(lost)

    def _check_that_it_is_there(self) -> None:
        """A state directory that was deleted says of no newer driver, and this one would go on for ever."""
        if not self.files.exists(lease.path(self.epoch)):
            raise LeaseLostError(
                f"the lease of {self.held.pipeline} (epoch {self.epoch}) is gone: its state directory was deleted",
                "To go on from a recovery point: streamops offsets restore.",
            )

    def _beat(self) -> None:
        with self._beat_lock:
            beat = Beat(self.epoch, now(), self._state, self._batch)
            self.files.replace(lease.beat_path(self.epoch), beat.to_json())

    def _lost(self) -> LeaseLostError:
        text = self.files.read(lease.path(self.epoch + 1))
        by = Lease.from_json(text) if text else None
        return LeaseLostError(
            f"driver {self.held.driver} lost the lease of {self.held.pipeline} (epoch {self.epoch})"
            + (f" to driver {by.driver}, started by {by.owner}" if by else ""),
            "It commits nothing any more. Nothing is lost: the newer driver goes on from the batch log.",
        )


@contextmanager
def _only_a_warning() -> Iterator[None]:
    """What becomes of a beat that cannot be written: the next one says it, and no batch and no restart fails for it."""
    try:
        yield
    except LeaseLostError:
        raise
    except Exception:
        log.warning("a beat could not be written", exc_info=True)


def take(
    files: HadoopFiles,
    *,
    pipeline: str,
    driver: str,
    owner: Owner,
    supersedes: tuple[str, ...],
    host: str,
    pid: int,
    on_lost: Callable[[LeaseLostError], None],
) -> HeldLease:
    """The lease, when it is free, when its holder may be superseded, or when its holder has gone silent.

    Raises LeaseLostError when another driver holds it and lives.
    """
    while True:
        epoch = numbered_files.latest(files.names(lease.DIRECTORY)) or 0
        if epoch:
            _wait_until_free(files, epoch, driver, supersedes)
        mine = Lease(pipeline, epoch + 1, driver, owner, host, pid, now())
        if files.write_new(lease.path(mine.epoch), mine.to_json()):
            log.info("took the lease of %s, epoch %d", pipeline, mine.epoch)
            return HeldLease(files, mine, on_lost)
        log.info("another driver took epoch %d at the same moment; looking again", mine.epoch)


def _wait_until_free(files: HadoopFiles, epoch: int, driver: str, supersedes: tuple[str, ...]) -> None:
    text = files.read(lease.path(epoch))
    if text is None:
        return
    held = Lease.from_json(text)
    first_seen = files.read(lease.beat_path(epoch))
    reason = lease.may_take_at_once(
        held, Beat.from_json(first_seen) if first_seen else None, driver=driver, supersedes=supersedes
    )
    if reason is not None:
        log.info("taking the lease over: %s", reason)
        return
    log.info("driver %s holds the lease; watching its beat for up to %.0f s", held.driver, lease.TTL_S)
    deadline = time.monotonic() + lease.TTL_S
    while time.monotonic() < deadline:
        if files.exists(lease.path(epoch + 1)):
            return
        if files.read(lease.beat_path(epoch)) != first_seen:
            raise LeaseLostError(
                f"driver {held.driver}, started by {held.owner} at {held.taken_at}, holds the lease of "
                f"{held.pipeline} (epoch {epoch}) and lives",
                f"Two drivers must never write for one pipeline. Stop that one first, or leave it: "
                f"streamops status {held.pipeline}",
            )
        time.sleep(0.5)
    log.info("driver %s has been silent for %.0f s; taking the lease over", held.driver, lease.TTL_S)
