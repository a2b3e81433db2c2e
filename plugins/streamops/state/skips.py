"""Skips: records of one batch that a person lets go into a dead-letter topic, kept beside the pipeline's data.

One file a skip, `skips/000002.json` below the pipeline's state directory, created once and never changed. The highest
number stands, for its one batch. The driver looks at it when that batch fails, finds the bad records itself, and lets
go only of those that the skip names. One without records withdraws the skip before it.

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from streamops.state import numbered_files, stored_json
from streamops.state.batch_log import Files
from streamops.state.offsets import TopicPartition
from streamops.state.proofs import ProvenRecord

FORMAT = "streamops.skip/1"
DIRECTORY = "skips"


@dataclass(frozen=True)
class Skip:
    """Records of batch `batch` of `generation` that may go to `dead_letter_topic`. `at` is UTC, ISO 8601."""

    pipeline: str
    number: int
    generation: int
    batch: int
    dead_letter_topic: str
    records: tuple[ProvenRecord, ...]
    by: str
    at: str

    @property
    def offsets(self) -> frozenset[tuple[TopicPartition, int]]:
        """The records by their places."""
        return frozenset((each.at, each.offset) for each in self.records)

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Skip:
        """The skip that `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, FORMAT, "a skip") as data:
            return cls(**{**data, "records": tuple(ProvenRecord(**each) for each in data["records"])})


def path(number: int) -> str:
    return f"{DIRECTORY}/{numbered_files.name(number)}"


def newest(files: Files) -> Skip | None:
    """The last skip that anybody gave, for whichever batch. Raises StateError."""
    number = numbered_files.latest(files.names(DIRECTORY))
    text = files.read(path(number)) if number is not None else None
    return Skip.from_json(text) if text is not None else None


def standing(files: Files, generation: int, batch: int) -> Skip | None:
    """The skip that stands for a batch; None where no record of it may be left out. Raises StateError."""
    found = newest(files)
    if found is None or (found.generation, found.batch) != (generation, batch) or not found.records:
        return None
    return found
