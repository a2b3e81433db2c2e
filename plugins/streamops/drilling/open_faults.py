"""Faults that are written down before they are inflicted, until they are healed: one file each, on this machine's disk.

    with OpenFaults(home).alone() as journal:     # no other drill is at work here
        for left in journal.left_behind(): …      # what a drill that was killed has left: heal it first
        journal.open(fault); …; journal.close(fault)

On disk and not only in our database, because that may be among what is hit. The lock is the kernel's, which lets go of
it when its process ends, however that ends; so what is found open under it has nobody any more who would heal it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from streamops.drills.faults import OpenFault
from streamops.errors import RefusedError


class OpenFaults:
    """The folder of one backend's open faults, `<home>/drills/open`."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "drills" / "open"
        self._started = home / "drills" / "started"
        self._running = home / "drills" / "running"
        self._lock = home / "drills" / "lock"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock. Raises RefusedError when another drill is at work here."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise RefusedError(
                    f"another drill is at work: {file.read().strip() or 'one that has just begun'}",
                    "Wait for it, or end it (Ctrl-C, or mark its task as failed): it heals what it has inflicted.",
                ) from None
            # A server that this process starts must not keep the lock.
            os.set_inheritable(file.fileno(), False)
            file.truncate(0)
            file.write(f"process {os.getpid()}")
            file.flush()
            yield

    def all(self) -> list[OpenFault]:
        """Every open fault, the last one first: they are healed in the opposite order. Raises StateError."""
        found = [OpenFault.from_json(path.read_text("utf-8")) for path in self._folder.glob("*.json")]
        return sorted(found, key=lambda each: (each.opened_at, each.id), reverse=True)

    def open(self, fault: OpenFault) -> None:
        """Write a fault down, or more about it. It is on the disk when this returns."""
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._path(fault).with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            file.write(fault.to_json())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path(fault))

    def close(self, fault: OpenFault) -> None:
        """It is healed. Safe to repeat."""
        self._path(fault).unlink(missing_ok=True)

    def mark_started(self, pipeline: str) -> None:
        """Write down, before a canary is started, that it is a drill's: whoever comes next stops it."""
        self._started.mkdir(parents=True, exist_ok=True)
        (self._started / pipeline).touch()

    def unmark_started(self, pipeline: str) -> None:
        """It is stopped again. Safe to repeat."""
        (self._started / pipeline).unlink(missing_ok=True)

    def started(self) -> list[str]:
        """Canaries that drills have started and not stopped yet."""
        return sorted(path.name for path in self._started.glob("*"))

    def mark_drill(self, number: int | None) -> None:
        """Which drill of our database goes on; None when it has an end there."""
        if number is None:
            self._running.unlink(missing_ok=True)
        else:
            self._running.write_text(str(number), "utf-8")

    def drill(self) -> int | None:
        """The drill that goes on, or was killed before it had an end."""
        try:
            return int(self._running.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def _path(self, fault: OpenFault) -> Path:
        return self._folder / f"{fault.id}.json"
