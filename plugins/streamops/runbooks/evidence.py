"""What a runbook judges by: everything that is known of a pipeline at one moment. Whatever could not be read says why.

Pure: reading.py fills it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from streamops.declared.pipeline import Pipeline
from streamops.points.lag import PipelineLag
from streamops.points.recovery_points import RecoveryPoint
from streamops.running.broker_health import BrokerHealth
from streamops.running.driver_status import Standing
from streamops.running.lifecycle import Situation
from streamops.running.pipeline_status import Observed, PipelineStatus, duration
from streamops.state import crash_loop, running_batch
from streamops.state.offsets import TopicPartition
from streamops.state.running_batch import BatchTimes, RunningBatch

#: Partitions whose lag is shown, the largest first.
_MOST_PARTITIONS = 5


@dataclass(frozen=True)
class DriverSight:
    """A driver as the Spark master has it, and what it said itself: why it stopped, or its process's last error."""

    driver: str
    standing: Standing
    state: str
    owner: str
    started_at: str
    holds_lease: bool
    said: str | None = None
    stop_kind: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"driver": self.driver, "state": self.state, "owner": self.owner, "started_at": self.started_at,
                "holds_lease": self.holds_lease, "stop_kind": self.stop_kind, "said": self.said}


@dataclass(frozen=True)
class Rates:
    """Records a second over a few seconds: what came into Kafka, and what the batch log got on by."""

    over_s: float
    came_per_s: float
    processed_per_s: float

    def as_dict(self) -> dict[str, float]:
        return {"over_s": self.over_s, "came_per_s": self.came_per_s, "processed_per_s": self.processed_per_s}


