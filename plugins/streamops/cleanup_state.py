"""What cleanup knows of one pipeline at one moment: the ground on which its files are judged.

    state = observe(files)                       # a StateFiles of the state directory
    ground = Ground(root, roots, "orders", settings, now_ms, state, living, points, kafka)

Pure but for reading files, through whatever has `read` and `names` (see batch_log.Files).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol

from streamops import batch_log, evidence, generations
from streamops.batch_log import Entry, Files
from streamops.cleanup_paths import Root
from streamops.errors import StateError
from streamops.generations import Generation
from streamops.offsets import OffsetRange, Offsets, advance, parse_spark_offsets
from streamops.pipeline import Cleanup
from streamops.planned_batch import PlannedBatch
from streamops.superseded import Span, Superseded


class Evidence(Files, Protocol):
    """Files of a state directory. StateFiles is one. Paths are relative to it."""

    def open(self, path: str) -> BinaryIO | None:
        """The file's bytes, or None where there is no such file."""


@dataclass(frozen=True)
class GenerationEnds:
    """How far a generation's plans, checkpoint and batch log go: each partition's first offset above all of them.

    What receivers stored is not among them: logs are read one by one. `logged` is where its batch log ends, and
    `last_batch` the last in it; `counts` says that no batch of it is superseded. `problem` says why nothing is known.
    """

    number: int
    approach: str = ""
    ends: Offsets = field(default_factory=dict)
    logged: Offsets = field(default_factory=dict)
    counts: bool = False
    last_batch: int | None = None
    problem: str | None = None


@dataclass(frozen=True)
class PipelineState:
    """What a state directory says. `current` is None before the first start; `epoch` is the newest lease's.

    `processed`: every offset below is in the sink, by the batch log, but for those that were `skipped`: a restore went
    past them. `lost` is what restores recorded as gone from Kafka. `generations` are all up to the current one.
    `pipelines` are the names that the files give. `undo_point` is the recovery point that an undo of the last restore
    goes back to. `newest_ms` is the latest time that a file names (UTC, ms since 1970). `problem` says why nothing in
    the directory can be judged.
    """

    current: int | None = None
    processed: Offsets = field(default_factory=dict)
    skipped: tuple[OffsetRange, ...] = ()
    lost: tuple[OffsetRange, ...] = ()
    epoch: int | None = None
    generations: Mapping[int, GenerationEnds] = field(default_factory=dict)
    pipelines: frozenset[str] = frozenset()
    undo_point: int | None = None
    newest_ms: int | None = None
    problem: str | None = None


@dataclass(frozen=True)
class KeptPoint:
    """What a recovery point that stays needs, were one to go back to it.

    `wal` are the offsets that the log held for it, None where that is unknown. `held` says that somebody holds it:
    the undo of a restore, a person.
    """

    id: int
    generation: int | None
    last_batch: int | None
    processed: Offsets
    topic_ids: Mapping[str, str | None]
    wal: tuple[OffsetRange, ...] | None = None
    held: bool = False
    taken_ms: int = 0


@dataclass(frozen=True)
class KafkaNow:
    """What Kafka says now; empty where it does not answer."""

    topic_ids: Mapping[str, str | None] = field(default_factory=dict)
    earliest: Offsets = field(default_factory=dict)


@dataclass(frozen=True)
class Ground:
    """Everything that files of one state directory are judged by, at `now_ms` (UTC, ms since 1970).

    `living`: whether a driver has, or may take, the lease; None where that cannot be told, which counts as living.
    `points`: those that stay, or None where the database does not answer. `roots` are all declared ones. `declared` is
    False for an orphan: a state directory of which no pipeline is declared.
    """

    root: Root
    roots: tuple[Root, ...]
    pipeline: str
    settings: Cleanup
    now_ms: int
    state: PipelineState
    living: bool | None
    points: tuple[KeptPoint, ...] | None
    kafka: KafkaNow = field(default_factory=KafkaNow)
    declared: bool = True


