"""The batch log out of the sink: what is left to know when a state directory was deleted, but for its output.

Each folder of the Parquet sink has a label, `_batch.json`, with the rows, ranges and epoch of its batch. Batches
without rows have no folder: what lies between two labels was theirs.

Pure: labels are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streamops.errors import StateError
from streamops.state import stored_json
from streamops.state.batch_log import Entry
from streamops.state.offsets import OffsetRange, Offsets, advance

#: Who wrote an entry that was made up of a label.
DRIVER = "rebuilt-from-the-sink"


@dataclass(frozen=True)
class Label:
    """What the sink says of one batch."""

    batch: int
    rows: int
    epoch: int
    ranges: tuple[OffsetRange, ...]

    @classmethod
    def from_json(cls, batch: int, text: str) -> Label:
        """The label that the sink wrote. Raises StateError on anything else."""
        with stored_json.reading(text, None, f"the label of batch {batch}") as data:
            return cls(batch, int(data["rows"]), int(data["epoch"]), tuple(map(OffsetRange.from_dict, data["ranges"])))


def rebuilt(pipeline: str, generation: int, labels: Iterable[Label], at: str) -> list[Entry]:
    """The log of a generation, as far as labels tell: a batch without one took what lies between its neighbours.

    `at` (UTC, ISO 8601) stands for the times, which no label has. Raises StateError where labels contradict each other.
    """
    entries: list[Entry] = []
    position: Offsets = {}
    for label in sorted(labels, key=lambda each: each.batch):
        if label.batch < len(entries):
            raise StateError(f"generation {generation} has two labels of batch {label.batch}", "Remove one of them.")
        begins = {taken.topic_partition: taken.first for taken in label.ranges}
        while len(entries) < label.batch:
            gap = tuple(OffsetRange(*at_, min(position.get(at_, first), first), first)
                        for at_, first in sorted(begins.items()))
            entries.append(_entry(pipeline, generation, len(entries), gap, 0, label.epoch, None, at))
            position = advance(position, gap)
        if behind := [at_ for at_, first in begins.items() if first < position.get(at_, first)]:
            raise StateError(
                f"batch {label.batch} of generation {generation} begins at offset {begins[behind[0]]} of {behind[0]}, "
                f"and the batch before it ends at {position[behind[0]]}, as their labels in the sink say",
                "Something other than streamops changed the output. Restore it from a copy.",
            )
        position = advance(position, label.ranges)
        entries.append(_entry(pipeline, generation, label.batch, label.ranges, label.rows, label.epoch,
                              f"generation={generation}/batch={label.batch}", at))
    return entries


def _entry(
    pipeline: str, generation: int, batch: int, ranges: tuple[OffsetRange, ...], rows: int, epoch: int,
    output: str | None, at: str,
) -> Entry:
    return Entry(pipeline, generation, batch, ranges, rows, output, epoch, DRIVER, 1, at, at, 0)
