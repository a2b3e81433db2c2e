"""Where a restore goes to: targets as people name them, turned into one offset for each partition.

Pure: Kafka's offsets and the batch log's are arguments. Nothing is guessed: a partition of which a target says nothing
is refused, or stays where it is and is named.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from streamops.errors import ConfigurationError
from streamops.state.offsets import OffsetRange, Offsets, TopicPartition, parse_spark_offsets


class TargetKind(StrEnum):
    """What a target names."""

    POINT = "point"
    TIME = "time"
    EARLIEST = "earliest"
    LATEST = "latest"
    BY = "by"
    OFFSETS = "offsets"
    FILE = "file"


@dataclass(frozen=True)
class Target:
    """A target. `offsets` are a point's processed offsets or those that were stated; `by` is in records, signed.

    A time means the first record of that time or later: Kafka says which one that is (`ObservedPositions.at_time`).
    `agreed` says that the offsets are those that Kafka gave for one of the targets that are always of the topic that is
    there now, when somebody agreed to them.
    """

    kind: TargetKind
    words: str
    offsets: Mapping[TopicPartition, int] = field(default_factory=dict)
    by: int = 0
    time: datetime | None = None
    agreed: bool = False

    @property
    def is_of_now(self) -> bool:
        """Whether its offsets mean something also in a topic that was made again since the last look at it."""
        return self.agreed or self.kind in (TargetKind.EARLIEST, TargetKind.LATEST, TargetKind.TIME)


def parse(kind: TargetKind, value: str) -> Target:
    """The target that somebody stated; `value` is void for earliest and latest.

    time: `2026-11-20T03:00+00:00`, with its zone. by: `+500` or `-1000` records in each partition. offsets:
    `lines:0=42,lines:1=7`, or the JSON that Spark has, `{"lines": {"0": 42}}`. file: the text of a file as
    `kafka-consumer-groups --export` writes it. A point is not parsed here: its offsets are in the database.

    Raises ConfigurationError, with what to write.
    """
    text = value.strip()
    match kind:
        case TargetKind.EARLIEST | TargetKind.LATEST:
            return Target(kind, kind.value)
        case TargetKind.TIME:
            return _time(text)
        case TargetKind.BY:
            if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
                raise ConfigurationError(f"{text[:80]!r} is no number of records",
                                         "Write -1000 to go back, +500 to skip.")
            return Target(kind, f"{int(text):+,} records in each partition", by=int(text))
        case TargetKind.OFFSETS:
            return Target(kind, "stated offsets", _offsets(text))
        case TargetKind.FILE:
            return Target(kind, "the offsets of a file", read_csv(value.splitlines()))
        case TargetKind.POINT:
            raise ValueError("a point's offsets are in the database")


def _time(text: str) -> Target:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{text[:80]!r} is no time", "Write it as 2026-11-20T03:00:00Z.") from None
    if time.tzinfo is None:
        raise ConfigurationError(f"the time {text} has no zone", f"Write {text}Z for UTC, or the offset, as in +02:00.")
    return Target(TargetKind.TIME, f"{time.astimezone(UTC).isoformat()}", time=time)


def _offsets(text: str) -> Offsets:
    if re.fullmatch(r"[\w.-]+:\d+=\d+(,\s*[\w.-]+:\d+=\d+)*", text, re.ASCII):
        stated = [(TopicPartition(topic, int(partition)), int(offset))
                  for topic, partition, offset in re.findall(r"([\w.-]+):(\d+)=(\d+)", text, re.ASCII)]
        if len(dict(stated)) < len(stated):
            raise ConfigurationError(f"a partition is named twice in {text[:80]!r}", "State one offset for each.")
        return dict(stated)
    try:
        offsets = parse_spark_offsets(text)
        if not offsets or min(offsets.values()) < 0:
            raise ValueError("offsets begin with 0")
        return offsets
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"these offsets cannot be read ({error}): {text[:80]!r}",
                                 'Write lines:0=42,lines:1=7, or {"lines": {"0": 42, "1": 7}}.') from None


@dataclass(frozen=True)
class ObservedPositions:
    """Where partitions stand. A partition that is missing in one of them is unknown there.

    `partitions` are those that Kafka has of the pipeline's topics. For a target that is a time, `at_time` has the first
    offset of that time or later, and None where no record is that new.
    """

    partitions: frozenset[TopicPartition]
    earliest: Mapping[TopicPartition, int]
    latest: Mapping[TopicPartition, int]
    processed: Mapping[TopicPartition, int]
    at_time: Mapping[TopicPartition, int | None] = field(default_factory=dict)

    @property
    def lost(self) -> tuple[OffsetRange, ...]:
        """What retention has taken before it was processed, in order."""
        return tuple(OffsetRange(*at, offset, self.earliest[at]) for at, offset in sorted(self.processed.items())
                     if offset < self.earliest.get(at, 0))


@dataclass(frozen=True)
class Resolved:
    """A target as offsets, not yet held against retention.

    `unnamed` are partitions that the target says nothing of, with what becomes of them in words; `unresolved` those for
    which no offset can be stated, with the reason.
    """

    offsets: Offsets
    unnamed: Mapping[TopicPartition, str]
    unresolved: Mapping[TopicPartition, str]


def resolve(target: Target, observed: ObservedPositions) -> Resolved:
    """The offset at which each partition shall start.

    A shift stays between the partition's ends, as `kafka-consumer-groups --shift-by` does at the end; below the
    earliest record it is left as it is, for whoever resolves has to accept what retention has taken. A time after the
    newest record is the end, as Kafka's tool has it. A partition that a point does not have was added after it: it
    starts at its first record, so that nothing is skipped. One that stated offsets do not name stays where it is.
    """
    offsets: Offsets = {}
    unnamed: dict[TopicPartition, str] = {}
    unresolved = {at: f"Kafka has no partition {at} in the pipeline's topics"
                  for at in sorted(target.offsets) if at not in observed.partitions}
    for at in sorted(observed.partitions):
        offset, why = _start(target, at, observed)
        if offset is None:
            unresolved[at] = why
        else:
            offsets[at] = offset
            if why:
                unnamed[at] = why
    return Resolved(offsets, unnamed, unresolved)


def _start(target: Target, at: TopicPartition, observed: ObservedPositions) -> tuple[int | None, str]:
    """The offset of one partition, and what is to be said of it; or None and why."""
    latest, processed = observed.latest.get(at), observed.processed.get(at)
    match target.kind:
        case TargetKind.EARLIEST:
            return _known(observed.earliest.get(at), f"the earliest offset of {at} is unknown")
        case TargetKind.LATEST:
            return _known(latest, f"the latest offset of {at} is unknown")
        case TargetKind.BY:
            if processed is None or latest is None:
                missing = "what was processed" if processed is None else "the latest offset"
                return None, f"{missing} of {at} is unknown"
            return max(0, min(processed + target.by, latest)), ""
        case TargetKind.TIME:
            if at not in observed.at_time:
                return None, f"the offset of {at} at that time is unknown"
            found = observed.at_time[at]
            return (found, "") if found is not None else _known(latest, f"the latest offset of {at} is unknown")
        case TargetKind.POINT | TargetKind.OFFSETS | TargetKind.FILE:
            if at in target.offsets:
                return target.offsets[at], ""
            if target.kind is TargetKind.POINT:
                earliest = observed.earliest.get(at)
                return (earliest, "added after the point: starts at its first record") if earliest is not None else (
                    None, f"the point does not have {at}, and its earliest offset is unknown")
            return (processed, "not named: stays where it is") if processed is not None else (
                None, f"no offset is stated for {at}, and what was processed of it is unknown")


def _known(offset: int | None, why: str) -> tuple[int | None, str]:
    return (offset, "") if offset is not None else (None, why)


def read_csv(lines: Iterable[str], group: str | None = None) -> Offsets:
    """Offsets out of a file as `kafka-consumer-groups --reset-offsets … --export` prints it.

    Without a header: `topic,partition,offset`, or `group,topic,partition,offset` when it was asked for several groups
    (org.apache.kafka.tools.consumer.group.CsvUtils). Of several groups, the lines of `group` are taken.

    Raises:
        ConfigurationError: naming every line that is not like that.
    """
    offsets: Offsets = {}
    groups: set[str] = set()
    wrong: list[str] = []
    for number, row in enumerate(csv.reader(lines), start=1):
        if not row or (len(row) == 1 and not row[0].strip()):
            continue
        cells = [cell.strip() for cell in row]
        if len(cells) not in (3, 4) or not all(cell.isascii() and cell.isdigit() for cell in cells[-2:]):
            wrong.append(f"line {number} is {','.join(row)[:80]!r}")
            continue
        if len(cells) == 4:
            groups.add(cells[0])
            if group is not None and cells[0] != group:
                continue
        at = TopicPartition(cells[-3], int(cells[-2]))
        if offsets.setdefault(at, int(cells[-1])) != int(cells[-1]):
            wrong.append(f"line {number} states another offset of {at}, and an earlier one says {offsets[at]}")
    if group is None and len(groups) > 1:
        wrong.append(f"the file has the groups {', '.join(sorted(groups))}, and none of them was chosen")
    if not wrong and not offsets:
        wrong.append(f"it has no line of the group {group}" if groups else "it is empty")
    if wrong:
        more = f"; and {len(wrong) - 10} more" if len(wrong) > 10 else ""
        raise ConfigurationError(
            f"the offsets cannot be read: {'; '.join(wrong[:10])}{more}",
            "Write topic,partition,offset on each line, or group,topic,partition,offset, without a header.",
        )
    return offsets
