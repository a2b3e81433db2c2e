"""Log files that grow, are rotated and disappear, as one endless stream of lines.

A file is known by its inode: renamed by a rotation it is read on to its end under its new name, and the new file in
its place is read from its start. A file that shrinks was emptied in place, and is read from its start again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from streamops.feed import Line

#: What servers write text to, rotated or not. Kafka names its segments `.log` too, after their first offset.
_TEXT_LOG = re.compile(r"(\.log|\.out|\.err|^stdout|^stderr)(\.\d+)?$")
_KAFKA_SEGMENT = re.compile(r"^\d{20}\.log$")

#: Bytes taken from one file before the next one has its turn, so that a long log does not keep the others waiting.
_TURN_BYTES = 1 << 18

#: Files held open at most. Beyond it new ones wait: the usual limit of a process is 1024 files.
_MOST_FILES = 500


@dataclass
class _Tail:
    """One open file, and what was read of a line whose end is not written yet."""

    source: str
    file: BinaryIO
    number: int = 0
    begun: bytes = b""

    def lines(self) -> Iterator[Line]:
        """Lines completed since the last time."""
        if os.fstat(self.file.fileno()).st_size < self.file.tell():
            self.file.seek(0)
            self.begun = b""
        whole, newline, self.begun = (self.begun + self.file.read(_TURN_BYTES)).rpartition(b"\n")
        if newline:
            for text in whole.split(b"\n"):
                self.number += 1
                yield Line(text, self.source, self.number)

    def at_end(self) -> bool:
        return self.file.tell() >= os.fstat(self.file.fileno()).st_size


class LogFollower:
    """Follows every text log below some directories, from its first line, as files come and go."""

    def __init__(self, *directories: Path) -> None:
        self._directories = directories
        self._tails: dict[tuple[int, int], _Tail] = {}

    def lines(self) -> Iterator[Line | None]:
        """Lines without end; None whenever every file was read to its end, so that the reader can wait."""
        while True:
            self._look()
            busy = False
            for tail in list(self._tails.values()):
                for line in tail.lines():
                    busy = True
                    yield line
            if not busy:
                yield None

    def close(self) -> None:
        for tail in self._tails.values():
            tail.file.close()
        self._tails.clear()

    def _look(self) -> None:
        """Open files that are new, and let go of files that are gone and read to their end."""
        present = dict(self._present())
        for inode, path in present.items():
            if inode not in self._tails and len(self._tails) < _MOST_FILES:
                try:
                    file = path.open("rb", buffering=0)
                except OSError:  # gone again, or not ours to read
                    continue
                opened = os.fstat(file.fileno())
                self._tails[opened.st_dev, opened.st_ino] = _Tail(str(path), file)
        for inode in self._tails.keys() - present.keys():
            if self._tails[inode].at_end():
                self._tails.pop(inode).file.close()

    def _present(self) -> Iterator[tuple[tuple[int, int], Path]]:
        for directory in self._directories:
            for folder, _, names in os.walk(directory):
                for name in names:
                    if _TEXT_LOG.search(name) and not _KAFKA_SEGMENT.match(name):
                        path = Path(folder, name)
                        try:
                            found = path.stat(follow_symlinks=False)
                        except OSError:
                            continue
                        if not path.is_symlink():
                            yield (found.st_dev, found.st_ino), path
