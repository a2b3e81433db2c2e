"""Lines from files and from standard input. Bytes are split at the newline character and nowhere else."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from streamops.errors import ConfigurationError
from streamops.feed import Line, without_newline


def from_files(paths: Sequence[str], repeat: int = 1) -> Iterator[Line]:
    """The lines of files, one after the other; `-` is standard input. `repeat` 0 repeats for ever.

    Raises ConfigurationError at once for what is no file, and for standard input that is to be read twice.
    """
    for path in paths:
        if path == "-" and repeat != 1:
            raise ConfigurationError("standard input cannot be read twice", "Save it to a file, and repeat that.")
        if path != "-" and (not Path(path).exists() or Path(path).is_dir()):
            raise ConfigurationError(f"there is no file {path}", "Name files, or `-` for standard input.")
    return _lines(paths, repeat)


def _lines(paths: Sequence[str], repeat: int) -> Iterator[Line]:
    for _ in itertools.count() if repeat == 0 else range(repeat):
        for path in paths:
            with _opened(path) as file:
                for number, text in enumerate(file, 1):
                    yield Line(without_newline(text), path, number)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(path).open("rb", buffering=1 << 20) as file:
            yield file
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", "Correct its permissions.") from error
