"""A restore before it is done: what it would replay, skip and double, what it loses, and how long it takes.

Pure: observations are arguments, and the answer is data that is printed, shown in Airflow, and compared with what then
really happens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from streamops.restoring.batch_boundaries import Boundaries
from streamops.restoring.targets import ObservedPositions, Resolved, Target
from streamops.state.batch_log import Entry
from streamops.state.offsets import Offsets, TopicPartition
from streamops.text_table import number, table

#: Overlapping batches and notes on partitions that are printed; JSON has all.
_MOST_LINES = 10


@dataclass(frozen=True)
class Pace:
    """Measured records a second: what the pipeline can process, and what producers add meanwhile."""

    records_per_s: float | None
    produced_per_s: float = 0.0

    @classmethod
    def measured(cls, recent: Iterable[Entry], produced_per_s: float, rate_limit: float | None) -> Pace:
        """By batches that ended lately: their offsets over the time that they took, and no more than a limit."""
        busy = [entry for entry in recent if entry.span]
        took_s = sum((datetime.fromisoformat(entry.finished_at) - datetime.fromisoformat(entry.started_at))
                     .total_seconds() for entry in busy)
        if took_s <= 0:
            return cls(None, produced_per_s)
        rate = sum(entry.span for entry in busy) / took_s
        return cls(rate if rate_limit is None else min(rate, rate_limit), produced_per_s)


@dataclass(frozen=True)
class PartitionForecast:
    """One partition of a restore, in offsets.

    It shall stand at `target` and will start at `start`, which is later where retention has taken what was in between.
    `replayed` were processed and will be again; `skipped` were not and never will be, though Kafka has them; both are
    None where it is unknown what was processed. `taken_by_retention` nobody can read any more; `to_read` is what Kafka
    has from the start on.
    """

    topic_partition: TopicPartition
    processed: int | None
    target: int
    start: int
    replayed: int | None
    skipped: int | None
    taken_by_retention: int
    to_read: int
    note: str = ""


_COLUMNS = tuple(field.name for field in fields(PartitionForecast))[1:]


@dataclass(frozen=True)
class Forecast:
    """What a restore would do.

    `catch_up_s` is None where it is unknown or never, and `catch_up_unknown` says which. `lost_state` says in words
    which state of the job goes.
    """

    target: Target
    partitions: tuple[PartitionForecast, ...]
    boundaries: Boundaries
    catch_up_s: float | None
    catch_up_unknown: str | None
    lost_state: tuple[str, ...]

    @property
    def start(self) -> Offsets:
        """The offsets that the new generation states."""
        return {each.topic_partition: each.start for each in self.partitions}

    @property
    def replayed(self) -> int:
        """Over the partitions for which it is known."""
        return sum(each.replayed or 0 for each in self.partitions)

    @property
    def skipped(self) -> int:
        """Over the partitions for which it is known."""
        return sum(each.skipped or 0 for each in self.partitions)

    @property
    def taken_by_retention(self) -> int:
        return sum(each.taken_by_retention for each in self.partitions)

    def table(self) -> str:
        """The partitions, as plain text."""
        return table(
            ("PARTITION", "PROCESSED", "TARGET", "STARTS AT", "AGAIN", "SKIPPED", "GONE", "TO READ"),
            [(str(each.topic_partition), *map(number, (
                each.processed, each.target, each.start, each.replayed, each.skipped, each.taken_by_retention,
                each.to_read))) for each in self.partitions])

    def describe(self) -> list[str]:
        """The whole in lines, for people, before it is done; partitions are a table of their own."""
        batches = self.boundaries
        lines = [f"to {self.target.words}: {self.replayed:,} records are processed again, {self.skipped:,} skipped, "
                 f"{self.taken_by_retention:,} are gone by retention"]
        if self.catch_up_s is not None:
            lines.append(f"caught up after about {self.catch_up_s:,.0f} s")
        else:
            lines.append(f"time to catch up: {self.catch_up_unknown}")
        if batches.exact:
            lines.append("the sink holds nothing twice")
        lines += [str(each) for each in batches.overlaps[:_MOST_LINES]]
        lines += [f"loses: {each}" for each in self.lost_state]
        noted = [f"{each.topic_partition}: {each.note}" for each in self.partitions if each.note]
        for found in (batches.overlaps, noted):
            if len(found) > _MOST_LINES:
                lines.append(f"and {len(found) - _MOST_LINES:,} more {'batches' if found is not noted else 'notes'}")
        return lines + noted[:_MOST_LINES]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; partitions as rows, as in a recovery point."""
        return {
            "target": self.target.words,
            "kind": self.target.kind.value,
            "replayed": self.replayed,
            "skipped": self.skipped,
            "taken_by_retention": self.taken_by_retention,
            "catch_up_s": self.catch_up_s,
            "catch_up_unknown": self.catch_up_unknown,
            "exact": self.boundaries.exact,
            "overlaps": [{"generation": each.generation, "batch": each.batch,
                          "doubled": [taken.as_dict() for taken in each.doubled]} for each in self.boundaries.overlaps],
            "lost_state": list(self.lost_state),
            "columns": ["topic", "partition", *_COLUMNS],
            "partitions": [[*each.topic_partition, *(getattr(each, name) for name in _COLUMNS)]
                           for each in self.partitions],
        }


LOST_STATE = {
    "direct": "what Spark keeps in the checkpoint (aggregations, joins): it begins empty in the new generation",
    "receiver": "what was received and not processed: it is left in the write-ahead log, and read again from Kafka",
}


def assess(resolved: Resolved, observed: ObservedPositions) -> tuple[PartitionForecast, ...]:
    """What becomes of each partition that has both an offset and ends that are known."""
    return tuple(_partition(at, offset, observed, resolved.unnamed.get(at, ""))
                 for at, offset in resolved.offsets.items() if at in observed.earliest and at in observed.latest)


def forecast(
    target: Target,
    partitions: tuple[PartitionForecast, ...],
    found: Boundaries,
    pace: Pace,
    lost_state: Sequence[str],
) -> Forecast:
    """The whole, given its partitions and the batches that their starts leave behind."""
    catch_up, unknown = catch_up_s(sum(each.to_read for each in partitions), pace)
    return Forecast(target, partitions, found, catch_up, unknown, tuple(lost_state))


def _partition(at: TopicPartition, target: int, observed: ObservedPositions, note: str) -> PartitionForecast:
    """Offsets of one partition, each counted once: to be read again, passed over, or gone."""
    earliest, latest, processed = observed.earliest[at], observed.latest[at], observed.processed.get(at)
    start = max(target, earliest)
    before = target if processed is None else processed
    return PartitionForecast(
        at, processed, target, start,
        replayed=None if processed is None else max(0, processed - start),
        skipped=None if processed is None else max(0, start - max(processed, earliest)),
        taken_by_retention=max(0, earliest - min(target, before)),
        to_read=max(0, latest - start),
        note=note,
    )


def catch_up_s(to_read: int, pace: Pace) -> tuple[float | None, str | None]:
    """Seconds until nothing waits, while producers go on; or None and why."""
    if to_read == 0:
        return 0.0, None
    if pace.records_per_s is None:
        return None, "no rate was measured yet"
    gain = pace.records_per_s - pace.produced_per_s
    if gain <= 0:
        return None, (f"never: {pace.produced_per_s:,.0f} records a second are produced, "
                      f"and {pace.records_per_s:,.0f} processed")
    return to_read / gain, None
