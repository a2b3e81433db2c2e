"""Who cleans a state directory: one at a time, and the next one when that one was killed.

    with held(files, "lines", say) as lock:      # .quarantine/lock/000007.json
        lock.check()                             # before each step that changes something

It works as the lease of a driver does and is another one: a cleanup never stops a driver. Whether a holder lives is
seen by its beat; on the holder's own machine, by its process, which costs no waiting.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import psutil

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.pipelines.action_lease import now
from streamops.cleaning.quarantined import DIRECTORY
from streamops.errors import RefusedError, StreamopsError
from streamops.state import numbered_files, stored_json
from streamops.state.lease import BEAT_S, TTL_S

FORMAT = "streamops.cleaning/1"
PLACE = f"{DIRECTORY}/lock"

_BEAT = ".beat.json"
_POLL_S = 0.5


class CleaningLock:
    """A lock that this process holds until the end of its block, or until somebody takes the next number."""

    def __init__(self, files: StateFiles, of: str, number: int) -> None:
        self._files = files
        self._of = of
        self.number = number
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, name="cleaning-beat", daemon=True)

    def check(self) -> None:
        """Return when nobody else cleans; raise RefusedError when somebody took the lock meanwhile."""
        if self._files.exists(_path(self.number + 1)) or not self._files.exists(_path(self.number)):
            raise RefusedError(
                f"another cleanup of {self._of} has taken over: this one showed no life for {TTL_S:.0f} s",
                "What this one did is done, and the other goes on. Nothing is to be repaired.",
            )

    def begin(self) -> None:
        self._beat(ended=False)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        self._beat(ended=True)
        for name in self._files.names(PLACE):
            if name.split(".", 1)[0].isdigit() and int(name.split(".", 1)[0]) < self.number:
                self._files.delete(f"{PLACE}/{name}")

    def _keep_beating(self) -> None:
        while not self._ended.wait(BEAT_S):
            with contextlib.suppress(StreamopsError):  # the next one says it; `check` finds out when none does
                self._beat(ended=False)

    def _beat(self, *, ended: bool) -> None:
        self._files.replace(f"{PLACE}/{self.number:06d}{_BEAT}", json.dumps({"at": now(), "ended": ended}))


@contextlib.contextmanager
def held(files: StateFiles, of: str, say: Callable[[str], object]) -> Iterator[CleaningLock]:
    """The lock of a state directory. Raises RefusedError while another cleanup holds it."""
    latest = numbered_files.latest(files.names(PLACE)) or 0
    if latest:
        _require_ended(files, of, latest, say)
    number = latest + 1
    mine = {"format": FORMAT, "of": of, "host": socket.gethostname(), "pid": os.getpid(),
            "process_began_s": psutil.Process().create_time(), "taken_at": now()}
    if not files.write_new(_path(number), json.dumps(mine)):
        raise RefusedError(f"another cleanup of {of} began in this moment",
                           "Nothing was changed. Wait until it has ended, then try again.")
    lock = CleaningLock(files, of, number)
    lock.begin()
    try:
        yield lock
    finally:
        with contextlib.suppress(StreamopsError):  # the next one then watches the beat
            lock.end()


def _require_ended(files: StateFiles, of: str, number: int, say: Callable[[str], object]) -> None:
    """Return when the holder has ended or is dead."""
    beat = f"{PLACE}/{number:06d}{_BEAT}"
    first = files.read(beat)
    if first is not None and json.loads(first).get("ended"):
        return
    text = files.read(_path(number))
    if text is None:
        return
    with stored_json.reading(text, FORMAT, "the lock of a cleanup") as holder:
        lives = _lives(holder["host"], holder["pid"], holder["process_began_s"])
        words = f"process {holder['pid']} on {holder['host']}, since {holder['taken_at']}"
    if lives is False:
        say(f"an earlier cleanup of {of} was killed ({words}); this one takes over")
        return
    say(f"watching for {TTL_S:.0f} s whether another cleanup of {of} still works ({words})")
    deadline_s = time.monotonic() + TTL_S
    while time.monotonic() < deadline_s:
        last = files.read(beat)
        if last != first and not (last is not None and json.loads(last).get("ended")):
            raise RefusedError(f"another cleanup of {of} works: {words}",
                               "Two at once would judge by what the other changes. Wait until it has ended.")
        if last != first:
            return
        time.sleep(_POLL_S)


def _lives(host: str, pid: int, began_s: float) -> bool | None:
    """Whether a process of this machine is still there; None for one of another machine."""
    if host != socket.gethostname():
        return None
    try:
        # Its number may be another process's by now; no two of them began at the same hundredth of a second.
        return abs(psutil.Process(pid).create_time() - began_s) < 0.01
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return None


def _path(number: int) -> str:
    return f"{PLACE}/{numbered_files.name(number)}"
