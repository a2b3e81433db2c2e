"""The questions that every proof answers: is it old enough, is it processed, does a recovery point need it?

Each answers with None where nothing stands against it, or with the reason to keep and its words. Pure but for reading
the batch log's losses, once, when they are first asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from streamops.cleaning.cleanup import Found, Reason
from streamops.cleaning.ground import Evidence, Ground, KeptPoint
from streamops.state import batch_log
from streamops.state.offsets import OffsetRange, Offsets, TopicPartition

Objection = tuple[Reason, str]

#: Milliseconds by which clocks of two machines may differ, of which one writes files and the other judges them.
CLOCKS_MS = 120_000
_HOUR_MS = 3_600_000
#: An entry of the batch log without losses, as it is written; others are few, and read.
_NO_LOSS = '"lost":[]'


@dataclass(frozen=True)
class _Need:
    """Offsets of one partition that a recovery point would read from the log, and Kafka does not have, or may lose."""

    first: int
    until: int | None
    point: KeptPoint


def age(found: Found, least_h: float, now_ms: int) -> Objection | None:
    """A file must have stayed as it is for `least_h` hours. Age alone never lets anything go."""
    if found.modified_ms is None:
        return Reason.UNPROVEN, "its store does not say when it changed"
    if found.modified_ms > now_ms + CLOCKS_MS:
        return Reason.CLOCK, f"it is of {(found.modified_ms - now_ms) / 1000:,.0f} s from now"
    if now_ms - found.modified_ms < least_h * _HOUR_MS:
        return Reason.YOUNG, f"it changed {max(0, now_ms - found.modified_ms) / 1000:,.0f} s ago"
    return None


def hull(ranges: Iterable[OffsetRange]) -> tuple[OffsetRange, ...]:
    """For each partition one range around all of `ranges`."""
    around: dict[TopicPartition, OffsetRange] = {}
    for held in ranges:
        at = held.topic_partition
        known = around.get(at, held)
        around[at] = OffsetRange(*at, min(known.first, held.first), max(known.until, held.until))
    return tuple(sorted(around.values()))


class Proofs:
    """What stands against letting go of things of one state directory."""

    def __init__(self, ground: Ground, files: Evidence) -> None:
        self._ground = ground
        self._files = files
        self._needs: dict[TopicPartition, list[_Need]] | None = None
        self._lost: tuple[OffsetRange, ...] | None = None
        self._lost_unknown: str | None = None
        #: The ids that recovery points of a generation give for a topic.
        self._ids: dict[tuple[int | None, str], set[str | None]] = {}
        for point in ground.points or ():
            for topic, found in point.topic_ids.items():
                if found is not None:
                    self._ids.setdefault((point.generation, topic), set()).add(found)
        #: Why nothing at all may go.
        self.against_all = self._against_all()

    def _against_all(self) -> Objection | None:
        ground, state = self._ground, self._ground.state
        if state.problem is not None:
            return Reason.UNREADABLE, f"the state directory cannot be judged: {state.problem}"
        if ground.declared and (strangers := state.pipelines - {ground.pipeline}):
            return Reason.UNPROVEN, f"files of it name the pipeline {min(strangers)}, and not {ground.pipeline}"
        points = ground.points or ()
        newest_ms = max([each.taken_ms for each in points] + [state.newest_ms or 0])
        if newest_ms > ground.now_ms + CLOCKS_MS:
            return Reason.CLOCK, (f"the clock is {(newest_ms - ground.now_ms) / 1000:,.0f} s behind what the pipeline "
                                  "wrote: it was set back, or another one is wrong")
        if state.current is None:
            return Reason.UNPROVEN, "it has no generation: no driver ever started, or the directory was deleted"
        return None

    def unprocessed(self, ranges: tuple[OffsetRange, ...], generation: int) -> Objection | None:
        """Every offset of `ranges`, which a generation stored, must be in the sink, in a batch that counts."""
        state = self._ground.state
        own = state.generations.get(generation)
        if own is None or own.problem is not None:
            return Reason.UNREADABLE, own.problem if own is not None and own.problem else (
                f"nothing is known of generation {generation}")
        if not _are_within(ranges, own.counted):
            if (objection := self._other_topic(ranges, generation)) is not None:
                return objection
            for held in ranges:
                at, until = held.topic_partition, state.processed.get(held.topic_partition)
                if until is None:
                    return Reason.UNPROCESSED, f"it holds {at} up to {held.until}; nothing says what is processed"
                if held.until > until:
                    return Reason.UNPROCESSED, f"it holds {at} up to {held.until}, and {until} is processed"
            if not _are_within(ranges, self._counted(generation)):
                return Reason.UNPROCESSED, "a restore went past some of its offsets: they are in no batch that counts"
        return None

    def _counted(self, generation: int) -> list[OffsetRange]:
        """What batches took that count, of the very topics that `generation` read.

        Later generations cannot have read an older topic of that name. Earlier ones may have: recovery points tell.
        """
        now = self._ground.kafka.topic_ids
        return [taken for number, each in self._ground.state.generations.items() for taken in each.counted
                if number >= generation or self._ids.get((number, taken.topic)) == {now.get(taken.topic)}]

    def _other_topic(self, ranges: tuple[OffsetRange, ...], generation: int) -> Objection | None:
        """Offsets of two topics of one name cannot be compared: recovery points must show that it is the same one."""
        for topic in sorted({held.topic for held in ranges}):
            now = self._ground.kafka.topic_ids.get(topic)
            then = self._ids.get((generation, topic), set())
            if generation == self._ground.state.current and (now is None or then <= {now}):
                continue  # a job ends when its topic was made again, and begins a generation for the new one
            if now is not None and then - {now}:
                return Reason.UNPROVEN, f"{topic} was deleted and made again since"
            if now is None or now not in then:
                return Reason.UNPROVEN, (f"no recovery point of generation {generation} shows that {topic} is still "
                                         "the same topic")
        return None

    def lost(self, ranges: tuple[OffsetRange, ...]) -> Objection | None:
        """What is counted as lost lies below what is processed, and in no sink: a log may hold the only copy."""
        if gone := _overlap(ranges, (*self._ground.state.lost, *self._logged_losses())):
            return Reason.UNPROCESSED, f"{gone} are counted as lost: this may be the only copy"
        if self._lost_unknown is not None:
            return Reason.UNREADABLE, self._lost_unknown
        return None

    def _logged_losses(self) -> tuple[OffsetRange, ...]:
        if self._lost is None:
            try:
                self._lost = tuple(self._read_losses())
            except (ValueError, KeyError, TypeError) as error:
                self._lost = ()
                self._lost_unknown = f"the batch log does not say what was lost ({type(error).__name__})"
        return self._lost

    def _read_losses(self) -> Iterator[OffsetRange]:
        """Out of every batch log. Raises ValueError, KeyError or TypeError for what is no entry."""
        for folder in sorted(self._files.names("batch_log")):
            for name in self._files.names(f"batch_log/{folder}"):
                if not batch_log.holds_entries(name):
                    continue
                for line in (self._files.read(f"batch_log/{folder}/{name}") or "").splitlines():
                    if _NO_LOSS not in line:
                        yield from map(OffsetRange.from_dict, json.loads(line)["lost"])

    def needed(self, ranges: tuple[OffsetRange, ...]) -> Objection | None:
        """No recovery point that stays may need `ranges`, which a receiver's log holds.

        A point needs what the log held for it, where Kafka has it no more; one that somebody holds, in any case.
        """
        if self._ground.points is None:
            return Reason.UNPROVEN, "the recovery points cannot be read: nobody knows what they need"
        if self._needs is None:
            self._needs = self._all_needs()
        for held in ranges:
            for need in self._needs.get(held.topic_partition, ()):
                if need.first < held.until and (need.until is None or held.first < need.until):
                    who = "which somebody holds" if self.is_held(need.point) else "and Kafka may have it no more"
                    return Reason.NEEDED, (f"recovery point {need.point.id} needs {held.topic_partition} from "
                                           f"{max(need.first, held.first)} on, {who}")
        return None

    def held(self, generation: int) -> Objection | None:
        """What an older generation left stays as long as somebody holds a point of it, an undo for example."""
        if self._ground.points is None:
            return Reason.UNPROVEN, "the recovery points cannot be read: nobody knows what they need"
        for point in self._ground.points:
            if point.generation == generation != self._ground.state.current and self.is_held(point):
                return Reason.NEEDED, f"recovery point {point.id} of generation {generation} is held"
        return None

    def is_held(self, point: KeptPoint) -> bool:
        return point.held or point.id == self._ground.state.undo_point

    def _all_needs(self) -> dict[TopicPartition, list[_Need]]:
        needs: dict[TopicPartition, list[_Need]] = {}
        kafka = self._ground.kafka
        for point in self._ground.points or ():
            for at, first, until in _of_log(point, self._ground):
                now, earliest = kafka.topic_ids.get(at.topic), kafka.earliest.get(at)
                same = now is not None and point.topic_ids.get(at.topic) == now
                if not self.is_held(point) and same and earliest is not None:
                    until = earliest if until is None else min(until, earliest)
                if until is None or first < until:
                    needs.setdefault(at, []).append(_Need(first, until, point))
        return needs


def _of_log(point: KeptPoint, ground: Ground) -> Iterator[tuple[TopicPartition, int, int | None]]:
    """What the log held for a point: partition, first offset, and until where; None where the end is not known."""
    if point.wal is not None:
        yield from ((held.topic_partition, held.first, held.until) for held in point.wal)
        return
    known = ground.state.generations.get(point.generation or 0)
    if known is None or known.approach == "receiver":
        yield from ((at, offset, None) for at, offset in point.processed.items())


def _are_within(ranges: Iterable[OffsetRange], others: Iterable[OffsetRange]) -> bool:
    """Whether each offset of `ranges` is in one of the others."""
    by_partition: dict[TopicPartition, list[OffsetRange]] = {}
    for other in sorted(others):
        by_partition.setdefault(other.topic_partition, []).append(other)
    for held in ranges:
        reached = held.first
        for other in by_partition.get(held.topic_partition, ()):
            if other.first <= reached:
                reached = max(reached, other.until)
        if reached < held.until:
            return False
    return True


def _overlap(ranges: Iterable[OffsetRange], others: Iterable[OffsetRange]) -> str | None:
    """The first offsets that are in both, in words; None where there are none."""
    by_partition: dict[TopicPartition, list[OffsetRange]] = {}
    for other in others:
        by_partition.setdefault(other.topic_partition, []).append(other)
    for held in ranges:
        for other in by_partition.get(held.topic_partition, ()):
            first, until = max(held.first, other.first), min(held.until, other.until)
            if first < until:
                return f"offsets {first} to {until} of {held.topic_partition}"
    return None


def in_words(ends: Offsets, most: int = 3) -> str:
    """`lines-0 to 120, lines-1 to 80 and 4 more`"""
    named = [f"{at} to {offset}" for at, offset in sorted(ends.items())]
    more = f" and {len(named) - most} more" if len(named) > most else ""
    return (", ".join(named[:most]) or "no offset") + more
