"""Generations: the life of one checkpoint each, with start offsets that are stated and never guessed.

A generation is one file, `generations/000001.json` below the pipeline's state directory, created once and never
changed. The highest number is the current generation, and its file says which batches of all earlier ones do not count
any more: a restore comes to be, whole, by the creation of one file.

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from streamops.state import numbered_files, stored_json
from streamops.state.offsets import OffsetRange, Offsets, parse_spark_offsets, to_spark_offsets
from streamops.state.superseded import NOTHING, Superseded

FORMAT = "streamops.generation/1"
DIRECTORY = "generations"


class Files(Protocol):
    """What reading generations needs of a state directory; see batch_log.Files."""

    def read(self, path: str) -> str | None: ...
    def names(self, directory: str) -> list[str]: ...


@dataclass(frozen=True)
class Restored:
    """That a generation was opened by a restore, to `target` in words. The recovery point `undo_point` leads back.

    `undoes` is the number of the restored generation that an undo takes back, None for any other restore. `lost` is
    what retention had taken by then before it was processed.
    """

    target: str
    undo_point: int
    undoes: int | None = None
    lost: tuple[OffsetRange, ...] = ()

    def to_data(self) -> dict[str, Any]:
        return {**asdict(self), "lost": [gone.as_dict() for gone in self.lost]}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Restored:
        """What `to_data` gave; files from before losses were recorded have none."""
        return cls(**{**data, "lost": tuple(map(OffsetRange.from_dict, data.get("lost", ())))})


@dataclass(frozen=True)
class Generation:
    """One life of a checkpoint: where it starts in Kafka, why it was opened and when (UTC, ISO 8601).

    `superseded` are all batches of earlier generations that do not count; what the file of an earlier generation says
    of that is void. `restored` is None for a generation that no restore opened.
    """

    pipeline: str
    number: int
    approach: str
    start: Offsets
    reason: str
    opened_at: str
    superseded: Superseded = NOTHING
    restored: Restored | None = None

    def to_json(self) -> str:
        return json.dumps({
            "format": FORMAT,
            "pipeline": self.pipeline,
            "generation": self.number,
            "approach": self.approach,
            "start": to_spark_offsets(self.start),
            "reason": self.reason,
            "opened_at": self.opened_at,
            "superseded": self.superseded.as_rows(),
            "restored": self.restored and self.restored.to_data(),
        })

    @classmethod
    def from_json(cls, text: str) -> Generation:
        """The generation that `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, FORMAT, "a generation file") as data:
            return cls(
                pipeline=data["pipeline"],
                number=int(data["generation"]),
                approach=data["approach"],
                start=parse_spark_offsets(json.dumps(data["start"])),
                reason=data["reason"],
                opened_at=data["opened_at"],
                # Files from before there were restores have neither.
                superseded=Superseded.from_rows(data.get("superseded", ())),
                restored=Restored.from_data(data["restored"]) if data.get("restored") else None,
            )


def path(number: int) -> str:
    """Where a generation is described, below the state directory."""
    return f"{DIRECTORY}/{numbered_files.name(number)}"


def checkpoint_path(number: int) -> str:
    """Where Spark keeps the generation's checkpoint, below the state directory."""
    return f"checkpoint/{number:06d}"


def read(files: Files, number: int) -> Generation | None:
    """A generation by its number, or None where its file is missing. Raises StateError."""
    text = files.read(path(number))
    return Generation.from_json(text) if text is not None else None


def current(files: Files) -> Generation | None:
    """The current generation, or None before the first start. Raises StateError."""
    number = numbered_files.latest(files.names(DIRECTORY))
    return None if number is None else read(files, number)
