"""The end of several growing files, line by line."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

#: Between two looks at files that did not grow.
_PAUSE_S = 0.5


def tail(files: Mapping[str, Path], lines: int, follow: bool) -> Iterator[tuple[str, str]]:
    """The last `lines` of each file as (name, line); with `follow`, then for ever what is added.

    A file that is replaced (a server was started again and its log set aside) is followed from its new beginning.
    """
    positions: dict[str, int] = {}
    for name, path in files.items():
        with path.open("rb") as file:
            for line in deque(file, maxlen=lines):
                yield name, _text(line)
            positions[name] = file.tell()
    while follow:
        grown = False
        for name, path in files.items():
            try:
                with path.open("rb") as file:
                    size = file.seek(0, 2)
                    file.seek(positions[name] if size >= positions[name] else 0)
                    for line in file:
                        if not line.endswith(b"\n"):
                            break  # half written
                        positions[name] = file.tell()
                        grown = True
                        yield name, _text(line)
            except FileNotFoundError:
                positions[name] = 0
        if not grown:
            time.sleep(_PAUSE_S)


def _text(line: bytes) -> str:
    return line.decode("utf-8", errors="replace").rstrip("\n")
