"""Reading what a runbook judges by: state directory, Spark master, Airflow, brokers and database, each by itself.

What is away is part of the evidence, with the reason, and hides nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from streamops.actions import lifecycles, snapshots
from streamops.adapters.kafka import broker_census
from streamops.adapters.pipelines import running_batches
from streamops.adapters.pipelines.drivers import PipelineDrivers
from streamops.adapters.pipelines.files import state_files
from streamops.adapters.pipelines.snapshot_reader import SnapshotReader
from streamops.adapters.pipelines.status_reader import latest_offsets, observe
from streamops.declared.pipeline import Pipeline
from streamops.errors import StreamopsError
from streamops.points.recovery_points import RecoveryPoint
from streamops.runbooks.case import Case, Say
from streamops.runbooks.evidence import DriverSight, Evidence, Rates
from streamops.runbooks.progress import Mark
from streamops.running import pipeline_status
from streamops.running.driver_status import Standing
from streamops.running.lifecycle import Action, Situation
from streamops.running.pipeline_status import Observed
from streamops.state import batch_log, running_batch
from streamops.state import evidence as state
from streamops.state.lease import JobState
from streamops.state.offsets import Offsets, advance, to_spark_offsets

#: Recovery points that are shown.
_POINTS = 3

_Found = TypeVar("_Found")


def read(case: Case, *, measure_s: float = 0.0) -> Evidence:
    """Everything that is known of the case's pipeline now; `measure_s` is how long its rates are measured for.

    Raises ConfigurationError for connections that are wrong; servers that are away are part of the evidence.
    """
    pipeline, unknown = case.pipeline, dict[str, str]()

    def tried(what: str, ask: Callable[[], _Found]) -> _Found | None:
        try:
            return ask()
        except StreamopsError as error:
            unknown[what] = error.found
            return None

    drivers = PipelineDrivers(pipeline, case.settings)
    brokers = broker_census.take(pipeline)
    before = _point(pipeline) if measure_s and brokers.away is None else None
    began_s = time.monotonic()
    beats = tried("beat", lambda: _beats(drivers, case.say))
    if before is not None:
        case.say(f"measuring for {measure_s:.0f} s how much comes, and how much is processed")
        time.sleep(max(0.0, measure_s - (time.monotonic() - began_s)))
    observed = tried("state directory", lambda: observe(drivers.files))
    # After the batch log, so that Kafka's offsets are never below what was processed.
    point = _point(pipeline) if brokers.away is None else None
    now = datetime.now(UTC)
    status = (pipeline_status.unreadable(pipeline.name, unknown["state directory"]) if observed is None else
              pipeline_status.assess(pipeline.name, observed, _latest(point, brokers.away), now))
    sights = tried("drivers", lambda: _sights(drivers)) or ()
    oldest = [each.processed_at_ms for each in (point.partitions.values() if point is not None else ())
              if each.processed_at_ms is not None and each.lag_records]
    stored = tried("recovery points", snapshots.store)
    return Evidence(
        pipeline=pipeline,
        at=now,
        status=status,
        brokers=brokers,
        observed=observed or Observed(),
        drivers=sights,
        situation=tried("Airflow", lambda: _situation(case)),
        point=point,
        lag=tried("lag", lambda: snapshots.judge(pipeline, stored, case.say)) if stored is not None else None,
        points=tuple(
            f"{each.id} of {each.taken_at:%H:%M:%S}: {each.state or 'not judged'}, {each.lag_records} records wait"
            for each in tried("recovery points", lambda: stored.summaries(pipeline.name, limit=_POINTS)) or ()
        ) if stored is not None else (),
        running=tried("batch in progress", lambda: running_batches.observe(
            pipeline, drivers.files, drivers.master, min(oldest, default=None))),
        rates=_rates(before, point, running_batch.recent_per_s(observed.recent if observed else (), now)),
        log_tail=_log_tail(drivers, sights),
        unknown=unknown,
        beats=beats,
    )


def mark(case: Case) -> Mark:
    """Where the pipeline stands now, out of a few small files and the latest offsets. Raises what StateFiles raises."""
    observed = observe(state_files(case.pipeline))
    status = pipeline_status.assess(case.pipeline.name, observed, latest_offsets(case.pipeline), datetime.now(UTC))
    return Mark.of(time.time(), status, observed)


def logged_ends(case: Case, generation: int, batch: int) -> dict[str, dict[str, int]] | None:
    """Where a batch ended by the batch log, in Spark's format; None where it is not logged."""
    for entry in batch_log.newest_first(state_files(case.pipeline), generation):
        if entry.batch <= batch:
            return to_spark_offsets(advance({}, entry.ranges)) if entry.batch == batch else None
    return None


