"""What a cleanup took out of a state directory, as it is written down before it is taken. Pure.

One run of a cleanup has one folder below the state directory, named by the number of its lock:

    .quarantine/000007/000000.jsonl        the intent: what is about to be moved, a line each, 500 at most
    .quarantine/000007/000000.done.json    all of it was tried: what is in `files` is what was moved
    .quarantine/000007/files/checkpoint/…  what was moved, under the path that it had

An intent is written before the first of its moves. So everything in quarantine says where it came from, and an intent
without its `done` is all that a run which was killed can leave half done.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from streamops.cleaning.seen import Kind
from streamops.state import stored_json

FORMAT = "streamops.quarantine/1"
DIRECTORY = ".quarantine"
FILES = "files"

#: Moves of one intent: a run that was killed leaves at most so many to look at.
MOST_MOVES = 500

_INTENT, _DONE = ".jsonl", ".done.json"


@dataclass(frozen=True)
class Taken:
    """One file or folder that goes, or something that is no file, with what brings it back as `undo`.

    `size_bytes` and `modified_ms` are what the plan saw: of a folder all that it holds, summed, and the newest of it.
    `files` is how many files that are, 1 for a file.
    """

    path: str
    kind: Kind
    size_bytes: int
    modified_ms: int
    rule: str
    proof: str
    files: int = 1
    undo: str | None = None

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Taken:
        return cls(**{**data, "kind": Kind(data["kind"])})


@dataclass(frozen=True)
class Intent:
    """Moves that one run is about to make. `at` is UTC, ISO 8601; `of` names the pipeline, or what was one."""

    of: str
    run: int
    number: int
    at: str
    moves: tuple[Taken, ...]

    @property
    def at_ms(self) -> int:
        return round(datetime.fromisoformat(self.at).timestamp() * 1000)

    def to_text(self) -> str:
        """A line for the intent, then one a move."""
        head = {"format": FORMAT, "of": self.of, "run": self.run, "number": self.number, "at": self.at}
        return "".join(f"{json.dumps(line)}\n" for line in (head, *map(asdict, self.moves)))

    @classmethod
    def from_text(cls, text: str) -> Intent:
        """The intent that `to_text` wrote. Raises StateError on anything else."""
        first, *rest = text.splitlines() or [""]
        with stored_json.reading(first, FORMAT, "an intent of a cleanup") as head:
            moves = []
            for line in rest:
                with stored_json.reading(line, None, "a move of a cleanup") as data:
                    moves.append(Taken.from_data(data))
            return cls(head["of"], head["run"], head["number"], head["at"], tuple(moves))


def run_path(run: int) -> str:
    return f"{DIRECTORY}/{run:06d}"


def intent_path(run: int, number: int) -> str:
    return f"{run_path(run)}/{number:06d}{_INTENT}"


def done_path(run: int, number: int) -> str:
    return f"{run_path(run)}/{number:06d}{_DONE}"


def files_path(run: int) -> str:
    return f"{run_path(run)}/{FILES}"


def held_path(run: int, path: str) -> str:
    """Where something is that was at `path`."""
    return f"{files_path(run)}/{path}"


def intents(names: Iterable[str]) -> list[int]:
    """The numbers of the intents among the names in a run's folder, in order."""
    return sorted(int(name.removesuffix(_INTENT)) for name in names
                  if name.endswith(_INTENT) and name.removesuffix(_INTENT).isdigit())


def unfinished(names: Iterable[str]) -> list[int]:
    """Those of them whose run was killed before it had tried every move."""
    known = set(names)
    return [number for number in intents(known) if f"{number:06d}{_DONE}" not in known]


def runs(names: Iterable[str]) -> list[int]:
    """The numbers of the runs among the names in the quarantine, in order."""
    return sorted(int(name) for name in names if len(name) >= 6 and name.isdigit())
