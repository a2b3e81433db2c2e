"""The batch log: what is in the sink, written after a batch's output is there. It is the authority.

Below the pipeline's state directory, in `batch_log/<generation>/`:

    000000000217.json                       one entry, created once, never changed
    000000000100-000000000199.jsonl         a hundred entries rolled up, one a line
    000000000000-000000009999.jsonl         ten thousand, rolled up from a hundred of those
    head.json                               a hint of the last batch; the truth is found by probing on from it

The newest hundred to two hundred entries are always files of their own, so the head is found by probing and never by
listing; and the number of files stays below 300 plus one for every ten thousand batches.

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from streamops.errors import StateError
from streamops.state import stored_json
from streamops.state.offsets import OffsetRange

FORMAT = "streamops.batch/1"

#: Where outputs are, below the state directory; an entry's `output` is a folder in there.
OUTPUT = "output"
#: What a folder of the Parquet sink holds beside its rows: how many they are, ranges and epoch. Readers of Spark's and
#: Arrow's pass over names with a leading underscore.
LABEL = "_batch.json"

#: Entries in a roll-up of the first level, and roll-ups of the first level in one of the second.
ROLL_UP = 100

#: Listings in a row that do not get a reader on, after which an entry counts as missing.
LISTINGS = 5

_ENTRY = re.compile(r"^(\d{12})\.json$")
_ROLLED_UP = re.compile(r"^(\d{12})-(\d{12})\.jsonl$")


class Files(Protocol):
    """What reading the log needs of a state directory. Paths are relative to it, with `/` between parts."""

    def read(self, path: str) -> str | None:
        """The file's text, or None where there is no such file."""

    def names(self, directory: str) -> list[str]:
        """The names in a directory, in no order; empty where there is no such directory."""