def _point(pipeline: Pipeline) -> RecoveryPoint:
    with SnapshotReader() as reader:
        return reader.take(pipeline)


def _beats(drivers: PipelineDrivers, say: Say) -> bool | None:
    """Whether the lease's holder shows life while it is watched; None where nobody holds it, or said that it ended."""
    held = state.holder(drivers.files)
    last = state.beat(drivers.files, held.epoch) if held is not None else None
    if held is None or (last is not None and last.state is JobState.STOPPED):
        return None
    # A lease that was taken meanwhile is a sign of life, too: Spark relaunches a driver under its id.
    return drivers.beats(held.driver, say) or state.holder(drivers.files) != held


def _rates(before: RecoveryPoint | None, now: RecoveryPoint | None, logged_per_s: float | None) -> Rates | None:
    """What came between two points, and what was processed: by the last batches, or between the points."""
    if before is None or now is None:
        return None
    over_s = max((now.taken_ms - before.taken_ms) / 1000, 0.001)
    known = [(then, each) for at, each in now.partitions.items() if (then := before.partitions.get(at)) is not None
             and None not in (each.latest, each.processed, then.latest, then.processed)]
    came = sum((each.latest or 0) - (then.latest or 0) for then, each in known)
    processed = sum((each.processed or 0) - (then.processed or 0) for then, each in known)
    return Rates(over_s, came / over_s, processed / over_s if logged_per_s is None else logged_per_s)


def _latest(point: RecoveryPoint | None, away: str | None) -> Offsets | str:
    """The latest offsets of every partition, or why they are unknown."""
    if point is None:
        return away or "they were not read"
    latest: Offsets = {}
    for at, each in point.partitions.items():
        if each.latest is None:
            return f"{at}: {point.why_unknown('latest', at)}"
        latest[at] = each.latest
    return latest


def _sights(drivers: PipelineDrivers) -> tuple[DriverSight, ...]:
    """The holder of the lease and the driver that was submitted last, and whatever else lives, oldest first."""
    known = state.known_drivers(drivers.files)
    found = []
    for each in known:
        if not (each.holds_lease or each is known[-1] or not each.ended_itself):
            continue
        seen = drivers.master.look(each.driver)
        if each.holds_lease or each is known[-1] or seen.standing is Standing.LIVING:
            record = each.record
            said = f"{record.stop_kind}: {record.reason}" if record is not None and record.stop_kind else (
                record.last_error if record is not None else None)
            found.append(DriverSight(each.driver, seen.standing, str(seen), str(each.owner), each.started_at,
                                     each.holds_lease, said, record.stop_kind if record is not None else None))
    return tuple(found)


def _situation(case: Case) -> Situation:
    [planned] = lifecycles.plan(case.declared, Action.START, [case.pipeline.name], lifecycles.given(
        Action.START, case.by, None, None), case.say, case.settings)
    return planned.seen


def _log_tail(drivers: PipelineDrivers, sights: tuple[DriverSight, ...]) -> str | None:
    """The last lines of the newest driver where it is gone and did not say why."""
    if not sights or sights[-1].said is not None or sights[-1].standing is Standing.LIVING:
        return None
    return drivers.master.log_tail(sights[-1].driver, lines=5)
