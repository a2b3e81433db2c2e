"""Whether a series of memory readings is flat. Pure: readings in, verdict out.

The rule: after the warm-up, a process's readings are cut into four quarters of equal time, and the median of the last
quarter may exceed that of the first by 5 % or 4 MB, whichever is more. Medians, because servers fork children for an
instant and collectors run when they like; 4 MB, because an allocator hands out small pools for long after a start.
Over the 15 minutes that are left of 20, that finds a leak of 16 MB an hour in a process of 80 MB or less; the slopes
are printed for what is smaller, and for a longer soak.

What is alive in a heap is compared by the least reading of each quarter instead. A batch in flight, or records fetched
ahead, come and go by 15 MB within seconds; a leak is what raises the floor.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

MOST_GROWTH, ALLOWANCE_MB = 0.05, 4.0

#: Time in seconds, memory in MB.
Reading = tuple[float, float]


@dataclass(frozen=True)
class Trend:
    """What a series did: what stands for its first and its last quarter, in MB, and its slope in MB an hour."""

    first_mb: float
    last_mb: float
    slope_mb_per_h: float

    @property
    def allowed_mb(self) -> float:
        return max(self.first_mb * MOST_GROWTH, ALLOWANCE_MB)

    @property
    def flat(self) -> bool:
        return self.last_mb - self.first_mb <= self.allowed_mb


def trend(
    readings: Sequence[Reading], warm_up_s: float, of_a_quarter: Callable[[Iterable[float]], float] = statistics.median
) -> Trend:
    """The trend of the readings from `warm_up_s` on. Raises ValueError when that leaves a quarter without any."""
    kept = [(at_s, mb) for at_s, mb in readings if at_s >= warm_up_s]
    if len(kept) < 2:
        raise ValueError(f"{len(kept)} readings after the warm-up of {warm_up_s:.0f} s; a trend takes two at least")
    began, ended = kept[0][0], kept[-1][0]
    quarter = (ended - began) / 4
    first = [mb for at_s, mb in kept if at_s <= began + quarter]
    last = [mb for at_s, mb in kept if at_s >= ended - quarter]
    slope, _ = statistics.linear_regression([at_s / 3600 for at_s, _ in kept], [mb for _, mb in kept])
    return Trend(of_a_quarter(first), of_a_quarter(last), slope)
