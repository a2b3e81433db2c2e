"""What a pipeline does now: its state, rate and lag, out of its state directory and Kafka's latest offsets.

Pure: the time and everything that was read are arguments. An age compares clocks of two machines and is for people to
look at; whether a driver may be replaced is decided without clocks, see state/lease.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from streamops.state import crash_loop
from streamops.state.batch_log import Entry
from streamops.state.drivers import DriverRecord
from streamops.state.generations import Generation
from streamops.state.lease import TTL_S, Beat, JobState, Lease
from streamops.state.offsets import Offsets, TopicPartition, advance
from streamops.state.orders import Order, Wish
from streamops.state.releases import Release, Stage

#: Seconds over which the rate is taken.
RATE_WINDOW_S = 60.0

#: Batches read for the rate, at most: a minute of batches of one second and more.
RECENT_BATCHES = 60


class State(StrEnum):
    """What a pipeline does, in the words that `streamops status` shows."""

    NEW = "new"  # no driver ever started for it
    STARTING = "starting"
    RUNNING = "running"
    IDLE = "idle"  # the driver lives, and there is nothing to read
    RESTARTING = "restarting"
    RESTORING = "restoring"  # a restore holds the lease
    STOPPED = "stopped"  # the driver ended itself, or a person stopped the pipeline; `reason` says why
    STOPPING = "stopping"  # a person stopped or paused it, and its driver still lives
    PAUSED = "paused"  # a person paused it; `reason` says who, when and why
    CRASHING = "crashing"  # the driver dies again and again; `reason` has its own last error
    GONE = "gone"  # the driver shows no sign of life
    UNKNOWN = "unknown"  # the state directory cannot be read; `reason` says why


#: States in which a driver lives, and in which it does its work.
_LIVES = frozenset({State.STARTING, State.RUNNING, State.IDLE, State.RESTARTING})
_WORKS = frozenset({State.RUNNING, State.IDLE})


@dataclass(frozen=True)
class Observed:
    """What was read of a pipeline's state directory. None is what is not there.

    `recent` are the newest entries in the order of batches, `positions` the next offset to process of every partition
    whose position is known. `driver` is the record of who holds the lease, `newest` of who was submitted last.
    """

    generation: Generation | None = None
    recent: Sequence[Entry] = ()
    positions: Offsets | None = None
    lease: Lease | None = None
    beat: Beat | None = None
    driver: DriverRecord | None = None
    newest: DriverRecord | None = None
    order: Order | None = None
    release: Release | None = None


@dataclass(frozen=True)
class PipelineStatus:
    """One line of `streamops status`. None is unknown, never zero; the field beside it says why.

    `age_s` is the age of the last batch, `beat_age_s` that of the driver's last sign of life, both in seconds. `rate`
    is in records a second over the last minute, `lag` in records. `version` is that of the driver; `release` says in
    words what is to be started where that is not what is deployed.
    """

    pipeline: str
    state: State
    reason: str | None = None
    generation: int | None = None
    batch: int | None = None
    finished_at: str | None = None
    age_s: float | None = None
    rate: float | None = None
    lag: int | None = None
    lag_unknown: str | None = None
    driver: str | None = None
    owner: str | None = None
    epoch: int | None = None
    beat_age_s: float | None = None
    version: str | None = None
    release: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the fields by their names, with units where the name has none."""
        return {
            "pipeline": self.pipeline,
            "state": self.state.value,
            "reason": self.reason,
            "generation": self.generation,
            "last_batch": self.batch,
            "last_batch_finished_at": self.finished_at,
            "last_batch_age_s": self.age_s,
            "rate_records_per_s": self.rate,
            "lag_records": self.lag,
            "lag_unknown": self.lag_unknown,
            "driver": self.driver,
            "owner": self.owner,
            "epoch": self.epoch,
            "beat_age_s": self.beat_age_s,
            "version": self.version,
            "release": self.release,
        }


def assess(pipeline: str, observed: Observed, latest: Offsets | str, now: datetime) -> PipelineStatus:
    """The status of a pipeline. `latest` are Kafka's offsets, or the reason why they are unknown; `now` is in UTC."""
    last = observed.recent[-1] if observed.recent else None
    state, reason = _state(observed, now)
    lag: int | None = None
    lag_unknown: str | None = None
    if isinstance(latest, str):
        lag_unknown = latest
    elif observed.positions is None or observed.generation is None:
        lag_unknown = "nothing was processed yet"
    else:
        lag, lag_unknown = lag_records(observed.positions, latest)
    return PipelineStatus(
        pipeline=pipeline,
        state=state,
        reason=reason,
        generation=observed.generation.number if observed.generation else None,
        batch=last.batch if last else None,
        finished_at=last.finished_at if last else None,
        age_s=_age_s(last.finished_at, now) if last else None,
        rate=rate(observed.recent, now),
        lag=lag,
        lag_unknown=lag_unknown,
        driver=observed.lease.driver if observed.lease else None,
        owner=str(observed.lease.owner) if observed.lease else None,
        epoch=observed.lease.epoch if observed.lease else None,
        beat_age_s=_age_s(observed.beat.at, now) if observed.beat else None,
        version=observed.driver.version if observed.driver else None,
        release=str(observed.release) if observed.release and observed.release.stage is not Stage.DONE else None,
    )


