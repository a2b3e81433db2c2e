"""What cleanup knows of one pipeline at one moment: the ground on which its files are judged.

    state = observe(files)                       # a StateFiles of the state directory
    ground = Ground(root, roots, "orders", settings, now_ms, state, living, points, kafka)

Pure but for reading files, through whatever has `read` and `names` (see batch_log.Files).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol

from streamops.cleaning.paths import Root
from streamops.declared.pipeline import Cleanup
from streamops.errors import ConfigurationError, StateError
from streamops.points.recovery_points import RecoveryPoint
from streamops.state import evidence, generation_lives, generations
from streamops.state.batch_log import Files
from streamops.state.generation_lives import GenerationEnds
from streamops.state.offsets import OffsetRange, Offsets, advance


class Evidence(Files, Protocol):
    """Files of a state directory. StateFiles is one. Paths are relative to it."""

    def open(self, path: str) -> BinaryIO | None:
        """The file's bytes, or None where there is no such file."""


@dataclass(frozen=True)
class PipelineState:
    """What a state directory says. `current` is None before the first start; `epoch` is the newest lease's.

    `processed`: where the next batch begins. Not every offset below it is in the sink: a restore may have gone past
    some. `lost` is what restores recorded as gone from Kafka. `generations` are all up to the current one.
    `pipelines` are the names that the files give. `undo_point` is the recovery point that an undo of the last restore
    goes back to. `newest_ms` is the latest time that a file names (UTC, ms since 1970). `problem` says why nothing in
    the directory can be judged.
    """

    current: int | None = None
    processed: Offsets = field(default_factory=dict)
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

    @classmethod
    def of(cls, number: int, point: RecoveryPoint, *, held: bool) -> KeptPoint:
        """What is asked of a stored point. A thousand of them are kept in memory: what nothing asks for is left out."""
        wal = point.wal.ranges if point.wal is not None else None
        return cls(
            number, point.generation, point.last_batch, point.processed if wal is None else {}, dict(point.topic_ids),
            None if wal is None else tuple(kept for kept in wal if kept.span), held, point.taken_ms)


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
    except (StateError, ConfigurationError) as error:
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
    lives = [generation_lives.read(files, number) for number in generation_lives.numbers(files, current.number)]
    head = lives[-1].head
    times += [each.opened.opened_at for each in lives if each.opened is not None]
    times += [each.head.finished_at for each in lives if each.head is not None]
    named.update(each.opened.pipeline for each in lives if each.opened is not None)
    named.update(each.head.pipeline for each in lives if each.head is not None)
    return PipelineState(
        current=current.number,
        processed=advance(current.start, head.ranges if head is not None else ()),
        epoch=epoch,
        lost=tuple(lost for each in lives if each.opened is not None and each.opened.restored is not None
                   for lost in each.opened.restored.lost),
        generations={each.number: generation_lives.ends(files, each, current.superseded) for each in lives},
        pipelines=frozenset(named),
        undo_point=current.restored.undo_point if current.restored is not None else None,
        newest_ms=_newest_ms(times),
    )


def _newest_ms(times: list[str]) -> int | None:
    """The latest of some times in ISO 8601, UTC in ms since 1970. Raises StateError for what is no time."""
    try:
        return max((round(datetime.fromisoformat(each).timestamp() * 1000) for each in times), default=None)
    except ValueError as error:
        raise StateError(f"a file of the state directory names a time that is none: {error}",
                         "Something else changed it. Restore it from a copy.") from error
