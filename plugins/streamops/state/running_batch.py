"""The batch that runs, beside those that are in the batch log: since when, and whether that is far longer than usual.

Pure: times are arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from streamops.state.batch_log import Entry
from streamops.state.offsets import Offsets, to_spark_offsets

#: A batch counts as stuck after so many times the longest of the last ones, so many intervals, and this many seconds:
#: the first batch of a driver takes ten times as long as those after it, and a slow one is no stuck one.
_TIMES_LONGEST, _TIMES_INTERVAL, _LEAST_S = 5.0, 5.0, 60.0

#: Batches by which it is judged what is usual now.
_USUAL = 5
#: What a rate is taken over: seconds of batches, and batches where those seconds have less.
_RECENT_S, _FEWEST = 10.0, 2


@dataclass(frozen=True)
class RunningBatch:
    """A batch that the checkpoint or a plan names, and the batch log does not.

    `since` is when it began, or, where that is not known, the earliest that it can have; UTC, ISO 8601. `ends` is where
    it stops, and `doing` what Spark's page says of it, where that could be asked.
    """

    generation: int
    batch: int
    since: str
    ends: Offsets
    doing: tuple[str, ...] = ()

    def age_s(self, now: datetime) -> float:
        return max(0.0, (now - datetime.fromisoformat(self.since)).total_seconds())

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `ends` in Spark's format."""
        return {"generation": self.generation, "batch": self.batch, "since": self.since, "doing": list(self.doing),
                "ends": to_spark_offsets(self.ends)}


@dataclass(frozen=True)
class BatchTimes:
    """How long the last batches took, from their start to their entry, and how much of it transform and sink did.

    `longest_s` is over all that were read, the others over the last few: what was usual a minute ago may not be now.
    """

    batches: int
    usual_s: float
    longest_s: float
    sink_share: float
    records_per_s: float | None

    def as_dict(self) -> Mapping[str, Any]:
        return {"batches": self.batches, "usual_s": self.usual_s, "longest_s": self.longest_s,
                "sink_share": self.sink_share, "records_per_s": self.records_per_s}


def times(entries: Sequence[Entry]) -> BatchTimes | None:
    """The times of these batches, without the first of each driver, which starts cold where there are others."""
    warm = [entry for before, entry in pairwise(entries) if entry.epoch == before.epoch]
    counted = [entry for entry in warm or entries if entry.span] or warm or list(entries)
    if not counted:
        return None
    last = counted[-_USUAL:]
    took = sorted(map(_took_s, last))
    total_s = max(sum(took), 0.001)
    records = sum(entry.span for entry in last)
    return BatchTimes(len(counted), took[len(took) // 2], max(map(_took_s, counted)),
                      min(1.0, sum(entry.sink_ms for entry in last) / 1000 / total_s),
                      records / total_s if records else None)


def recent_per_s(entries: Sequence[Entry], now: datetime) -> float | None:
    """Records a second over the last three batches, or the last seconds where those had more; None for less than two.

    A batch that takes longer than those before counts for as long as it has taken by now.
    """
    if len(entries) < _FEWEST:
        return None
    ended = [datetime.fromisoformat(each.finished_at) for each in entries]
    young = sum((ended[-1] - each).total_seconds() <= _RECENT_S for each in ended)
    counted = min(max(young, _FEWEST + 1), len(entries))
    longest = max(later - earlier for earlier, later in pairwise(ended[-counted:]))
    until = now if now - ended[-1] > longest else ended[-1]
    took_s = (until - ended[-counted]).total_seconds()
    return sum(each.span for each in entries[-counted:][1:]) / max(took_s, 0.001)


def stuck_after_s(known: BatchTimes | None, interval_s: float) -> float:
    """Seconds after which a batch that runs counts as stuck."""
    longest_s = known.longest_s if known is not None else 0.0
    return max(_TIMES_LONGEST * longest_s, _TIMES_INTERVAL * interval_s, _LEAST_S)


def _took_s(entry: Entry) -> float:
    began, ended = datetime.fromisoformat(entry.started_at), datetime.fromisoformat(entry.finished_at)
    return max(0.0, (ended - began).total_seconds())
