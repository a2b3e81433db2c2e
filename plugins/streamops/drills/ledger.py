"""What a drill has sent, by identity: which records Kafka acknowledged and where, and which may be there or not.

Every record says who it is, in its value (`value_of`): `drill/1 <producer> <sequence> <crc32> <padding>`. The sequence
counts the records of one drill from 0, and record number s goes to partition number s modulo their count, so a
partition's records are in the order of their sequences.

The ledger is a file of JSON lines, `streamops.ledger/1`, that only grows:

    {"format": "streamops.ledger/1", "drill": "…", "producer": "…", "value_bytes": 100, "opened_at": "…",
     "places": [["canary", 0], ["canary", 1]], "start": {"canary": {"0": 40, "1": 38}}}
    {"reserve": 2000}                 numbers below 2000 may have been sent; on disk before the first of them is
    {"ack": [0, 120, 60, 100]}        60 records of place 0, from number 120 on, are at offsets 100 to 159
    {"refused": [241, "…"]}           Kafka said no: it is not there
    {"unknown": [243, "…"]}           sent, and the answer was lost
    {"closed": 1870}                  so many were sent; the numbers reserved above never were

What is reserved and has no other line is unknown too: the drill was killed before it wrote down the answer. So a ledger
that a kill cut off asks for less than was acknowledged, and never for more.
"""

from __future__ import annotations

import json
import re
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streamops.errors import StateError
from streamops.state.offsets import Offsets, TopicPartition, parse_spark_offsets, to_spark_offsets

FORMAT = "streamops.ledger/1"

#: Bytes of a value: as long as a line of a log.
VALUE_BYTES = 100

#: Stands in for the offset of a record that Kafka has not acknowledged.
NOWHERE = -1

_VALUE = re.compile(rb"drill/1 ([A-Za-z0-9._-]{1,100}) (\d{12}) ([0-9a-f]{8}) ")
#: Fibonacci hashing: neighbours get paddings that differ in most digits, so that a mix-up of two values shows.
_SPREAD = 0x9E3779B97F4A7C15


class Identity(NamedTuple):
    """One record of one drill."""

    producer: str
    sequence: int


