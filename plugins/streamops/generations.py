"""Generations: the life of one checkpoint each, with start offsets that are stated and never guessed.

A generation is one file, `generations/000001.json` below the pipeline's state directory, created once and never
changed. The highest number is the current generation.

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from streamops import numbered_files, stored_json
from streamops.offsets import Offsets, parse_spark_offsets, to_spark_offsets

FORMAT = "streamops.generation/1"
DIRECTORY = "generations"


@dataclass(frozen=True)
class Generation:
    """One life of a checkpoint: where it starts in Kafka, why it was opened and when (UTC, ISO 8601)."""

    pipeline: str
    number: int
    approach: str
    start: Offsets
    reason: str
    opened_at: str

    def to_json(self) -> str:
        return json.dumps({
            "format": FORMAT,
            "pipeline": self.pipeline,
            "generation": self.number,
            "approach": self.approach,
            "start": to_spark_offsets(self.start),
            "reason": self.reason,
            "opened_at": self.opened_at,
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
            )


def path(number: int) -> str:
    """Where a generation is described, below the state directory."""
    return f"{DIRECTORY}/{numbered_files.name(number)}"


def checkpoint_path(number: int) -> str:
    """Where Spark keeps the generation's checkpoint, below the state directory."""
    return f"checkpoint/{number:06d}"