def unreadable(pipeline: str, reason: str) -> PipelineStatus:
    """The status of a pipeline whose state directory cannot be read."""
    return PipelineStatus(pipeline, State.UNKNOWN, reason=reason, lag_unknown=reason)


def rate(recent: Sequence[Entry], now: datetime) -> float | None:
    """Records a second over the last minute, 0 when no batch ended in it; None when there never was one with offsets.

    A pipeline that has run for less than a minute, or whose minute has more batches than were read, is measured since
    the start of the first batch that counts.
    """
    if not any(entry.ranges for entry in recent):
        return None
    counted = [entry for entry in recent if _age_s(entry.finished_at, now) <= RATE_WINDOW_S]
    if not counted:
        return 0.0
    whole = len(counted) < len(recent)
    window_s = RATE_WINDOW_S if whole else min(RATE_WINDOW_S, _age_s(counted[0].started_at, now))
    return round(sum(entry.span for entry in counted) / max(window_s, 0.001), 1)


def lag_records(positions: Mapping[TopicPartition, int], latest: Offsets) -> tuple[int | None, str | None]:
    """Records in Kafka that are not processed yet; or None and why. Offsets without a record count as records."""
    if not latest:
        return None, "Kafka has none of the pipeline's partitions"
    if unknown := sorted(at for at in latest if at not in positions):
        return None, f"what was processed of {unknown[0]} is unknown"
    # A topic that was deleted and made again has lower offsets than the ones that were processed.
    if lower := sorted(at for at, offset in latest.items() if offset < positions[at]):
        at = lower[0]
        return None, f"{at} ends at offset {latest[at]}, below the {positions[at]} that were processed"
    return sum(offset - positions[at] for at, offset in latest.items()), None


def positions(generation: Generation, last: Entry | None) -> Offsets:
    """The next offset to process of every partition: every entry of the batch log says it for all of them."""
    return advance(generation.start, last.ranges if last else ())


def _state(observed: Observed, now: datetime) -> tuple[State, str | None]:
    """What the driver does, and whether a person, or a crash loop, has the last word on it."""
    state, reason = _state_of_driver(observed, now)
    if observed.order is not None and observed.order.stops:
        if state in _LIVES:
            return State.STOPPING, str(observed.order)
        return State.PAUSED if observed.order.wish is Wish.PAUSE else State.STOPPED, str(observed.order)
    if observed.newest is None or observed.newest.stop_kind is not None:
        return state, reason
    loop = crash_loop.described(observed.newest.crashes, now)
    if loop is None:
        return state, reason
    return (state, loop) if state in _WORKS else (State.CRASHING, loop)


def _state_of_driver(observed: Observed, now: datetime) -> tuple[State, str | None]:
    lease, beat, driver = observed.lease, observed.beat, observed.driver
    if lease is None:
        return (State.NEW, None) if observed.generation is None else (State.STOPPED, "no driver holds the lease")
    if driver is not None and driver.stop_kind is not None:
        return State.STOPPED, f"{driver.stop_kind}: {driver.reason}"
    if beat is None:
        if _age_s(lease.taken_at, now) <= TTL_S:
            return State.STARTING, None
        return State.GONE, f"driver {lease.driver} took the lease {_ago(lease.taken_at, now)} and never showed life"
    if beat.state is JobState.STOPPED:
        return State.STOPPED, f"driver {lease.driver} ended"
    if _age_s(beat.at, now) > TTL_S:
        return State.GONE, f"driver {lease.driver} last showed life {_ago(beat.at, now)}"
    return State(beat.state.value), None


def _age_s(at: str, now: datetime) -> float:
    return round((now - datetime.fromisoformat(at)).total_seconds(), 1)


def _ago(at: str, now: datetime) -> str:
    return f"{duration(_age_s(at, now))} ago"


def duration(seconds: float) -> str:
    """Seconds as people read them: `4 s`, `12 min`, `3 h`, `5 d`."""
    for unit_s, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
