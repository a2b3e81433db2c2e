"""Before a drill: whether a pipeline may be hit, and whether it is well enough to tell what the fault did."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from streamops.actions import lifecycles, snapshots
from streamops.adapters.pipelines.files import state_files
from streamops.adapters.pipelines.status_reader import latest_offsets, observe
from streamops.declared.pipeline import Pipeline
from streamops.declared.pipelines import Pipelines
from streamops.drilling.scene import Say
from streamops.errors import ConfigurationError, RefusedError, UnavailableError
from streamops.points.lag import LagState
from streamops.running import pipeline_status
from streamops.running.lifecycle import Action
from streamops.running.pipeline_status import State
from streamops.settings import Settings

#: A pipeline that was just started reads what came while it was stopped.
CATCH_UP_WITHIN_S = 120.0
_POLL_S = 1.0


def chosen(declared: Pipelines, names: Sequence[str]) -> list[Pipeline]:
    """The pipelines of these names; without any, every canary.

    Raises ConfigurationError for a name that is none, RefusedError for pipelines that do not allow drills.
    """
    if not names:
        canaries = [each for each in declared.pipelines.values() if each.drills.canary]
        if not canaries:
            raise ConfigurationError(f"{declared.file} declares no canary", "Declare one: transform: identity, a topic "
                                     "of its own, run: manual, drills: {canary: true}; or name pipelines.")
        return canaries
    found = [declared.pipeline(name) for name in dict.fromkeys(names)]
    require_allowed(found)
    return found


def require_allowed(pipelines: Iterable[Pipeline]) -> None:
    """Raises RefusedError with every pipeline that is no canary and does not allow drills."""
    refused = [each.name for each in pipelines if not (each.drills.canary or each.drills.allowed)]
    if refused:
        raise RefusedError(f"{', '.join(refused)}: no canary, and its entry does not allow drills",
                           "Drill a canary beside it, or write `drills: {allowed: true}` into its entry.")


def in_production(pipelines: Iterable[Pipeline]) -> list[str]:
    """Those that a person has to approve."""
    return [each.name for each in pipelines if not each.drills.canary]


def needs_start(pipeline: Pipeline) -> bool:
    """Whether it is a canary that does not run.

    Raises RefusedError for any other pipeline that does not run, and for one that nothing comes into.
    """
    state = pipeline_status.assess(pipeline.name, observe(state_files(pipeline)), latest_offsets(pipeline),
                                   datetime.now(UTC)).state
    if pipeline.drills.canary:
        return state not in (State.RUNNING, State.IDLE)
    if state is not State.RUNNING:
        raise RefusedError(f"{pipeline.name} is {state}; only a pipeline that processes records can show how it "
                           "recovers", f"See `streamops status {pipeline.name}`, and drill it when records come.")
    return False


def start(declared: Pipelines, pipeline: Pipeline, settings: Settings, by: str, say: Say) -> None:
    """Start a canary, and wait for its first batch. Raises what keeps it from that."""
    given = lifecycles.given(Action.START, by, "a drill", None)
    lifecycles.do(declared, Action.START, pipeline.name, given, say, settings)


def stop(declared: Pipelines, pipeline: Pipeline, settings: Settings, by: str, say: Say) -> None:
    """Stop the canary that was started for a drill."""
    given = lifecycles.given(Action.STOP, by, "the drill is over", None)
    lifecycles.do(declared, Action.STOP, pipeline.name, given, say, settings)


def take_point(pipeline: Pipeline, say: Say) -> int:
    """Take a recovery point that shows that the pipeline keeps up; its number.

    Raises RefusedError when it does not keep up within `CATCH_UP_WITHIN_S`.
    """
    points, deadline_s = snapshots.store(), time.monotonic() + CATCH_UP_WITHIN_S
    while True:
        for taken in snapshots.take([pipeline], points, say):
            if taken.lag.state is LagState.OK and _waits_little(pipeline, taken.lag.lag_s):
                say(str(taken))
                return taken.number
            if time.monotonic() > deadline_s:
                raise RefusedError(f"{taken}: not well enough for a drill",
                                   f"See `streamops lag {pipeline.name}`, and drill it when it keeps up.")
        time.sleep(_POLL_S)


def await_batches(pipeline: Pipeline, settings: Settings, count: int, say: Say) -> None:
    """Return when so many batches were logged from now on. Raises UnavailableError when none are in time."""
    from streamops.drilling.watch import Watch

    deadline_s = time.monotonic() + pipeline.start_timeout_s
    with Watch(pipeline, settings) as watch:
        while watch.count < count:
            if time.monotonic() > deadline_s:
                raise UnavailableError(f"{pipeline.name} has logged no {count} batches within "
                                       f"{pipeline.start_timeout_s:g} s", f"See `streamops status {pipeline.name}`.")
            time.sleep(_POLL_S / 5)
    say(f"{pipeline.name} processes records")


def _waits_little(pipeline: Pipeline, lag_s: float | None) -> bool:
    """Whether no more waits than a few batches take."""
    return lag_s is None or lag_s <= max(10.0, 5 * pipeline.interval_s)
