"""What a listing says of one file, folder or link. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is at a path. Links are never followed."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    GROUP = "group"  # no file: a consumer group, which a cleanup takes as it takes files
    OTHER = "other"  # a socket, a pipe, a device


@dataclass(frozen=True, slots=True)
class Seen:
    """One path, relative to the root that was listed, with `/` between parts.

    `size_bytes` is 0 but for files. `modified_ms` is since 1970, by the clock of the file system. `problem` says why a
    folder could not be read.
    """

    path: str
    kind: Kind
    size_bytes: int
    modified_ms: int
    problem: str | None = None
