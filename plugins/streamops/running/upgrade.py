"""Upgrades: new code or settings, tried, and taken back by itself when they log no batch.

    stop  ->  recovery point  ->  release TRIAL  ->  start  ->  a batch?  ->  release DONE
                                                               no: release ROLLING_BACK -> stop -> start -> a batch?
                                                                   -> release ROLLED_BACK

What is written down (state/releases.py) says how far it came, so that an upgrade that was killed goes on when it is
given again. A version that does not work logs nothing, and the next one begins with the same batch: nothing is lost or
doubled. Pure: what was observed comes in, a plan goes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from streamops.running.lifecycle import (
    Action,
    Plan,
    Situation,
    Step,
    StepKind,
    ending,
    notes_on_a_start,
    starting,
    stopped,
    stopping,
)
from streamops.state.orders import Wish
from streamops.state.releases import Release, Stage
from streamops.state.versions import Version


@dataclass(frozen=True)
class SeenVersions:
    """`healthy` logged the last batch; None where that was before versions were written down.

    `failure` is why the version on trial has failed already, where one is. `approach` is the current generation's.
    """

    deployed: Version
    healthy: Version | None
    release: Release | None = None
    failure: str | None = None
    approach: str | None = None

    @property
    def is_deployed_on_trial(self) -> bool:
        return (self.release is not None and self.release.stage is Stage.TRIAL
                and self.release.version == self.deployed.id)


def plan_upgrade(seen: Situation, found: SeenVersions) -> Plan:
    """The steps that bring what is deployed to run, or that finish what an upgrade before has begun."""
    release, deployed, healthy = found.release, found.deployed, found.healthy
    if seen.order is not None and seen.order.wish is Wish.PAUSE:
        return Plan(seen.pipeline, Action.UPGRADE, refusal=f"{seen.pipeline} was {seen.order}",
                    repair=seen.order.repair)
    if release is not None and release.stage is Stage.ROLLING_BACK:
        return plan_rollback(seen, release)
    if found.is_deployed_on_trial and release is not None and found.failure is not None:
        return plan_rollback(seen, replace(release, error=found.failure))
    if healthy is None:
        return Plan(seen.pipeline, Action.UPGRADE,
                    refusal=f"no version of {seen.pipeline} is known to have logged a batch, so there is none to go "
                            "back to when this one fails",
                    repair=f"Start it as it is: streamops restart {seen.pipeline}. Later ones can be upgrades.")
    is_all_of_it = all(each.version == deployed.id for each in seen.drivers)
    is_tried_otherwise = release is not None and release.stage is Stage.TRIAL and not found.is_deployed_on_trial
    if deployed.id == healthy.id and is_all_of_it and not is_tried_otherwise:
        return _as_it_is(seen, found)
    judge = [Step(StepKind.JUDGE, f"wait up to {seen.start_timeout_s:g} s for a batch of version {deployed.id}; when "
                                  f"there is none, roll back to {healthy.id}"), _done(deployed)]
    notes = (*_notes(found, deployed, healthy), *notes_on_a_start(replace(seen, drivers=())))
    if found.is_deployed_on_trial and is_all_of_it:
        return Plan(seen.pipeline, Action.UPGRADE, (*_started(seen), *judge), notes)
    trial = Step(StepKind.RELEASE, f"write down that version {deployed.id} is tried, and {healthy.id} is the last "
                                   "healthy one", stage=Stage.TRIAL)
    steps = (*stopping(Action.UPGRADE, seen), Step(StepKind.POINT, "take a recovery point"), trial,
             *_without_wait(starting(stopped(seen))), *judge)
    return Plan(seen.pipeline, Action.UPGRADE, steps, notes)


def plan_rollback(seen: Situation, release: Release) -> Plan:
    """The steps that bring the last healthy version to run again, from wherever a failed trial left the pipeline."""
    steps = []
    if release.stage is not Stage.ROLLING_BACK:
        steps.append(Step(StepKind.RELEASE, f"write down that {release.healthy} is to run again",
                          stage=Stage.ROLLING_BACK))
    # A task that has not seen the end of the failed version's driver yet would start nothing more.
    is_of_trial = not seen.drivers and seen.dag is not None and seen.dag.has_task
    if all(each.version == release.healthy for each in seen.drivers) and not is_of_trial:
        steps += _started(seen)
    else:
        steps += [*stopping(Action.UPGRADE, seen), *_without_wait(starting(stopped(seen)))]
    steps += [
        Step(StepKind.JUDGE, f"wait up to {seen.start_timeout_s:g} s for a batch of version {release.healthy}"),
        Step(StepKind.RELEASE, f"write down that {release.healthy} runs again, and nobody starts {release.version}",
             stage=Stage.ROLLED_BACK),
    ]
    note = f"version {release.version} failed: {release.error}"
    return Plan(seen.pipeline, Action.UPGRADE, tuple(steps), (note,))


def _as_it_is(seen: Situation, found: SeenVersions) -> Plan:
    """What is deployed has logged the last batch: it need only run, and be what is started."""
    done = [] if found.release is None or found.release.stage is Stage.DONE else [_done(found.deployed)]
    ends = tuple(ending(seen)) if seen.is_stopped else ()
    starts = starting(replace(seen, drivers=()) if ends else seen)
    note = f"what is deployed is version {found.deployed.id}, which logged the last batch"
    return Plan(seen.pipeline, Action.UPGRADE, (*ends, *done, *starts), (note, *notes_on_a_start(seen)))


def _started(seen: Situation) -> list[Step]:
    """What a start takes where only drivers of the right version are there."""
    ends = list(ending(seen)) if seen.is_stopped else []
    return [*ends, *_without_wait(starting(replace(seen, drivers=()) if ends else seen))]


def _without_wait(steps: Iterable[Step]) -> Iterator[Step]:
    return (step for step in steps if step.kind is not StepKind.AWAIT_START)


def _done(version: Version) -> Step:
    return Step(StepKind.RELEASE, f"write down that version {version.id} works", stage=Stage.DONE)


def _notes(found: SeenVersions, deployed: Version, healthy: Version) -> Iterator[str]:
    yield f"version {healthy.id} -> {deployed.id}: {healthy.differences(deployed)}"
    if found.approach is not None and found.approach != deployed.approach:
        yield (f"hand-over from {found.approach} to {deployed.approach}: the new job opens a generation exactly where "
               "the batch log ends")
    if found.release is not None and found.release.stage is not Stage.DONE:
        yield str(found.release)
