"""How long a pipeline took to come back from a fault: detected, first new batch, caught up.

All times are seconds of one clock, the watcher's, since the fault was inflicted. The batch log's own times are not
used: the driver may run on another machine, and no two clocks are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from streamops.state.offsets import Offsets


class SeenBatch(NamedTuple):
    """A batch log entry when it was first seen; `ends` are the offsets after it, of every partition."""

    at_s: float
    generation: int
    batch: int
    ends: Offsets


class SeenLatest(NamedTuple):
    """Kafka's latest offsets at a moment. Brokers that are away leave a gap between two of these."""

    at_s: float
    latest: Offsets


class Sign(NamedTuple):
    """Something that showed the fault to whoever watches the pipeline as Airflow and `streamops status` do."""

    at_s: float
    what: str


@dataclass(frozen=True)
class Watched:
    """What was seen around one fault, in the order of time. `at_s` below 0 is before it.

    `batches` begins with at least the last batch before the fault, where there was one.
    """

    batches: Sequence[SeenBatch]
    latest: Sequence[SeenLatest] = ()
    signs: Sequence[Sign] = ()


@dataclass(frozen=True)
class RecoveryTimes:
    """Seconds from the fault on; None is: not seen while the drill watched.

    `detected_s` is the first sign of it. `first_batch_s` is the second batch after the fault, since the first one may
    have been on its way. `caught_up_s` is the first batch from then on that left nothing older than two intervals.
    `longest_gap_s` is the longest time without a batch from the last before the fault on, which for a fault that
    interrupts nothing is about the interval.
    """

    detected_s: float | None = None
    first_batch_s: float | None = None
    caught_up_s: float | None = None
    longest_gap_s: float | None = None
    sign: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def times_of(watched: Watched, interval_s: float) -> RecoveryTimes:
    """The recovery times of what was watched, for a pipeline with these seconds between two batches."""
    sign = next((sign for sign in watched.signs if sign.at_s >= 0), None)
    after = [seen for seen in watched.batches if seen.at_s >= 0]
    before = [seen for seen in watched.batches if seen.at_s < 0][-1:]
    gaps = [later.at_s - earlier.at_s for earlier, later in pairwise([*before, *after])]
    new = after[1:]
    return RecoveryTimes(
        sign.at_s if sign else None,
        new[0].at_s if new else None,
        next((seen.at_s for seen in new if _is_current(seen, watched.latest, 2 * interval_s)), None),
        max(gaps, default=None),
        sign.what if sign else None,
    )


def _is_current(seen: SeenBatch, latest: Sequence[SeenLatest], slack_s: float) -> bool:
    """Whether a batch covers all that Kafka had `slack_s` before: what a healthy pipeline does.

    Where Kafka was not asked that long ago, the first answer since counts; without any, nothing can be said.
    """
    older = [each for each in latest if each.at_s <= seen.at_s - slack_s][-1:]
    due = older or [each for each in latest if each.at_s <= seen.at_s][:1]
    return bool(due) and all(seen.ends.get(at, 0) >= offset for at, offset in due[0].latest.items())
