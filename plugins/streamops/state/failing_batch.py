"""The batch that a pipeline cannot get past, and what drivers said of it. And letters: records that were put aside.

Pure but for reading files, through whatever has `read` and `names` (see batch_log.Files).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from streamops.errors import BadRecordError, TransformError
from streamops.state.drivers import DriverRecord
from streamops.state.offsets import OffsetRange

#: Ends of drivers that are about the records of a batch, or what is done with them.
_ABOUT_RECORDS = frozenset({BadRecordError.kind, TransformError.kind})


@dataclass(frozen=True)
class FailingBatch:
    """The batch after the last that is logged, planned and not done. `tries` are the drivers that ended on it.

    `kind` is the word for the last one's reason (see errors.JobStopped) and `said` the reason itself; both are None
    where no driver said anything.
    """

    generation: int
    batch: int
    ranges: tuple[OffsetRange, ...]
    tries: int = 0
    kind: str | None = None
    said: str | None = None

    @property
    def span(self) -> int:
        return sum(part.span for part in self.ranges)

    def __str__(self) -> str:
        return f"batch {self.batch} of generation {self.generation}"

    def lines(self) -> Iterable[str]:
        """For a person."""
        parts = ", ".join(f"{part.topic_partition} {part.first}..{part.until}" for part in self.ranges if part.span)
        yield f"not done: {self}, {self.span:,} offsets: {parts}"
        if self.said is not None:
            yield f"drivers that ended on it: {self.tries}, the last of them with {self.kind}: {self.said}"

    def as_dict(self) -> dict[str, Any]:
        return {"generation": self.generation, "batch": self.batch, "tries": self.tries, "kind": self.kind,
                "said": self.said, "ranges": [part.as_dict() for part in self.ranges]}


def of(
    generation: int, batch: int, ranges: tuple[OffsetRange, ...], records: Iterable[DriverRecord], since: str
) -> FailingBatch:
    """The batch, with what those drivers said that ended themselves after `since` (UTC, ISO 8601).

    That is the end of the batch before it, or when the generation was opened.
    """
    ended = sorted((each for each in records if each.stopped_at is not None and each.stop_kind in _ABOUT_RECORDS
                    and each.stopped_at > since), key=lambda each: each.stopped_at or "")
    last = ended[-1] if ended else None
    return FailingBatch(generation, batch, ranges, len(ended), last.stop_kind if last else None,
                        last.reason if last else None)


@dataclass(frozen=True)
class Letter:
    """A record in a dead-letter topic: where it came from, the batch, and what the transform said."""

    topic: str
    partition: int
    offset: int
    batch: str
    error: str

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition} offset {self.offset}, of batch {self.batch}: {self.error}"


@dataclass(frozen=True)
class Letters:
    """A dead-letter topic: how many offsets it holds, of whatever pipelines, and the newest letters of this one."""

    topic: str
    held: int
    newest: tuple[Letter, ...] = ()

    def lines(self) -> Iterable[str]:
        """For a person."""
        yield f"dead-letter topic {self.topic}: {self.held:,} offsets; the newest of this pipeline:"
        yield from (f"  {letter}" for letter in self.newest)
        if not self.newest:
            yield "  none"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
