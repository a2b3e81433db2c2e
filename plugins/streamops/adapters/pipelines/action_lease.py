"""The lease of a pipeline, held by an action that is no driver: a restore.

    with held(files, "orders", "restore", owner, after=7) as lease:    # epoch 8
        lease.check()                                                  # before each step that changes something
        lease.done(RESTORED, "restored to point 12")

While it is held, a driver that starts finds it taken and stops; one that had it before stops at its next commit. It
beats as a driver does: when this process is killed, the next driver takes the lease after `TTL_S` seconds of silence.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from streamops.adapters.files.state_files import StateFiles
from streamops.errors import RefusedError, StreamopsError
from streamops.state import drivers, lease
from streamops.state.drivers import DriverRecord
from streamops.state.lease import BEAT_S, Beat, JobState, Lease, Owner


def now() -> str:
    """The time, UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class ActionLease:
    """A lease that this process holds until it says so, or until somebody takes a higher epoch."""

    def __init__(self, files: StateFiles, mine: Lease) -> None:
        self._files = files
        self._mine = mine
        self._ended = threading.Event()
        self._record = DriverRecord(mine.driver, mine.pipeline, mine.owner, mine.taken_at, mine.epoch)
        self._thread = threading.Thread(target=self._keep_beating, name="restore-beat", daemon=True)

    @property
    def epoch(self) -> int:
        return self._mine.epoch

    def begin(self) -> None:
        """Show life, and leave a record."""
        self._beat(JobState.RESTORING)
        self._write_record()
        self._thread.start()

    def check(self) -> None:
        """Return when nothing else may write; raise RefusedError when somebody took the lease."""
        if self._files.exists(lease.path(self.epoch + 1)) or not self._files.exists(lease.path(self.epoch)):
            raise RefusedError(
                f"somebody took the lease of {self._mine.pipeline} from this restore (epoch {self.epoch})",
                "See who that is (streamops status), and restore again.",
            )

    def done(self, kind: str, reason: str) -> None:
        """What the record says of how it ended."""
        self._record = replace(self._record, stop_kind=kind, reason=reason)

    def end(self) -> None:
        """Give the lease up: whoever comes next need not wait."""
        self._ended.set()
        self._thread.join()
        self._record = replace(self._record, stopped_at=now())
        self._write_record()
        self._beat(JobState.STOPPED)

    def _keep_beating(self) -> None:
        while not self._ended.wait(BEAT_S):
            try:
                self._beat(JobState.RESTORING)
            except StreamopsError:
                continue  # the next one says it; when none does, the lease is taken, and `check` finds that out

    def _beat(self, state: JobState) -> None:
        self._files.replace(lease.beat_path(self.epoch), Beat(self.epoch, now(), state).to_json())

    def _write_record(self) -> None:
        self._files.replace(drivers.path(self._mine.driver), self._record.to_json())


@contextmanager
def held(files: StateFiles, pipeline: str, what: str, owner: Owner, *, after: int) -> Iterator[ActionLease]:
    """The lease of the epoch `after` + 1, to the end of the block.

    Raises RefusedError when somebody took that epoch since `after` was the newest.
    """
    driver = f"{what}-{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(2)}"
    mine = Lease(pipeline, after + 1, driver, owner, socket.gethostname(), os.getpid(), now())
    if not files.write_new(lease.path(mine.epoch), mine.to_json()):
        raise RefusedError(
            f"somebody took the lease of {pipeline} in this moment (epoch {mine.epoch})",
            "Nothing was changed. See who that is (streamops status), and try again.",
        )
    action = ActionLease(files, mine)
    action.begin()
    try:
        yield action
    except BaseException as error:
        action.done(getattr(error, "kind", "error"), f"the {what} was not done: {str(error)[:500]}")
        raise
    finally:
        action.end()
