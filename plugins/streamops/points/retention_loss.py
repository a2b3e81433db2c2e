"""Partitions in which retention has overtaken a pipeline: what is gone, what is left, and how soon more will be gone.

Pure: recovery points and what brokers say are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from streamops.points.lag_seconds import Retention
from streamops.points.recovery_points import RecoveryPoint
from streamops.state.offsets import Offsets, TopicPartition
from streamops.text_table import number, seconds, table


@dataclass(frozen=True)
class Oldest:
    """The oldest record that Kafka has of a partition: its age, and seconds until retention may take it.

    Each is None where that is unknown; `why` says it of the latter, also where nothing will ever take it.
    """

    age_s: float | None = None
    goes_in_s: float | None = None
    why: str | None = None


@dataclass(frozen=True)
class Overtaken:
    """A partition whose next offset to process is below the first that Kafka has.

    The write-ahead log holds what is below `held_until`, which is `processed` where it holds nothing. `whole_at` is the
    time of the last recovery point at which nothing was gone, `gone_at` of the first at which something was.
    """

    topic_partition: TopicPartition
    processed: int
    earliest: int
    latest: int | None
    held_until: int
    whole_at: str | None = None
    gone_at: str | None = None
    oldest: Oldest = Oldest()

    @property
    def gone(self) -> int:
        """Offsets that nobody has any more."""
        return max(0, self.earliest - self.held_until)

    @property
    def held(self) -> int:
        """Offsets that Kafka has no more, and the write-ahead log has."""
        return min(self.held_until, self.earliest) - self.processed

    @property
    def left(self) -> int | None:
        """Offsets that Kafka has and nobody has processed."""
        return None if self.latest is None else self.latest - self.earliest

    def as_dict(self) -> dict[str, Any]:
        return {
            "topic": self.topic_partition.topic, "partition": self.topic_partition.partition,
            "processed": self.processed, "earliest": self.earliest, "latest": self.latest, "gone": self.gone,
            "in_write_ahead_log": self.held, "whole_at": self.whole_at, "gone_at": self.gone_at,
            "oldest_goes_in_s": self.oldest.goes_in_s,
        }


def overtaken(
    now: RecoveryPoint, earlier: Iterable[RecoveryPoint], oldest: Mapping[TopicPartition, Oldest]
) -> tuple[Overtaken, ...]:
    """The partitions in which something unprocessed is gone; `earlier` are stored points, newest first."""
    held = {part.topic_partition: part.until for part in (now.wal.ranges or ())} if now.wal is not None else {}
    found = places(now)
    whole_at: dict[TopicPartition, str] = {}
    gone_at: dict[TopicPartition, str] = {}
    for point in earlier:
        for at in found.keys() - whole_at.keys():
            each = point.partitions.get(at)
            if each is None or each.processed is None or each.earliest is None:
                continue
            (gone_at if each.processed < each.earliest else whole_at)[at] = point.taken_at
        if len(whole_at) == len(found):
            break
    return tuple(
        Overtaken(at, processed, earliest, now.partitions[at].latest, max(processed, held.get(at, 0)),
                  whole_at.get(at), gone_at.get(at), oldest.get(at, Oldest()))
        for at, (processed, earliest) in sorted(found.items()))


def places(now: RecoveryPoint) -> dict[TopicPartition, tuple[int, int]]:
    """Processed and earliest offset of each partition in which something unprocessed is gone."""
    return {at: (each.processed, each.earliest) for at, each in now.partitions.items()
            if each.processed is not None and each.earliest is not None and each.processed < each.earliest}


def unknown(now: RecoveryPoint) -> dict[TopicPartition, str]:
    """Partitions of which nobody can say whether something is gone, with the reason."""
    return {at: now.why_unknown(what, at) or f"its {what} offset is unknown"
            for at, each in now.partitions.items()
            for what in ("processed", "earliest") if getattr(each, what) is None}


def starts(found: Iterable[Overtaken]) -> Offsets:
    """Where to go on in these partitions; all others stay where they are."""
    return {each.topic_partition: each.earliest for each in found}


def in_words(found: Iterable[Overtaken]) -> str:
    """`lines-0 from 42`, for each."""
    return ", ".join(f"{each.topic_partition} from {each.earliest:,}" for each in found)


def shown(found: Iterable[Overtaken]) -> str:
    """The partitions, as plain text."""
    return table(
        ("PARTITION", "PROCESSED", "EARLIEST", "LATEST", "GONE", "IN THE LOG", "LEFT", "WHOLE AT", "GONE AT",
         "NEXT GOES IN"),
        [(str(each.topic_partition), *map(number, (
            each.processed, each.earliest, each.latest, each.gone, each.held, each.left)),
          each.whole_at or "?", each.gone_at or "now", seconds(each.oldest.goes_in_s)) for each in found])


def soonest_s(found: Iterable[Overtaken]) -> float | None:
    """Seconds until the first of these may lose more; None where none will, as far as is known."""
    return min((each.oldest.goes_in_s for each in found if each.oldest.goes_in_s is not None and each.left),
               default=None)


def enough_ms(found: Iterable[Overtaken], limits: Mapping[str, Retention], needed_s: float) -> dict[str, int]:
    """`retention.ms` for each topic that would lose more within `needed_s`: doubled until it loses nothing by then.

    Doubled, so that a second look gives the same. Topics that are limited otherwise are not in it.
    """
    raised: dict[str, int] = {}
    for each in found:
        goes_in_s, age_s = each.oldest.goes_in_s, each.oldest.age_s
        now_ms = limits.get(each.topic_partition.topic, Retention(None)).retention_ms
        if goes_in_s is None or goes_in_s >= needed_s or not each.left or age_s is None or not now_ms:
            continue
        wanted_ms = now_ms
        while wanted_ms < (age_s + needed_s) * 1000:
            wanted_ms *= 2
        if wanted_ms > now_ms:
            topic = each.topic_partition.topic
            raised[topic] = max(raised.get(topic, 0), wanted_ms)
    return raised
