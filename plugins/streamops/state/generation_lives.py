"""What became of each generation: how far it came, and which of its offsets are in batches that count.

Pure but for reading files, through whatever has `read` and `names` (see batch_log.Files).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from streamops.errors import StateError
from streamops.state import batch_log, generations
from streamops.state.batch_log import Entry, Files
from streamops.state.generations import Generation
from streamops.state.offsets import OffsetRange, Offsets, TopicPartition, advance, parse_spark_offsets
from streamops.state.planned_batch import PlannedBatch
from streamops.state.superseded import Superseded


@dataclass(frozen=True)
class GenerationEnds:
    """How far a generation's plans, checkpoint and batch log go: each partition's first offset above all of them.

    What receivers stored is not among them: logs are read one by one. `counted` is what batches took that count, one
    range a partition, and `last_batch` the last in the batch log. `problem` says why nothing is known.
    """

    number: int
    approach: str = ""
    start: Offsets = field(default_factory=dict)
    ends: Offsets = field(default_factory=dict)
    counted: tuple[OffsetRange, ...] = ()
    last_batch: int | None = None
    problem: str | None = None

    @property
    def ranges(self) -> tuple[OffsetRange, ...]:
        """From its start to its ends."""
        begun = {at: min(self.start.get(at, 0), until) for at, until in self.ends.items()}
        return tuple(OffsetRange(*at, begun[at], until) for at, until in sorted(self.ends.items()))


@dataclass(frozen=True)
class Life:
    """A generation's file, None where there is none, and the last entry of its batch log."""

    number: int
    opened: Generation | None = None
    head: Entry | None = None

    @property
    def ends(self) -> Offsets:
        assert self.opened is not None
        return advance(self.opened.start, self.head.ranges if self.head is not None else ())


def numbers(files: Files, current: int) -> list[int]:
    """The generations up to the current one that have a file, or files of Spark's or plans, in order.

    A state directory that was made anew begins with a higher number than 1.
    """
    named = {int(name[:6]) for name in files.names(generations.DIRECTORY) if re.fullmatch(r"\d{6}\.json", name)}
    folders = {int(name) for directory in ("checkpoint", "plans") for name in files.names(directory)
               if re.fullmatch(r"\d{6}", name)}
    return sorted(number for number in named | folders if number <= current)


def read(files: Files, number: int) -> Life:
    """What is known of a generation by its number. Raises StateError."""
    return Life(number, generations.read(files, number), batch_log.read_head(files, number))


def ends(files: Files, life: Life, superseded: Superseded) -> GenerationEnds:
    """How far a generation goes. Raises StateError where a batch is missing in its log."""
    if life.opened is None:
        missing = f"{generations.path(life.number)} is missing: nobody knows what it was"
        return GenerationEnds(life.number, problem=missing)
    approach = life.opened.approach
    try:
        reached = [*_planned(files, life.number)]
        if approach == "direct":
            reached.append(_checkpointed(files, life.number))
    except StateError as error:
        return GenerationEnds(life.number, approach, problem=error.found)
    furthest = life.ends
    for each in reached:
        for at, offset in each.items():
            furthest[at] = max(offset, furthest.get(at, 0))
    last = life.head.batch if life.head is not None else None
    counted = _counted(files, life, superseded)
    return GenerationEnds(life.number, approach, life.opened.start, furthest, counted, last)


def _counted(files: Files, life: Life, superseded: Superseded) -> tuple[OffsetRange, ...]:
    """What the batches of a generation took that count, one range a partition. Raises StateError.

    Of a generation that is superseded in part, that is what comes before the first superseded batch, and no more.
    """
    assert life.opened is not None
    last = life.head.batch if life.head is not None else -1
    gone = [span.first for span in superseded.spans if span.generation == life.number and span.first <= last]
    until: Mapping[TopicPartition, int] = life.ends
    if gone:
        entry = next(batch_log.entries(files, life.number, min(gone)))
        until = {taken.topic_partition: taken.first for taken in entry.ranges}
    start = life.opened.start  # a partition that it does not name was added, and begins at 0
    return tuple(OffsetRange(*at, start.get(at, 0), end) for at, end in sorted(until.items()) if start.get(at, 0) < end)


def _planned(files: Files, number: int) -> Iterator[Offsets]:
    """Where each plan ends that is still there."""
    directory = f"plans/{number:06d}"
    for name in files.names(directory):
        if name.endswith(".json") and not name.startswith("."):
            text = files.read(f"{directory}/{name}")
            if text is not None:  # a driver deletes the plan of a batch that it has logged
                yield PlannedBatch.from_json(text).ends


def _checkpointed(files: Files, number: int) -> Offsets:
    """Where the newest batch ends that a direct job's checkpoint names; empty where it names none."""
    directory = f"{generations.checkpoint_path(number)}/offsets"
    batches = [int(name) for name in files.names(directory) if name.isdecimal()]
    if not batches:
        return {}
    text = files.read(f"{directory}/{max(batches)}")
    try:
        # A version, a line of metadata, then a line for each source: the end offsets.
        _, _, ends = (text or "").splitlines()[:3]
        return parse_spark_offsets(ends)
    except (ValueError, AttributeError) as error:
        raise StateError(f"{directory}/{max(batches)} does not say offsets ({type(error).__name__})",
                         "Something else changed it. Restore it from a copy.") from error
