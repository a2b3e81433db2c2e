"""Superseded batches: what is in the sink and the batch log, and does not count any more.

A restore opens a generation that processes some records again; the batches that held them are superseded. They are
stated, all of them, in the file of the newest generation (generations.py), so that opening it and superseding them is
one step, and undoing it is another generation with another statement.

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from streamops.state import stored_json

FORMAT = "streamops.superseded/1"

#: A copy for whoever reads the output itself, below the output's folder. Spark and Arrow pass over such names.
FILE = "_superseded.json"


class Span(NamedTuple):
    """Batches `first` to `last` of a generation, both included. None is open: also what a stray driver may yet add."""

    generation: int
    first: int
    last: int | None = None

    def covers(self, generation: int, batch: int) -> bool:
        return generation == self.generation and self.first <= batch and (self.last is None or batch <= self.last)

    def __str__(self) -> str:
        if self.last is None:
            batches = "everything" if self.first == 0 else f"batch {self.first} and later"
        else:
            batches = f"batch {self.first}" if self.first == self.last else f"batches {self.first} to {self.last}"
        return f"{batches} of generation {self.generation}"


@dataclass(frozen=True)
class Superseded:
    """Spans in order, of which no two overlap or touch."""

    spans: tuple[Span, ...] = ()

    def covers(self, generation: int, batch: int) -> bool:
        return any(span.covers(generation, batch) for span in self.spans)

    def adding(self, spans: Iterable[Span]) -> Superseded:
        """These and `spans`, put together."""
        merged: list[Span] = []
        for span in sorted([*self.spans, *spans], key=lambda each: (each.generation, each.first)):
            before = merged[-1] if merged else None
            if before is None or before.generation != span.generation or (
                    before.last is not None and before.last + 1 < span.first):
                merged.append(span)
            elif before.last is not None:
                last = None if span.last is None else max(before.last, span.last)
                merged[-1] = Span(span.generation, before.first, last)
        return Superseded(tuple(merged))

    def as_rows(self) -> list[list[int | None]]:
        """`[[generation, first, last], …]`; `last` is null where the span is open."""
        return [list(span) for span in self.spans]

    @classmethod
    def from_rows(cls, rows: Iterable[Iterable[int | None]]) -> Superseded:
        """What `as_rows` gave. Raises ValueError or TypeError on anything else."""
        return cls().adding(_span(*row) for row in rows)

    def to_json(self, pipeline: str, generation: int) -> str:
        """The copy beside the output; `generation` is the one whose file states it."""
        return json.dumps({
            "format": FORMAT, "pipeline": pipeline, "generation": generation, "superseded": self.as_rows()})

    @classmethod
    def from_json(cls, text: str) -> Superseded:
        """The batches that `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, FORMAT, "a list of superseded batches") as data:
            return cls.from_rows(data["superseded"])


NOTHING = Superseded()


def _span(generation: Any, first: Any, last: Any) -> Span:
    return Span(int(generation), int(first), None if last is None else int(last))


def runs(batches: Iterable[tuple[int, int]]) -> list[Span]:
    """(generation, batch) pairs as spans."""
    return list(Superseded().adding(Span(generation, batch, batch) for generation, batch in batches).spans)
