"""A pipeline's place carried over to a topic of another name, or another cluster: by the timestamps of records.

The new topic is a copy of the old one, partition by partition, with the records' order and timestamps, but not with
their offsets (as MirrorMaker makes it). The first record that is not processed has a timestamp; the new place is the
first record of that time or later. Since processed records may have the same time, or a later one, these are processed
again: how many, the old topic tells. A record that is not processed is never passed over, unless it was not copied:
then the first record found is later, and the old topic tells how many are missing.

Pure: what brokers said is an argument.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from streamops.errors import ConfigurationError
from streamops.restoring.refusals import MOST_NAMED, Refusal, RefusalKind
from streamops.restoring.targets import Target
from streamops.state.offsets import Offsets, TopicPartition, parse_spark_offsets, to_spark_offsets
from streamops.text_table import number, table


@dataclass(frozen=True)
class OldPlace:
    """A partition as it is read until now.

    `time_ms` is the timestamp of the first record that is not processed, or, where none `waits`, the newest one's; None
    where there never was a record, or none is left. `same_time` is the first offset of that time or later.
    """

    processed: int
    latest: int
    waits: bool
    time_ms: int | None
    same_time: int | None


@dataclass(frozen=True)
class NewPlace:
    """The same partition as it is to be read. `found` is the first offset of the old place's time or later, with its
    timestamp `found_ms`; `missing_until` is the old topic's first offset of `found_ms` or later. None: no such record.
    """

    earliest: int
    latest: int
    found: int | None = None
    found_ms: int | None = None
    missing_until: int | None = None


@dataclass(frozen=True)
class Carried:
    """Where a partition goes on. `replayed` and `lost` are in records, by the old topic's offsets."""

    old: TopicPartition
    new: TopicPartition
    processed: int
    time_ms: int | None
    offset: int | None
    replayed: int = 0
    lost: int = 0
    note: str = ""


def carry(old_at: TopicPartition, new_at: TopicPartition, old: OldPlace, new: NewPlace) -> Carried:
    """Where one partition goes on, and what that replays or loses."""

    def carried(offset: int | None, replayed: int = 0, lost: int = 0, note: str = "") -> Carried:
        return Carried(old_at, new_at, old.processed, old.time_ms, offset, replayed, lost, note)

    if old.time_ms is None:
        if old.latest == 0:
            return carried(new.earliest, note="there never was a record: it starts at the first one")
        return carried(None, note="retention has left no record whose time could be carried over")
    replayed = max(0, old.processed - old.same_time) if old.same_time is not None else 0
    if new.found is None or new.found_ms is None:
        if old.waits:
            return carried(new.latest, lost=old.latest - old.processed, note="nothing of what waits was copied")
        return carried(new.latest, note="the newest record was not copied yet: it is processed again when it is")
    if old.waits and new.found_ms > old.time_ms:
        until = old.latest if new.missing_until is None else new.missing_until
        return carried(new.found, lost=max(1, until - old.processed), note="the first record that waits was not copied")
    if not old.waits and new.found_ms > old.time_ms:
        return carried(new.found, note="nothing waits, and the newest record was not copied: it starts after its time")
    why = ""
    if replayed:
        why = "it has the same time as the next one, or a later one" if old.waits else "it has the newest time"
        why = f"up to {replayed:,} processed again: {why}"
    return carried(new.found, replayed=replayed, note=why)


def refusals(carried: Iterable[Carried], append_time: Iterable[str], accept_loss: bool) -> list[Refusal]:
    """Why the places may not be carried over. `append_time` are new topics whose records have the copy's own time."""
    found = [Refusal(RefusalKind.UNRESOLVED,
                     f"topic {topic} stamps records when they are appended: none has the time of its original",
                     "Copy into one with message.timestamp.type=CreateTime, or state offsets (offsets restore).")
             for topic in sorted(append_time)]
    unknown, lost = [], []
    for each in carried:
        if each.offset is None:
            unknown.append(f"{each.old}: {each.note}")
        elif each.lost and not accept_loss:
            lost.append(f"{each.lost:,} of {each.old} from offset {each.processed} on")
    for kind, what, words, repair in (
        (RefusalKind.UNRESOLVED, unknown, "", "State offsets or a time: streamops offsets restore."),
        (RefusalKind.NOT_COPIED, lost, "records wait that are not in the new topic: ",
         "Wait until they are copied, or accept that they are never processed (--accept-loss)."),
    ):
        if what:
            more = f"; and {len(what) - MOST_NAMED:,} more partitions" if len(what) > MOST_NAMED else ""
            found.append(Refusal(kind, words + "; ".join(what[:MOST_NAMED]) + more, repair))
    return found


def parse(text: str) -> tuple[dict[str, str], str | None]:
    """What somebody wrote of the old place: `lines=lines_v2, kafka_old` are topics with another name now, and the id of
    the old cluster's connection, either of which may be missing. Raises ConfigurationError.
    """
    words = text.replace(",", " ").split()
    renamed = [tuple(word.split("=", 1)) for word in words if "=" in word]
    connections = [word for word in words if "=" not in word]
    if not words or len(connections) > 1 or any(not old or not new or "=" in new for old, new in renamed) or (
            len({old for old, _ in renamed}) < len(renamed)):
        raise ConfigurationError(f"{text[:80]!r} is no place that a pipeline read before",
                                 "Write OLD=NEW for each topic that has another name, and the old connection's id.")
    return {old: new for old, new in renamed}, connections[0] if connections else None


def as_table(carried: Iterable[Carried]) -> str:
    """The partitions, as plain text."""
    return table(
        ("FROM", "PROCESSED", "TIME, MS", "TO", "STARTS AT", "AGAIN", "LOST", ""),
        [(str(each.old), number(each.processed), number(each.time_ms), str(each.new), number(each.offset),
          number(each.replayed), number(each.lost), each.note) for each in carried])


def paired(old_topics: Mapping[str, str], processed: Iterable[TopicPartition]) -> dict[TopicPartition, TopicPartition]:
    """The new partition of each old one; `old_topics` are the new names by the old ones."""
    return {at: TopicPartition(old_topics[at.topic], at.partition) for at in sorted(processed)
            if at.topic in old_topics}


@dataclass(frozen=True)
class MovedFrom:
    """That the topics are others now, or on another cluster. `start` is the new place in terms of the old topics.

    Of the old batches, those after it hold records that are processed again. `connection` is the old cluster's,
    `topics` has the new names by the old ones.
    """

    connection: str
    topics: Mapping[str, str]
    start: Offsets

    def in_new_terms(self, target: Target, processed: Mapping[TopicPartition, int]) -> Offsets:
        """Where the old topics stand, in offsets of the new ones, as far as those are a whole copy."""
        new = {at: TopicPartition(self.topics[at.topic], at.partition) for at in self.start}
        return {new[at]: target.offsets[new[at]] + processed[at] - offset for at, offset in self.start.items()
                if at in processed and new[at] in target.offsets}

    def to_data(self) -> dict[str, Any]:
        return {"connection": self.connection, "topics": dict(self.topics), "start": to_spark_offsets(self.start)}

    @classmethod
    def from_data(cls, data: Mapping[str, Any] | None) -> MovedFrom | None:
        """What `to_data` gave."""
        if not data:
            return None
        return cls(data["connection"], data["topics"], parse_spark_offsets(json.dumps(data["start"])))
