"""What a runbook is judged by: batches complete and the lag falls, or there is nothing to read.

Pure: marks, with their times, are arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from streamops.running.pipeline_status import Observed, PipelineStatus
from streamops.state.lease import TTL_S, JobState

#: Intervals whose arrivals may wait in a pipeline that keeps up: those of the batch that runs, and those after it.
_KEEPS_UP_INTERVALS = 2


@dataclass(frozen=True)
class Mark:
    """Where a pipeline stands at one time. None is unknown; `why_no_lag` says it of the lag.

    `batch` is the last in the batch log and `batch_epoch` the lease that logged it; `epoch` is the lease's now, and
    `works` says that its holder shows life and does its work. `processed` and `latest` are sums over the partitions.
    """

    at_s: float
    generation: int | None = None
    batch: int | None = None
    batch_epoch: int | None = None
    epoch: int | None = None
    works: bool = False
    lag: int | None = None
    why_no_lag: str | None = None
    latest: int | None = None

    @classmethod
    def of(cls, at_s: float, status: PipelineStatus, observed: Observed) -> Mark:
        """The mark of what was read."""
        last = observed.recent[-1] if observed.recent else None
        fresh = status.beat_age_s is not None and status.beat_age_s <= TTL_S
        works = observed.beat is not None and fresh and observed.beat.state in (JobState.RUNNING, JobState.IDLE)
        latest = sum((observed.positions or {}).values()) + status.lag if status.lag is not None else None
        return cls(at_s, status.generation, status.batch, last.epoch if last else None, status.epoch, works, status.lag,
                   status.lag_unknown, latest)

    @property
    def place(self) -> tuple[int, int]:
        """Ordered as batches are."""
        return (self.generation or 0, -1 if self.batch is None else self.batch)

    def to_data(self) -> dict[str, Any]:
        """For the next task."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Mark:
        """What `to_data` gave."""
        return cls(**data)


class Verdict(NamedTuple):
    """Whether it is well, and what shows it, or what is missing."""

    is_well: bool
    text: str


def judge(before: Mark, seen: Sequence[Mark], interval_s: float, *, needs_new_epoch: bool) -> Verdict:
    """Whether what was seen since `before`, oldest first, shows that batches complete and that the lag falls.

    Lag is compared between the ends of batches, since between two of them it only grows. `needs_new_epoch`: a batch
    under the lease that logged the last one of before proves nothing.
    """
    last = seen[-1]

    def is_new(epoch: int | None) -> bool:
        return not needs_new_epoch or (epoch or 0) > (before.batch_epoch or 0)

    done = [mark for mark in seen if mark.place > before.place and is_new(mark.batch_epoch)]
    if not done:
        if last.lag == 0 and last.works and is_new(last.epoch):
            return Verdict(True, f"the driver of lease {last.epoch} works, and there is nothing to read")
        unknown = f"; the lag is unknown: {last.why_no_lag}" if last.lag is None else f"; {last.lag:,} records wait"
        return Verdict(False, f"no batch was logged{' by a new driver' if needs_new_epoch else ''}{unknown}")
    batch = f"batch {last.batch} of generation {last.generation} is in the batch log"
    if last.lag is None:
        return Verdict(False, f"{batch}; whether the lag falls is unknown: {last.why_no_lag}")
    if last.lag == 0:
        return Verdict(True, f"{batch}, and nothing waits")
    came = _arrivals_per_s([before, *seen])
    if came is not None and last.lag <= came * interval_s * _KEEPS_UP_INTERVALS:
        return Verdict(True, f"{batch}, and it keeps up: {last.lag:,} records wait, {came:,.0f} come in a second")
    *earlier, newest = [mark.lag for mark in _ends(done)]
    highest = max((lag for lag in (before.lag, *earlier) if lag is not None), default=None)
    if newest is not None and highest is not None and newest < highest:
        return Verdict(True, f"{batch}, and the lag falls: {newest:,} records wait, {highest:,} did before")
    return Verdict(False, f"{batch}; {last.lag:,} records wait, and that does not fall yet")


def _ends(marks: Sequence[Mark]) -> list[Mark]:
    """The first mark after the end of each batch."""
    found: list[Mark] = []
    for mark in marks:
        if not found or mark.place > found[-1].place:
            found.append(mark)
    return found


def _arrivals_per_s(marks: Sequence[Mark]) -> float | None:
    known = [(mark.at_s, mark.latest) for mark in marks if mark.latest is not None]
    if len(known) < 2 or known[-1][0] <= known[0][0]:
        return None
    return (known[-1][1] - known[0][1]) / (known[-1][0] - known[0][0])
