"""Cleanups planned and carried out: what DAG and command line both do.

    with Cleanups(declared, say) as cleanups:
        planned = cleanups.plan(["lines"], write=file)              # what becomes of each thing, and the sums
        for place, item in cleanups.apply(file, errors): …          # judged once more, then taken into quarantine
        cleanups.held(["lines"], errors); cleanups.restore("lines", wanted)

A plan is a stream of lines (docs/cleanup.md), so that one of a million files needs the memory of one.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self, TypeVar

from streamops.actions import snapshots
from streamops.cleaning.cleanup import Item, Reason, Totals
from streamops.declared.pipelines import Pipelines
from streamops.declared.schedules import is_due
from streamops.errors import ConfigurationError, RefusedError, StateError, StreamopsError, UnavailableError
from streamops.settings import Settings
from streamops.text_table import table

if TYPE_CHECKING:
    from streamops.adapters.cleaning.place import Place
    from streamops.adapters.cleaning.quarantine import Held, Outcome

Say = Callable[[str], object]
_Each = TypeVar("_Each")

#: Seconds between two lines of progress.
_SAY_EVERY_S = 2.0

FORMAT = "streamops.cleanup_plan/1"

#: Things that go that are shown one by one; the rest is in the sums, and in the plan.
SHOWN = 20
#: Examples of one reason, and the reasons that need none.
_EXAMPLES = 2
_EXPECTED = (Reason.NO_RULE, Reason.RULE_OFF, Reason.YOUNG)


@dataclass
class Planned:
    """Sums of a plan by place. `errors` are of places that could not be judged to their end."""

    places: dict[str, Totals] = field(default_factory=dict)
    errors: list[StreamopsError] = field(default_factory=list)

    #: The first few things that go.
    shown: list[Item] = field(default_factory=list)

    @property
    def going(self) -> int:
        return sum(each.items for totals in self.places.values() for each in totals.going.values())

    def lines(self) -> Iterator[str]:
        """For people: the first few that go, sums by rule and reason, and examples of what is kept for a reason."""
        yield from map(str, self.shown)
        if self.going > len(self.shown):
            yield f"… and {self.going - len(self.shown):,} more that go"
        rows = [row for name, totals in self.places.items() for row in _rows(name, totals)]
        yield table(("PLACE", "", "RULE OR REASON", "THINGS", "BYTES"), rows) if rows else "There is nothing to judge."
        for name, totals in self.places.items():
            for reason, examples in sorted(totals.examples.items()):
                if reason not in _EXPECTED:
                    yield from (f"{name}: {item}" for item in examples[:_EXAMPLES])

    def as_dict(self) -> dict[str, object]:
        return {name: totals.as_dict() for name, totals in self.places.items()}


class Cleanups:
    """Cleanups of what is declared. To be closed: use `with`."""

    def __init__(self, declared: Pipelines, say: Say, settings: Settings | None = None) -> None:
        from streamops.adapters.cleaning.places import Places

        self._declared = declared
        self._say = say
        self._all = Places(declared, snapshots.store, snapshots.keep_rule, say, settings or Settings.load())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._all.close()

    def names(self, chosen: Iterable[str]) -> list[str]:
        """The places of these names; all for none, or `all`. Raises ConfigurationError for one that there is not."""
        from streamops.adapters.cleaning.places import ORPHANS, SHARED

        wanted = list(dict.fromkeys(chosen))
        if not wanted or wanted == ["all"]:
            return self._all.names()
        for name in wanted:
            if name not in SHARED and not name.startswith(f"{ORPHANS}:"):
                self._declared.pipeline(name)
        return wanted

    def plan(self, chosen: Iterable[str], write: IO[str] | None = None, *, going_only: bool = False,
             most_shown: int = SHOWN) -> Planned:
        """Judge everything there is. What each thing becomes goes into `write`, a line each."""
        planned = Planned()
        for place in self._places(self.names(chosen), planned.errors):
            totals = planned.places.setdefault(place.name, Totals())
            if write is not None:
                write.write(f"{json.dumps({'format': FORMAT, 'place': place.name, 'root': place.root.url})}\n")
            try:
                for item in place.items(self._say):
                    totals.add(item)
                    if write is not None and (item.goes or not going_only):
                        write.write(f"{item.to_json()}\n")
                    if item.goes and len(planned.shown) < most_shown:
                        planned.shown.append(item)
            except (StreamopsError, OSError, RuntimeError) as error:
                planned.errors.append(_worded(place, error))
        return planned

    def apply(self, plan: Iterable[str], errors: list[StreamopsError]) -> Iterator[tuple[str, Item]]:
        """Carry out a plan's lines: the place, and each item as it ended.

        An error of one place ends its part, and comes into `errors`. What was taken until then is in quarantine.
        """
        for (name, url), items in _by_place(plan):
            met = len(errors)
            for place in self._places([name], errors):
                if place.root.url != url:
                    continue
                met = -1
                try:
                    with place.locked(self._say) as lock:
                        for item in self._told(place.name, place.apply(lock, items, self._say)):
                            yield place.name, item
                except (StreamopsError, OSError, RuntimeError) as error:
                    errors.append(_worded(place, error))
            if met == len(errors):
                errors.append(RefusedError(f"the plan is about {name} at {url}, and that is not its place now",
                                           "Make a new plan: streamops clean plan --json > FILE"))

    def clean(self, chosen: Iterable[str], *, dry_run: bool = False) -> list[StreamopsError]:
        """Plan, show, apply and read back, and say so line by line; what kept a place from it."""
        with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
            planned = self.plan(chosen, spool, going_only=True)
            for line in planned.lines():
                self._say(line)
            errors = list(planned.errors)
            if not dry_run:
                spool.seek(0)
                ended: dict[str, Totals] = {}
                for place, item in self.apply(spool, errors):
                    ended.setdefault(place, Totals()).add(item)
                    if not item.goes:
                        self._say(f"{place}: {item}")
                for line in summary(ended):
                    self._say(line)
        return errors

    def held(self, chosen: Iterable[str], errors: list[StreamopsError]) -> Iterator[tuple[str, Held]]:
        """Everything in quarantine, with its place."""
        for place in self._places(self.names(chosen), errors):
            try:
                for each in place.quarantine.held():
                    yield place.name, each
            except (StreamopsError, OSError, RuntimeError) as error:
                errors.append(_worded(place, error))

    def restore(self, name: str, wanted: Callable[[Held], bool]) -> Iterator[Outcome]:
        """Bring back what is wanted of one place. Raises RefusedError while another cleanup works there."""
        errors: list[StreamopsError] = []
        for place in self._places([name], errors):
            try:
                with place.locked(self._say) as lock:
                    place.quarantine.finish_interrupted(self._say)
                    chosen = [each for each in place.quarantine.held() if wanted(each)]
                    yield from self._told(f"{name}, {len(chosen):,} things", place.restore(lock, chosen))
            except (StreamopsError, OSError, RuntimeError) as error:
                raise _worded(place, error) from error
        if errors:
            raise errors[0]

    def _told(self, what: str, found: Iterable[_Each]) -> Iterator[_Each]:
        """The same things, and a line every two seconds on how many they are."""
        said_s = time.monotonic()
        for count, each in enumerate(found, 1):
            if time.monotonic() - said_s >= _SAY_EVERY_S:
                said_s = time.monotonic()
                self._say(f"{what}: {count:,} done")
            yield each

    def _places(self, names: Iterable[str], errors: list[StreamopsError]) -> Iterator[Place]:
        """One after the other; `errors` says which could not be reached."""
        for name in names:
            found = self._all.of(name)
            while True:
                try:
                    place = next(found, None)
                except (StreamopsError, OSError, RuntimeError) as error:
                    errors.append(error if isinstance(error, StreamopsError) else UnavailableError(
                        f"{name} cannot be reached: {_short(error)}", "See that its storage is up, then try again."))
                    break
                if place is None:
                    break
                yield place


def summary(ended: dict[str, Totals]) -> Iterator[str]:
    """A line for each place on what became of its plan."""
    for name, totals in ended.items():
        gone = sum(each.items for each in totals.going.values())
        size = sum(each.size_bytes for each in totals.going.values())
        left = sum(each.items for each in totals.kept.values())
        yield f"{name}: {gone:,} taken ({size:,} bytes), {left:,} kept after all"
    if not ended:
        yield "Nothing was taken."


def due(declared: Pipelines, last: datetime | None, now: datetime) -> list[str]:
    """The places whose `schedules.cleanup` has come round since the last cleanup; those of no one pipeline with any."""
    from streamops.adapters.cleaning.places import SHARED

    found = [name for name, each in declared.pipelines.items() if is_due(each.schedules.cleanup, last, now)]
    return [*found, *SHARED] if found else []


def _rows(name: str, totals: Totals) -> Iterator[tuple[str, ...]]:
    for word, found in (("goes", totals.going), ("kept", totals.kept)):
        for key, each in sorted(found.items()):
            yield name, word, str(key), f"{each.items:,}", f"{each.size_bytes:,}"


def _by_place(plan: Iterable[str]) -> Iterator[tuple[tuple[str, str], Iterator[Item]]]:
    """The going items of each place of a plan. Raises StateError for a line that is none of a plan's."""
    def lines() -> Iterator[tuple[tuple[str, str], Item]]:
        at: tuple[str, str] | None = None
        for line in plan:
            head = json.loads(line) if f'"{FORMAT}"' in line[:60] else None
            if head is not None:
                at = (str(head["place"]), str(head["root"])) if "place" in head else None
                continue
            if at is None:
                raise StateError(f"this is no plan of a cleanup: {line[:100]!r}",
                                 "Make one: streamops clean plan --json > FILE")
            if (item := Item.from_json(line)).goes:
                yield at, item
    for at, found in groupby(lines(), key=lambda each: each[0]):
        yield at, (item for _, item in found)


def _worded(place: Place, error: Exception) -> StreamopsError:
    """An error of a storage's library, for a person; nothing was lost by it."""
    if isinstance(error, StreamopsError):
        return error
    if isinstance(error, PermissionError):
        return ConfigurationError(
            f"{place.name}: the storage denies access to {place.root.url}: {_short(error)}",
            "What was moved until then is in quarantine, all else at its place. Grant the user that runs streamops the "
            "right to write there, then run the cleanup again.")
    return UnavailableError(
        f"{place.name}: the storage at {place.root.url} refuses: {_short(error)}",
        "What was moved until then is in quarantine, all else at its place. See that the storage is up and takes "
        "changes, then run the cleanup again.")


def _short(error: BaseException, most: int = 200) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[:most]}…"
