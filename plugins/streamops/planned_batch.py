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

from streamops.errors import StateError
from streamops.offsets import OffsetRange, Offsets

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
        try:
            data = json.loads(text)
            if data["format"] != FORMAT:
                raise StateError(
                    f"a planned batch says format {data['format']!r}; this version of streamops reads {FORMAT!r}",
                    "Run the version of streamops that wrote it, or a newer one.",
                )
            return cls(
                generation=data["generation"],
                batch=data["batch"],
                epoch=data["epoch"],
                ranges=tuple(map(OffsetRange.from_dict, data["ranges"])),
                lost=tuple(map(OffsetRange.from_dict, data["lost"])),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(
                f"a planned batch cannot be read ({type(error).__name__}: {error}): {text[:200]!r}",
                "It is written whole or not at all, so something else changed it. Restore it from a copy.",
            ) from error


def path(generation: int, batch: int) -> str:
    """Where a plan is, below the state directory."""
    return f"plans/{generation:06d}/{batch:012d}.json"
