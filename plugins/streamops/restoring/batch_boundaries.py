"""Whether a start lies between two batches: which batches of the output it leaves behind, and which it cuts in two.

Pure: the batch log's entries are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from streamops.state.batch_log import Entry
from streamops.state.offsets import OffsetRange, TopicPartition


@dataclass(frozen=True)
class Overlap:
    """A batch that lies on both sides of the start: its records in `doubled` will be in the sink a second time."""

    generation: int
    batch: int
    doubled: tuple[OffsetRange, ...]

    def __str__(self) -> str:
        ranges = ", ".join(f"{each.topic_partition} from offset {each.first}" for each in self.doubled)
        return (f"batch {self.batch} of generation {self.generation} stays, and holds {ranges} a second time: "
                "whoever reads the output leaves those rows of it out, or counts them twice")


@dataclass(frozen=True)
class Boundaries:
    """Which batches a start leaves behind: (generation, batch), oldest first.

    Those that are `superseded` hold only records that will be processed again, so readers leave them out. Without
    `overlaps` the start is a batch boundary, and the output is exact.
    """

    superseded: tuple[tuple[int, int], ...] = ()
    overlaps: tuple[Overlap, ...] = ()

    @property
    def exact(self) -> bool:
        return not self.overlaps


def boundaries(start: Mapping[TopicPartition, int], logs: Iterable[Iterable[Entry]]) -> Boundaries:
    """Which batches lie after `start`, and which across it.

    `logs` are the entries that count, those of the newest generation first, and in each from the newest back. Within a
    generation offsets only grow, so each is read no further than to its first entry that lies before the start
    everywhere; the next one may yet have later offsets, since a restore can have set the pipeline back in between.
    """
    superseded: list[tuple[int, int]] = []
    overlaps: list[Overlap] = []
    for entries in logs:
        for entry in entries:
            # Ranges of partitions that the start does not have stay where they are, so they count as before it.
            ranges = [(taken, start.get(taken.topic_partition, taken.until)) for taken in entry.ranges]
            if all(taken.until <= begin for taken, begin in ranges):
                break
            doubled = tuple(OffsetRange(taken.topic, taken.partition, max(taken.first, begin), taken.until)
                            for taken, begin in ranges if taken.span and taken.until > begin)
            stays = any(taken.span and taken.first < begin for taken, begin in ranges)
            if not stays:
                superseded.append((entry.generation, entry.batch))
            elif doubled:
                overlaps.append(Overlap(entry.generation, entry.batch, doubled))
    return Boundaries(tuple(sorted(superseded)), tuple(reversed(overlaps)))
