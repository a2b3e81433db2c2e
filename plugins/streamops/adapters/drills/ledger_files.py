"""Ledgers on the disk of whoever runs the drill: below `<home>/drills`, one file a drill."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from streamops.drills import ledger
from streamops.drills.ledger import Ledger
from streamops.errors import ConfigurationError, RefusedError


def path(home: Path, drill: str) -> Path:
    """Where a drill's ledger is."""
    return home / "drills" / f"{drill}.ledger.jsonl"


def read(path: Path) -> Ledger:
    """The ledger in a file, also of a drill that was killed.

    Raises ConfigurationError where there is no such file, StateError where it is no ledger.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            return ledger.read(lines)
    except FileNotFoundError:
        raise ConfigurationError(f"there is no ledger {path}", "Run this on the machine that ran the drill.") from None


class LedgerFile:
    """A ledger that is being written. What is appended has left the process when `append` returns.

    So it outlives a kill of the process; `sync` also puts it on the disk, for the machine's own end.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def create(cls, path: Path, header: str) -> Self:
        """A new ledger. Raises RefusedError where there is one: another drill's records would pass for this one's."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            created = cls(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644))
        except FileExistsError:
            raise RefusedError(f"there is a ledger {path} already", "Give the drill another key.") from None
        created.append(header)
        created.sync()
        return created

    def append(self, text: str) -> None:
        """Write whole lines at the end, past every buffer of this process."""
        data = text.encode()
        while data:
            data = data[os.write(self._descriptor, data) :]

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        self.sync()
        os.close(self._descriptor)
