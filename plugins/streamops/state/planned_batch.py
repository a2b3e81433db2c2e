"""Planned batches: which offsets the next batch takes, written down before it runs.

A receiver's driver puts its batches together from what has arrived, so two drivers could make different ones under the
same number. What is planned first, holds: `plans/000001/000000000217.json` is created exclusively, the lease is checked
after that, and only then the batch runs. A driver that takes over finds the plan of a batch that is not logged and runs
just that. (Structured Streaming writes the offsets of a batch into its checkpoint for the same reason.)

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from streamops.state import stored_json
from streamops.state.offsets import OffsetRange, Offsets

FORMAT = "streamops.planned_batch/1"


@dataclass(frozen=True)
class PlannedBatch:
    """One batch before it runs. `ranges` name every partition; `lost` are the parts of them that Kafka has no more."""

    generation: int
    batch: int
    epoch: int
    ranges: tuple[OffsetRange, ...]
    lost: tuple[OffsetRange, ...] = ()

    @property
    def ends(self) -> Offsets:
        """Where each partition stands after the batch."""
        return {taken.topic_partition: taken.until for taken in self.ranges}

    def to_json(self) -> str:
        return json.dumps({
            "format": FORMAT,
            "generation": self.generation,
            "batch": self.batch,
            "epoch": self.epoch,
            "ranges": [taken.as_dict() for taken in self.ranges],
            "lost": [taken.as_dict() for taken in self.lost],
        })

    @classmethod
    def from_json(cls, text: str) -> PlannedBatch:
        """The plan that `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, FORMAT, "a planned batch") as data:
            return cls(
                generation=data["generation"],
                batch=data["batch"],
                epoch=data["epoch"],
                ranges=tuple(map(OffsetRange.from_dict, data["ranges"])),
                lost=tuple(map(OffsetRange.from_dict, data["lost"])),
            )


def path(generation: int, batch: int) -> str:
    """Where a plan is, below the state directory."""
    return f"plans/{generation:06d}/{batch:012d}.json"