def value_of(identity: Identity, size_bytes: int = VALUE_BYTES) -> bytes:
    """The one value that this record has; longer than `size_bytes` when the identity does not fit in."""
    who = b"%b %012d " % (identity.producer.encode(), identity.sequence)
    wanted = max(size_bytes - len(b"drill/1 ") - len(who) - 9, 0)
    digits = b"%016x" % (identity.sequence * _SPREAD & (1 << 64) - 1)
    padding = (digits * (wanted // 16 + 1))[:wanted]
    return b"drill/1 %b%08x %b" % (who, zlib.crc32(who + padding), padding)


def identity_of(value: bytes | None) -> Identity | None:
    """Who a value says that it is; None for what no drill has sent. Not checked: see `value_of`."""
    found = _VALUE.match(value or b"")
    return Identity(found[1].decode(), int(found[2])) if found else None


@dataclass(frozen=True)
class Ledger:
    """What a drill has sent, as far as its file says. Records are named by their sequence.

    `start` holds the offset that each partition ended at before the first record. `offsets[sequence]` is where the
    record was acknowledged, NOWHERE where it was not; the partition is `place_of(sequence)`. Costs 8 bytes a record.
    """

    drill: str
    producer: str
    opened_at: str
    places: tuple[TopicPartition, ...]
    start: Offsets
    value_bytes: int
    offsets: array[int]
    refused: frozenset[int] = frozenset()
    closed: bool = False
    reasons: tuple[str, ...] = ()

    @property
    def sent(self) -> int:
        """Records that may have been sent: the sequences 0 to `sent` - 1."""
        return len(self.offsets)

    @property
    def acknowledged(self) -> int:
        return self.sent - self.offsets.count(NOWHERE)

    @property
    def unknown(self) -> int:
        """Records that may be in Kafka or not."""
        return self.sent - self.acknowledged - len(self.refused)

    def place_of(self, sequence: int) -> TopicPartition:
        return self.places[sequence % len(self.places)]

    def ends(self) -> Offsets:
        """The offset after the last acknowledged record of each partition that has one."""
        found: Offsets = {}
        for number, place in enumerate(self.places):
            last = max(self.offsets[number :: len(self.places)], default=NOWHERE)
            if last != NOWHERE:
                found[place] = last + 1
        return found


def header(drill: str, producer: str, opened_at: str, start: Offsets, value_bytes: int = VALUE_BYTES) -> str:
    """The first line; `start` names the partitions. Raises ValueError for a producer that no value can say."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", producer):
        raise ValueError(f"a producer is letters, digits and ._-, not {producer!r}")
    return _line({
        "format": FORMAT, "drill": drill, "producer": producer, "value_bytes": value_bytes, "opened_at": opened_at,
        "places": sorted(start), "start": to_spark_offsets(start)})


def reserve(until: int) -> str:
    """That all sequences below `until` may be sent from now on."""
    return _line({"reserve": until})


def refused(sequence: int, why: str) -> str:
    return _line({"refused": [sequence, why]})


def unknown(sequence: int, why: str) -> str:
    return _line({"unknown": [sequence, why]})


def closed(sent: int) -> str:
    return _line({"closed": sent})


class Acknowledgement(NamedTuple):
    """One record that Kafka has, with the number of its place."""

    place: int
    sequence: int
    offset: int


def acknowledged(records: Iterable[Acknowledgement], places: int) -> Iterator[str]:
    """Lines for these records: one for each run in which sequences grow by `places` and offsets by 1."""
    runs: dict[int, list[int]] = {}  # place: [first sequence, records, first offset]
    for place, sequence, offset in records:
        run = runs.get(place)
        if run is not None and (sequence, offset) == (run[0] + run[1] * places, run[2] + run[1]):
            run[1] += 1
            continue
        if run is not None:
            yield _line({"ack": [place, *run]})
        runs[place] = [sequence, 1, offset]
    for place, run in runs.items():
        yield _line({"ack": [place, *run]})


def read(lines: Iterable[str]) -> Ledger:
    """The ledger in these lines. A last line that a kill cut off is left out.

    Raises StateError where the file is none of ours, or a line in the middle cannot be read.
    """
    reader = _Reader()
    torn: str | None = None
    for line in lines:
        if torn is not None:
            raise _unreadable(torn)
        if not line.endswith("\n"):
            torn = line
            continue
        try:
            reader.take(json.loads(line))
        except (ValueError, KeyError, TypeError, IndexError):
            raise _unreadable(line) from None
    return reader.ledger()


@dataclass
class _Reader:
    head: dict[str, Any] | None = None
    places: tuple[TopicPartition, ...] = ()
    offsets: array[int] = field(default_factory=lambda: array("q"))
    refused: set[int] = field(default_factory=set)
    closed: bool = False
    reasons: dict[str, None] = field(default_factory=dict)

    def take(self, data: dict[str, Any]) -> None:
        if self.head is None:
            if data["format"] != FORMAT:
                raise ValueError(data["format"])
            self.head = data
            self.places = tuple(TopicPartition(topic, int(number)) for topic, number in data["places"])
        elif "reserve" in data:
            self.offsets.extend([NOWHERE] * (data["reserve"] - len(self.offsets)))
        elif "ack" in data:
            _, first, count, offset = data["ack"]
            step = len(self.places)
            self.offsets[first : first + count * step : step] = array("q", range(offset, offset + count))
        elif "closed" in data:
            del self.offsets[data["closed"] :]
            self.closed = True
        else:
            word = "refused" if "refused" in data else "unknown"
            sequence, why = data[word]
            if word == "refused":
                self.refused.add(int(sequence))
            if len(self.reasons) < 10:
                self.reasons[f"{word}: {why}"] = None

    def ledger(self) -> Ledger:
        head = self.head
        if head is None:
            raise StateError("the ledger is empty: the drill ended before it sent anything",
                             "There is nothing to be judged by identity. Run the drill again.")
        return Ledger(
            head["drill"], head["producer"], head["opened_at"], self.places,
            parse_spark_offsets(json.dumps(head["start"])), int(head["value_bytes"]), self.offsets,
            frozenset(self.refused), self.closed, tuple(self.reasons))


def _unreadable(line: str) -> StateError:
    return StateError(f"a ledger of format {FORMAT} has a line that cannot be read: {line[:200]!r}",
                      "It is only ever written at its end, so something else changed it. Run the drill again.")


def _line(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":")) + "\n"