def observe(files: Files) -> PipelineState:
    """What the state directory says now. What cannot be read becomes `problem`.

    Raises what `files` raises where its store does not answer.
    """
    try:
        return _observed(files)
    except StateError as error:
        return PipelineState(problem=error.found)


def _observed(files: Files) -> PipelineState:
    holder = evidence.holder(files)
    epoch = holder.epoch if holder is not None else None
    times, named = [], set()
    if holder is not None:
        beat = evidence.beat(files, holder.epoch)
        times += [holder.taken_at] + ([beat.at] if beat is not None else [])
        named.add(holder.pipeline)
    current = generations.current(files)
    if current is None:
        return PipelineState(epoch=epoch, pipelines=frozenset(named), newest_ms=_newest_ms(times))
    of_spark = {*_numbers(files, "checkpoint"), *_numbers(files, "plans"), current.number}
    # A state directory that was made anew begins with a higher number than 1.
    known = {int(name[:6]) for name in files.names(generations.DIRECTORY) if re.fullmatch(r"\d{6}\.json", name)}
    lives = [_life(files, number) for number in sorted(known | of_spark) if number <= current.number]
    head = lives[-1].head
    times += [each.opened.opened_at for each in lives if each.opened is not None]
    times += [each.head.finished_at for each in lives if each.head is not None]
    named.update(each.opened.pipeline for each in lives if each.opened is not None)
    named.update(each.head.pipeline for each in lives if each.head is not None)
    return PipelineState(
        current=current.number,
        processed=advance(current.start, head.ranges if head is not None else ()),
        skipped=_skipped(lives, current.superseded),
        epoch=epoch,
        lost=tuple(lost for each in lives if each.opened is not None and each.opened.restored is not None
                   for lost in each.opened.restored.lost),
        generations={each.number: _ends(files, each, current.superseded) for each in lives},
        pipelines=frozenset(named),
        undo_point=current.restored.undo_point if current.restored is not None else None,
        newest_ms=_newest_ms(times),
    )


@dataclass(frozen=True)
class _Life:
    """A generation's file, None where there is none, and the last entry of its batch log."""

    number: int
    opened: Generation | None = None
    head: Entry | None = None

    @property
    def ends(self) -> Offsets:
        assert self.opened is not None
        return advance(self.opened.start, self.head.ranges if self.head is not None else ())


def _life(files: Files, number: int) -> _Life:
    return _Life(number, generations.read(files, number), batch_log.read_head(files, number))


def _skipped(lives: list[_Life], superseded: Superseded) -> tuple[OffsetRange, ...]:
    """Offsets that a generation began after, and the one before it had not come to: they are in no batch that counts.

    A generation that is superseded as a whole is left out: an undo goes on where the one before it was.
    """
    reached: Offsets = {}
    skipped = []
    for life in lives:
        if life.opened is None or Span(life.number, 0) in superseded.spans:
            continue
        for at, start in life.opened.start.items():
            if reached.get(at, start) < start:
                skipped.append(OffsetRange(at.topic, at.partition, reached[at], start))
        reached |= life.ends
    return tuple(skipped)


def _numbers(files: Files, directory: str) -> Iterator[int]:
    """The generations that have a folder in `directory`."""
    return (int(name) for name in files.names(directory) if len(name) == 6 and name.isdecimal())


def _ends(files: Files, life: _Life, superseded: Superseded) -> GenerationEnds:
    """How far a generation goes."""
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
    ends = life.ends
    for each in reached:
        for at, offset in each.items():
            ends[at] = max(offset, ends.get(at, 0))
    last = life.head.batch if life.head is not None else None
    counts = not any(span.generation == life.number and span.first <= (last or 0) for span in superseded.spans)
    return GenerationEnds(life.number, approach, ends, life.ends, counts, last)


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


def _newest_ms(times: list[str]) -> int | None:
    """The latest of some times in ISO 8601, UTC in ms since 1970. Raises StateError for what is no time."""
    try:
        return max((round(datetime.fromisoformat(each).timestamp() * 1000) for each in times), default=None)
    except ValueError as error:
        raise StateError(f"a file of the state directory names a time that is none: {error}",
                         "Something else changed it. Restore it from a copy.") from error