@dataclass(frozen=True)
class Entry:
    """One batch that is in the sink.

    `ranges` hold the offsets that it took, one for each partition of its topics, so that every entry says where the
    pipeline stands (`first` is `until` where nothing came); `lost` those among them that Kafka no longer had. `rows`
    counts rows written to the sink, `dead_letters` records that went to the dead-letter topic instead. `epoch` is the
    lease's, `driver` the driver that wrote it. `started_at` and `finished_at` are UTC, ISO 8601; `sink_ms` is the part
    of that time that transform and sink took. `attempt` is 1 for the first try of this batch by any driver, and so on.
    """

    pipeline: str
    generation: int
    batch: int
    ranges: tuple[OffsetRange, ...]
    rows: int
    output: str | None
    epoch: int
    driver: str
    attempt: int
    started_at: str
    finished_at: str
    sink_ms: int
    lost: tuple[OffsetRange, ...] = ()
    dead_letters: int = 0

    @property
    def span(self) -> int:
        """How many offsets the batch covers, over all partitions."""
        return sum(taken.span for taken in self.ranges)

    def to_json(self) -> str:
        """One line of JSON, in the public format."""
        data: dict[str, Any] = {
            "format": FORMAT,
            "pipeline": self.pipeline,
            "generation": self.generation,
            "batch": self.batch,
            "ranges": [taken.as_dict() for taken in self.ranges],
            "rows": self.rows,
            "output": self.output,
            "epoch": self.epoch,
            "driver": self.driver,
            "attempt": self.attempt,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "sink_ms": self.sink_ms,
            "lost": [gone.as_dict() for gone in self.lost],
            "dead_letters": self.dead_letters,
        }
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Entry:
        """The entry that `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, FORMAT, "a batch log entry") as data:
            return cls(
                pipeline=data["pipeline"],
                generation=data["generation"],
                batch=data["batch"],
                ranges=tuple(map(OffsetRange.from_dict, data["ranges"])),
                rows=data["rows"],
                output=data["output"],
                epoch=data["epoch"],
                driver=data["driver"],
                attempt=data["attempt"],
                started_at=data["started_at"],
                finished_at=data["finished_at"],
                sink_ms=data["sink_ms"],
                lost=tuple(map(OffsetRange.from_dict, data["lost"])),
                dead_letters=data["dead_letters"],
            )


def directory(generation: int) -> str:
    return f"batch_log/{generation:06d}"


def entry_path(generation: int, batch: int) -> str:
    return f"{directory(generation)}/{batch:012d}.json"


def head_path(generation: int) -> str:
    return f"{directory(generation)}/head.json"


def roll_up_path(generation: int, first: int, last: int) -> str:
    return f"{directory(generation)}/{first:012d}-{last:012d}.jsonl"


@dataclass(frozen=True)
class RollUp:
    """Files whose lines become one file. Paths are relative to the state directory."""

    sources: tuple[str, ...]
    target: str


def roll_ups_due(generation: int, batch: int) -> list[RollUp]:
    """What to roll up once `batch` is logged; the newest hundred entries stay files of their own."""
    logged = batch + 1
    due: list[RollUp] = []
    for size, parts in ((ROLL_UP, ROLL_UP), (ROLL_UP * ROLL_UP, ROLL_UP)):
        if logged % size or logged < 2 * size:
            continue
        first, last = logged - 2 * size, logged - size - 1
        width = size // parts
        sources = tuple(
            entry_path(generation, start) if width == 1 else roll_up_path(generation, start, start + width - 1)
            for start in range(first, last + 1, width)
        )
        due.append(RollUp(sources, roll_up_path(generation, first, last)))
    return due


def overdue_roll_ups(generation: int, names: Iterable[str], head: int) -> list[RollUp]:
    """What a driver that died left to roll up, given the names in the directory and the last batch.

    A roll-up is due once; a driver that is killed in that moment would otherwise leave its files for ever.
    """
    there = set(names)
    due: list[RollUp] = []
    for batch in range(2 * ROLL_UP - 1, head + 1, ROLL_UP):
        for roll_up in roll_ups_due(generation, batch):
            left = [source for source in roll_up.sources if source.rpartition("/")[2] in there]
            if left:
                due.append(roll_up)
                there.add(roll_up.target.rpartition("/")[2])
    return due


def read_head(files: Files, generation: int) -> Entry | None:
    """The last entry of a generation, or None when it has none. Lists the directory only when there is no hint."""
    hint = files.read(head_path(generation))
    batch = _hinted(hint) if hint else _newest(files, generation)
    if batch is None:
        return None
    found = files.read(entry_path(generation, batch))
    if found is None:
        raise StateError(
            f"the batch log of generation {generation} says that batch {batch} was its last, but has no entry for it",
            "Restore the missing file from a copy, or open a new generation from a recovery point.",
        )
    while (following := files.read(entry_path(generation, batch + 1))) is not None:
        batch, found = batch + 1, following
    return Entry.from_json(found)


def _hinted(hint: str) -> int:
    try:
        return int(json.loads(hint)["batch"])
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"the hint of the batch log's head cannot be read ({type(error).__name__}: {error}): {hint[:200]!r}",
            "Delete that head.json: the head is then found by listing, and the hint is written again.",
        ) from error


def _newest(files: Files, generation: int) -> int | None:
    """The highest batch in a listing. Without it, a log whose hint was deleted would pass for one without entries."""
    return max((last for _, last, _ in _spans(files.names(directory(generation)))), default=None)


def backwards(files: Files, generation: int) -> Iterator[Entry]:
    """Entries from the newest one back, as long as they are files of their own: at least the newest hundred.

    Never lists a directory, and reads no more than what is asked for.
    """
    entry = read_head(files, generation)
    while entry is not None:
        yield entry
        text = files.read(entry_path(generation, entry.batch - 1)) if entry.batch else None
        entry = Entry.from_json(text) if text is not None else None


def entries(files: Files, generation: int, first: int = 0) -> Iterator[Entry]:
    """Every entry of a generation from batch `first` on, in the order of batches.

    A driver may write and roll up meanwhile: a listing that misses a batch, or names a file that is gone when it is
    read, is made again. Raises StateError when a batch is really missing.
    """
    following, listings = first, 0
    while listings < LISTINGS:
        listings += 1
        before = following
        for _, last, name in sorted(_spans(files.names(directory(generation)))):
            if last < following:
                continue
            found = _entries_in(files.read(f"{directory(generation)}/{name}"), following)
            if not found or found[0].batch != following:
                break
            yield from found
            following = last + 1
        else:
            return
        if following > before:
            listings = 0
    raise StateError(
        f"the batch log of generation {generation} has entries after batch {following}, but none for it",
        "Entries are never deleted by streamops. Restore the missing file from a copy.",
    )


def newest_first(files: Files, generation: int) -> Iterator[Entry]:
    """Every entry of a generation from the newest back; reads no more files than what is asked for.

    A driver may write and roll up meanwhile: what it adds is left out, and a file that is gone when it is read is
    looked for again. Raises StateError when a batch is really missing.
    """
    head = read_head(files, generation)
    following, listings = head.batch if head is not None else -1, 0
    while following >= 0 and listings < LISTINGS:
        listings += 1
        before = following
        for first, _, name in sorted(_spans(files.names(directory(generation))), reverse=True):
            if first > following:
                continue
            found = [each for each in _entries_in(files.read(f"{directory(generation)}/{name}"), first)
                     if each.batch <= following]
            if not found or found[-1].batch != following:
                break
            yield from reversed(found)
            following = first - 1
        if following < before:
            listings = 0
    if following >= 0:
        raise StateError(
            f"the batch log of generation {generation} has entries after batch {following}, but none for it",
            "Entries are never deleted by streamops. Restore the missing file from a copy.",
        )


def _entries_in(text: str | None, first: int) -> list[Entry]:
    return [entry for line in (text or "").splitlines() if (entry := Entry.from_json(line)).batch >= first]


def holds_entries(name: str) -> bool:
    """Whether a file of a batch log's directory is an entry or a roll-up of some, by its name."""
    return bool(_ENTRY.match(name) or _ROLLED_UP.match(name))


def _spans(names: Iterable[str]) -> Iterator[tuple[int, int, str]]:
    for name in names:
        if single := _ENTRY.match(name):
            yield int(single[1]), int(single[1]), name
        elif rolled_up := _ROLLED_UP.match(name):
            yield int(rolled_up[1]), int(rolled_up[2]), name
