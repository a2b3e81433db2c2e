"""What cleanup knows of one pipeline at one moment: the ground on which its files are judged.

    state = observe(files)                       # a StateFiles of the state directory
    ground = Ground(root, roots, "orders", settings, now_ms, state, living, points, kafka)

Pure but for reading files, through whatever has `read` and `names` (see batch_log.Files).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from streamops.batch_log import Files
from streamops.cleanup_paths import Root
from streamops.offsets import OffsetRange, Offsets
from streamops.pipeline import Cleanup


class Evidence(Files, Protocol):
    """Files of a state directory. StateFiles is one. Paths are relative to it."""

    def open(self, path: str) -> BinaryIO | None:
        """The file's bytes, or None where there is no such file."""


@dataclass(frozen=True)
class OlderGeneration:
    """What an older generation's checkpoint, plans and log may hold: nothing at or beyond `ends`.

    `problem` says why that is not known.
    """

    number: int
    ends: Offsets
    problem: str | None = None


@dataclass(frozen=True)
class PipelineState:
    """What a state directory says. `current` is None before the first start; `epoch` is the newest lease's.

    `processed`: every offset below is in the sink, by the batch log. `pipelines` are the names that its files give.
    `newest_ms` is the latest time that a file of it names (UTC, ms since 1970). `problem` says why it cannot be judged.
    """

    current: int | None = None
    processed: Offsets = field(default_factory=dict)
    epoch: int | None = None
    older: Mapping[int, OlderGeneration] = field(default_factory=dict)
    pipelines: frozenset[str] = frozenset()
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
    """What the state directory says now. What cannot be read becomes `problem`, never an error; but for what `files`
    itself raises (UnavailableError)."""
    raise NotImplementedError
