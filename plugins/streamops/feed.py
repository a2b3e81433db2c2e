"""Lines of text as Kafka records: what `streamops feed` sends, how fast, and what became of it.

A line is what stands before one newline character; the bytes go into the record as they are, with a carriage return
where there is one, and an empty line is a record with an empty value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from streamops.errors import ConfigurationError

#: Seconds of records that may follow at once after a pause, so that a stall is not followed by a flood.
BURST_S = 0.1

#: The header that holds a record's number, with `--number header`.
NUMBER_HEADER = "streamops.number"


class Key(StrEnum):
    """What a record's key is."""

    NONE = "none"
    LINE_NUMBER = "line-number"
    FILE = "file"


class Numbering(StrEnum):
    """Where a record says its number in this feed, which starts at 1, so that each can be told from every other."""

    NONE = "none"
    PREFIX = "prefix"  # `000000000042 the line`
    HEADER = "header"


class Line(NamedTuple):
    """One line: its bytes without the newline, the file it is from, its number there from 1."""

    text: bytes
    source: str
    number: int


class Record(NamedTuple):
    """What goes to Kafka."""

    value: bytes
    key: bytes | None
    headers: list[tuple[str, bytes]]


@dataclass(frozen=True)
class Shape:
    """How lines become records."""

    key: Key = Key.NONE
    numbering: Numbering = Numbering.NONE
    headers: tuple[tuple[str, bytes], ...] = ()

    def record(self, line: Line, number: int) -> Record:
        """The record of a line; `number` is its place in the whole feed."""
        value = line.text
        headers = list(self.headers)
        if self.numbering is Numbering.PREFIX:
            value = b"%012d %b" % (number, value)
        elif self.numbering is Numbering.HEADER:
            headers.append((NUMBER_HEADER, str(number).encode()))
        key = None
        if self.key is Key.LINE_NUMBER:
            key = str(line.number).encode()
        elif self.key is Key.FILE:
            key = line.source.encode(errors="surrogateescape")
        return Record(value, key, headers)


def without_newline(line: bytes) -> bytes:
    """A line as a file gives it, without the one newline that ends it."""
    return line[:-1] if line.endswith(b"\n") else line


def parse_headers(given: Sequence[str]) -> tuple[tuple[str, bytes], ...]:
    """Headers from `name=value` texts. Raises ConfigurationError on any other form."""
    headers = []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"the header {text!r} has no name and value", "Write it as --header name=value.")
        headers.append((name, value.encode()))
    return tuple(headers)


class Pace:
    """Spreads records evenly over time. Times are seconds of a clock that never goes back."""

    def __init__(self, rate: float, start_s: float) -> None:
        """`rate` is in records a second."""
        self._step_s = 1 / rate
        self._due_s = start_s

    def wait_s(self, now_s: float) -> float:
        """How long to wait before the next record is sent; asked once for every record."""
        due_s = max(self._due_s, now_s - BURST_S)
        self._due_s = due_s + self._step_s
        return max(0.0, due_s - now_s)


@dataclass
class Tally:
    """What became of the records, which are numbered from 1 in the order in which they were sent.

    `refused` ones are not in the topic. `unknown` ones may be there or not: they were sent, and no answer came.
    """

    sent: int = 0
    acknowledged: int = 0
    value_bytes: int = 0
    refused: list[int] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)

    def summary(self, topic: str, elapsed_s: float) -> dict[str, object]:
        """The counts as JSON shows them."""
        return {
            "topic": topic,
            "sent": self.sent,
            "acknowledged": self.acknowledged,
            "refused": ranges(self.refused),
            "unknown": ranges(self.unknown),
            "value_bytes": self.value_bytes,
            "elapsed_s": round(elapsed_s, 3),
            "records_per_s": round(self.acknowledged / elapsed_s) if elapsed_s > 0 else None,
        }

    def describe(self, topic: str, elapsed_s: float) -> str:
        """The counts in one line."""
        rate = f"{self.acknowledged / elapsed_s:,.0f}/s" if elapsed_s > 0 else "at once"
        counts = f"{self.acknowledged:,} of {self.sent:,} records acknowledged"
        text = f"{counts} by topic {topic} in {elapsed_s:.1f} s ({rate})"
        for word, numbers in (("refused", self.refused), ("unknown", self.unknown)):
            if numbers:
                text += f"; {len(numbers):,} {word}: {', '.join(ranges(numbers)[:5])}"
                text += ", …" if len(ranges(numbers)) > 5 else ""
        return text


def ranges(numbers: Sequence[int]) -> list[str]:
    """Sorted numbers with neighbours joined: `["3-7", "9"]`."""
    joined: list[list[int]] = []
    for number in sorted(set(numbers)):
        if joined and number == joined[-1][1] + 1:
            joined[-1][1] = number
        else:
            joined.append([number, number])
    return [str(first) if first == last else f"{first}-{last}" for first, last in joined]
