"""The lease: who may write for a pipeline.

Below the pipeline's state directory, in `lease/`:

    000004.json         one lease, created exclusively: the epoch is the number, the highest epoch holds
    000004.beat.json    what its holder does, rewritten every `BEAT_S` seconds while it lives

A driver checks before the sink and before the batch log that no higher epoch exists. So two drivers may meet, but the
older one stops before it commits, however it came to be: a retry, a cleared task, a relaunch by the master while the
first driver hung, a spark-submit typed by hand.

Whether a holder lives is decided without comparing clocks: a claimant watches whether the beat changes for `TTL_S`
seconds of its own time.

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from streamops.state import numbered_files, stored_json

FORMAT = "streamops.lease/1"
BEAT_FORMAT = "streamops.beat/1"
DIRECTORY = "lease"

#: Seconds between two beats of a holder.
BEAT_S = 3.0

#: Seconds without a change of the beat after which a holder counts as gone: four beats missed.
TTL_S = 12.0


class OwnerKind(StrEnum):
    """Who asked for a driver."""

    AIRFLOW = "airflow"
    SHELL = "shell"
    START = "start"  # `streamops start` while Airflow was away: the next run goes on with the driver


@dataclass(frozen=True)
class Owner:
    """Who asked for a driver: a task of an Airflow run, a person, or `streamops start` in Airflow's place."""

    kind: OwnerKind
    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    try_number: int | None = None

    def __str__(self) -> str:
        if self.kind is OwnerKind.SHELL:
            return "a person at a shell"
        if self.kind is OwnerKind.START:
            return "`streamops start` while Airflow was away"
        return f"run {self.run_id} of DAG {self.dag_id}, try {self.try_number}"

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Owner:
        known = {**data, "kind": OwnerKind(str(data["kind"]))}
        return cls(**known)  # type: ignore[arg-type]  # the caller's JSON is checked by the dataclass and the enum


@dataclass(frozen=True)
class Lease:
    """The right of one driver process to write for a pipeline. `taken_at` is UTC, ISO 8601."""

    pipeline: str
    epoch: int
    driver: str
    owner: Owner
    host: str
    pid: int
    taken_at: str

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Lease:
        """The lease that `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, FORMAT, "a lease file") as data:
            return cls(**{**data, "owner": Owner.from_dict(data["owner"])})


class JobState(StrEnum):
    """What the holder of a lease does."""

    STARTING = "starting"  # no batch yet
    RUNNING = "running"  # a batch was logged since the start
    IDLE = "idle"  # the query asked Kafka, and there was nothing to read
    RESTARTING = "restarting"  # the query failed and is started again in the same driver
    RESTORING = "restoring"  # no driver: a restore opens another generation
    STOPPED = "stopped"  # ended on its own; its driver record says why


@dataclass(frozen=True)
class Beat:
    """A sign of life. `at` is UTC, ISO 8601; `batch` the last one logged under this lease, or None."""

    epoch: int
    at: str
    state: JobState
    batch: int | None = None

    def to_json(self) -> str:
        return json.dumps({"format": BEAT_FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Beat:
        """The beat that `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, BEAT_FORMAT, "a lease file") as data:
            return cls(**{**data, "state": JobState(str(data["state"]))})


def path(epoch: int) -> str:
    return f"{DIRECTORY}/{numbered_files.name(epoch)}"


def beat_path(epoch: int) -> str:
    return f"{DIRECTORY}/{epoch:06d}.beat.json"


def may_take_at_once(held: Lease, last_beat: Beat | None, *, driver: str, supersedes: Iterable[str]) -> str | None:
    """Why a claimant may take the lease from `held` without watching its beat, or None when it must watch.

    The driver's own id comes back when Spark relaunches it; `supersedes` names drivers that whoever submitted the
    claimant knows to be ended, or orders to end.
    """
    if held.driver == driver:
        return f"driver {driver} was started again"
    if held.driver in set(supersedes):
        return f"driver {held.driver} is superseded by whoever submitted this one"
    if last_beat is not None and last_beat.state is JobState.STOPPED:
        return f"driver {held.driver} has stopped"
    return None