@dataclass(frozen=True)
class Evidence:
    """What was found of one pipeline at `at`.

    `drivers` are the holder of the lease and the one that was submitted last, oldest first. `point` is a recovery point
    of now that is not stored; `lag` judges the stored ones. `unknown` says of a field that is None why it is. `beats`
    is whether the lease's holder showed life while it was watched, None where nobody holds the lease. `stuck_after_s`
    is what a person said of a batch.
    """

    pipeline: Pipeline
    at: datetime
    status: PipelineStatus
    brokers: BrokerHealth
    observed: Observed = field(default_factory=Observed)
    drivers: tuple[DriverSight, ...] = ()
    situation: Situation | None = None
    point: RecoveryPoint | None = None
    lag: PipelineLag | None = None
    points: tuple[str, ...] = ()
    running: RunningBatch | None = None
    rates: Rates | None = None
    log_tail: str | None = None
    unknown: dict[str, str] = field(default_factory=dict)
    beats: bool | None = None
    stuck_after_s: float | None = None

    @property
    def loop(self) -> str | None:
        """The crash loop of the newest driver in words, with its own error; None when it is in none."""
        newest = self.observed.newest
        return crash_loop.described(newest.crashes, self.at) if newest is not None else None

    @property
    def living(self) -> tuple[DriverSight, ...]:
        """The drivers that the Spark master has running, or waiting for a worker."""
        return tuple(each for each in self.drivers if each.standing is Standing.LIVING)

    @property
    def times(self) -> BatchTimes | None:
        return running_batch.times(self.observed.recent)

    @property
    def lags(self) -> dict[TopicPartition, int]:
        """Records that wait, of the partitions where that is known."""
        return {} if self.point is None else {
            at: each.lag_records for at, each in self.point.partitions.items() if each.lag_records is not None}

    def lines(self) -> Iterator[str]:
        """For a person: a line for each kind of evidence, and more where there is more to say."""
        status = self.status
        last = "no batch yet" if status.batch is None else (
            f"generation {status.generation}, last batch {status.batch}, {_ago(status.age_s)}")
        yield f"status: {status.state}; {last}" + (f" ({status.reason})" if status.reason else "")
        order = self.observed.order
        yield f"standing order: {order}" if order is not None else "standing order: none was ever given"
        held = self.observed.lease
        yield "lease: nobody holds it" if held is None else (
            f"lease: epoch {held.epoch}, driver {held.driver}, last beat {_ago(status.beat_age_s)}"
            + (f", {self.observed.beat.state}" if self.observed.beat is not None else "")
            + ("" if self.beats is None else "; it beats" if self.beats else "; it does not beat"))
        yield from self._of_drivers()
        yield from self._of_airflow()
        yield from self.brokers.lines()
        yield from self._of_lag()
        yield from self._of_batches()
        yield from (f"unknown: {what}: {why}" for what, why in self.unknown.items())

    def _of_drivers(self) -> Iterator[str]:
        for each in self.drivers:
            yield (f"driver {each.driver}: {each.state} at the Spark master, started by {each.owner}"
                   + (f"; it said {each.said}" if each.said else ""))
        if not self.drivers:
            yield "driver: none is known"
        if self.loop is not None:
            yield f"crash loop: {self.loop}"
        if self.log_tail is not None:
            yield from ("log: " + line for line in self.log_tail.splitlines())

    def _of_airflow(self) -> Iterator[str]:
        seen = self.situation
        if seen is None:
            return
        if seen.dag is None:
            yield str(seen.airflow_away)
            return
        runs = ", ".join(f"{run.run_id} with its task {run.task_state or 'not begun'}" for run in seen.dag.runs)
        yield (f"Airflow: DAG {seen.dag.dag_id} is {'paused' if seen.dag.is_paused else 'not paused'}, "
               f"{f'run {runs}' if runs else 'no run goes on'}"
               + ("" if seen.dag.is_scheduled else "; its scheduler shows no sign of life"))

    def _of_lag(self) -> Iterator[str]:
        if self.point is not None:
            yield (f"lag now: {_number(self.point.lag_records)} records, {_seconds(self.point.lag_s)}; retention "
                   f"reaches unprocessed records in {_seconds(self.point.data_loss_s)}")
        if len(self.lags) > 1 and any(self.lags.values()):
            most = sorted(self.lags, key=lambda at: -self.lags[at])[:_MOST_PARTITIONS]
            named = ", ".join(f"{at} {self.lags[at]:,}" for at in most)
            yield f"lag of {len(self.lags)} partitions, the most: {named}"
        if self.lag is not None:
            yield f"lag by the recovery points: {self.lag.state}: {self.lag.reason}"
        yield from (f"recovery point {line}" for line in self.points)
        if self.rates is not None:
            yield (f"rates over {self.rates.over_s:.0f} s: {self.rates.came_per_s:,.0f} records/s came, "
                   f"{self.rates.processed_per_s:,.0f} were processed")

    def _of_batches(self) -> Iterator[str]:
        known, pipeline = self.times, self.pipeline
        limit = "no rate limit" if pipeline.rate_limit is None else f"rate limit {pipeline.rate_limit:,} records/s"
        if known is not None:
            yield (f"batches: the last {known.batches} took {known.usual_s:.1f} s, at most {known.longest_s:.1f} s, "
                   f"of that {known.sink_share:.0%} in transform and sink; every {pipeline.interval_s:g} s, {limit}, "
                   f"{pipeline.tasks} tasks at once")
        if self.running is not None:
            yield (f"batch in progress: {self.running.batch} of generation {self.running.generation}, for "
                   f"{duration(self.running.age_s(self.at))}")
            yield from (f"Spark: {line}" for line in self.running.doing)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what `lines` tells, as data."""
        order, seen = self.observed.order, self.situation
        return {
            "at": self.at.isoformat(timespec="milliseconds"),
            "status": self.status.as_dict(),
            "order": str(order) if order is not None else None,
            "drivers": [each.as_dict() for each in self.drivers],
            "beats": self.beats,
            "crash_loop": self.loop,
            "log_tail": self.log_tail,
            "airflow_away": seen.airflow_away if seen is not None else None,
            "brokers": self.brokers.as_dict(),
            "lag_records": self.point.lag_records if self.point is not None else None,
            "lag_s": self.point.lag_s if self.point is not None else None,
            "data_loss_s": self.point.data_loss_s if self.point is not None else None,
            "lag_state": self.lag.state.value if self.lag is not None else None,
            "points": list(self.points),
            "batch_times": self.times.as_dict() if self.times is not None else None,
            "running_batch": self.running.as_dict() if self.running is not None else None,
            "rates": self.rates.as_dict() if self.rates is not None else None,
            "unknown": dict(self.unknown),
        }


def newest(drivers: Sequence[DriverSight]) -> DriverSight | None:
    """The driver that was submitted last."""
    return drivers[-1] if drivers else None


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{duration(seconds)} ago"


def _seconds(value: float | None) -> str:
    return "an unknown time" if value is None else duration(value)


def _number(value: int | None) -> str:
    return "an unknown number of" if value is None else f"{value:,}"
