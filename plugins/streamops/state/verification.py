"""Whether a pipeline's batch log is whole and its sink agrees with it: what the kill tests and a drill judge by.

Pure: entries and the sink's answers are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from streamops.errors import StateError
from streamops.state.batch_log import Entry
from streamops.state.coverage import Coverage
from streamops.state.generations import Generation
from streamops.state.offsets import Offsets, Seam, advance, seams
from streamops.state.superseded import NOTHING, Superseded

#: Problems kept in words; the rest is counted, since one cause can break every batch after it.
MOST_SHOWN = 100


@dataclass
class Verification:
    """What was looked at, and what is wrong with it; `ends` is where the last generation stands.

    `batches` and what follows are of all that was ever processed; `superseded` of them do not count any more. `covered`
    is what those that count hold, but for the last generation's; `repeated` of their offsets are in several of them.
    """

    pipeline: str
    generations: int = 0
    batches: int = 0
    superseded: int = 0
    rows: int = 0
    offsets: int = 0
    lost: int = 0
    dead_letters: int = 0
    retried: int = 0
    drivers: set[str] = field(default_factory=set)
    repeated: int = 0
    covered: Coverage = field(default_factory=Coverage)
    ends: Offsets = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    more_problems: int = 0

    @property
    def sound(self) -> bool:
        return not self.problems

    def add(self, problem: str) -> None:
        if len(self.problems) < MOST_SHOWN:
            self.problems.append(problem)
        else:
            self.more_problems += 1

    def as_dict(self) -> dict[str, Any]:
        return {
            "pipeline": self.pipeline,
            "sound": self.sound,
            "generations": self.generations,
            "batches": self.batches,
            "superseded_batches": self.superseded,
            "rows": self.rows,
            "offsets": self.offsets,
            "lost_offsets": self.lost,
            "repeated_offsets": self.repeated,
            "dead_letters": self.dead_letters,
            "retried_batches": self.retried,
            "drivers": sorted(self.drivers),
            "problems": self.problems,
            "more_problems": self.more_problems,
        }

    def describe(self) -> str:
        """One line of counts, then one for each problem."""
        counts = (
            f"{self.pipeline}: {self.batches:,} batches cover {self.offsets:,} offsets and hold {self.rows:,} rows "
            f"(generations: {self.generations:,}, drivers: {len(self.drivers):,}"
            + (f", superseded: {self.superseded:,})" if self.superseded else ")")
        )
        if self.sound and self.repeated:
            return (f"{counts}; no hole, and the sink agrees; {self.repeated:,} offsets count more than once: restores "
                    "to targets within a batch repeated them, or their topic was made again")
        if self.sound:
            return f"{counts}; no hole, no overlap, and the sink agrees"
        more = [f"and {self.more_problems:,} more"] if self.more_problems else []
        return "\n".join([f"{counts}; {len(self.problems) + self.more_problems:,} problems:", *self.problems, *more])


def verify_generation(
    found: Verification,
    generation: Generation,
    entries: Iterable[Entry],
    check_sink: Callable[[Entry], None],
    folders: Iterable[int],
    superseded: Superseded = NOTHING,
) -> None:
    """Add one generation to `found`.

    `check_sink` raises StateError where a batch's rows differ from its entry; `folders` are the batches that the sink
    has a folder for, listed before the entries were read. What is `superseded` need not be in the sink any more.
    """
    found.generations += 1
    folders = set(folders)
    found.ends = dict(generation.start)
    own, repeated = Coverage(), 0
    last = -1

    def examined() -> Iterator[tuple[int, Any]]:
        nonlocal last, repeated
        epoch = 0
        for entry in entries:
            where = f"generation {generation.number}, batch {entry.batch}"
            if entry.batch != last + 1:
                found.add(f"generation {generation.number}: after batch {last} comes batch {entry.batch}")
            if entry.epoch < epoch:
                found.add(f"{where}: driver {entry.driver} wrote under epoch {entry.epoch}, after epoch {epoch}")
            epoch, last = max(epoch, entry.epoch), entry.batch
            if entry.output is not None:
                folders.discard(entry.batch)
            counts = not superseded.covers(generation.number, entry.batch)
            if entry.output is not None and counts:
                try:
                    check_sink(entry)
                except StateError as error:
                    found.add(f"{where}: {error.found}")
            if counts:
                repeated += found.covered.shared(entry.ranges)
                own.add(entry.ranges)
            found.batches += 1
            found.superseded += not counts
            found.rows += entry.rows
            found.offsets += entry.span
            found.lost += sum(gone.span for gone in entry.lost)
            found.dead_letters += entry.dead_letters
            found.retried += entry.attempt > 1
            found.drivers.add(entry.driver)
            found.ends = advance(found.ends, entry.ranges)
            yield entry.batch, entry.ranges

    for seam in seams(generation.start, examined()):
        found.add(f"generation {generation.number}: {seam}")
    found.covered.add_all(own)
    found.repeated += repeated
    if repeated and generation.restored is None:
        found.add(f"generation {generation.number}: {repeated:,} offsets are in batches of earlier generations too, "
                  "and no restore says so")
    # The batch after the last one may be in the sink and not in the log yet.
    for batch in sorted(folders - {last + 1}):
        if superseded.covers(generation.number, batch):
            continue
        found.add(f"generation {generation.number}, batch {batch}: the sink has a folder, the batch log has no entry")


def verify_start(found: Verification, before: Offsets, generation: Generation) -> None:
    """Add what lies between the end of the generation before and the start of this one, unless it was a rewind.

    A restore skips only what its forecast named, and somebody wanted that; what it found gone is lost.
    """
    if generation.restored is not None:
        found.lost += sum(gone.span for gone in generation.restored.lost)
        return
    for at, offset in sorted(generation.start.items()):
        ended = before.get(at)
        if ended is not None and offset > ended:
            found.add(f"generation {generation.number}: {Seam(at, 0, ended, offset)}")
