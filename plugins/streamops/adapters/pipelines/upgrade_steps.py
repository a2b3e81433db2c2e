"""An upgrade on real servers: which versions there are, the steps of its own, and its way back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from streamops.adapters.connections import connection
from streamops.adapters.kafka.broker import Broker
from streamops.adapters.pipelines import trials
from streamops.adapters.pipelines.drivers import DriverEndedError
from streamops.adapters.pipelines.lifecycle_steps import LifecycleSteps, NoBatchError
from streamops.adapters.pipelines.version_files import keep, version_of
from streamops.errors import JobStopped, RefusedError, RolledBackError, StateError, StreamopsError, UnavailableError
from streamops.running.lifecycle import Plan, SeenDriver, Situation, Step, StepKind
from streamops.running.upgrade import SeenVersions, plan_rollback
from streamops.state import evidence, generations, releases, versions
from streamops.state.lease import Owner, OwnerKind
from streamops.state.offsets import Offsets
from streamops.state.releases import Release, Stage
from streamops.state.versions import Version

#: Seconds to wait for a broker: whether a pipeline is idle can be asked again.
_BROKER_TIMEOUT_S = 5.0
_POLL_S = 1.0


class TrialFailedError(StreamopsError):
    """A version does not work; whoever tried it goes back."""


class UpgradeSteps(LifecycleSteps):
    """One pipeline to be upgraded. `take_point` takes a recovery point, and says which."""

    def __init__(self, *given: Any, take_point: Callable[[], str]) -> None:
        super().__init__(*given)
        self._take_point = take_point
        self._release: Release | None = None
        self._deployed: Version | None = None
        self._healthy: Version | None = None
        self._error: str | None = None

    def versions(self) -> SeenVersions:
        """Which version is deployed, which worked last, and how far an upgrade came. Freezes the deployed code."""
        files = self.drivers.files
        self._release = standing = releases.standing(files)
        self._deployed = version_of(self.drivers.deployed(Owner(OwnerKind.START)))
        self._healthy = versions.healthy(files)
        failure, self._error = None, standing.error if standing is not None else None
        if standing is not None and standing.stage is Stage.TRIAL:
            failure = self._error = trials.failure(files, standing.version, standing.before)
        current = generations.current(files)
        return SeenVersions(self._deployed, self._healthy, standing, failure, current.approach if current else None)

    def apply(self, planned: Plan, seen: Situation) -> None:
        """Take the steps of an upgrade; when the version fails, those of its rollback.

        Raises RolledBackError for a version that failed, also where it was another call that found that out.
        """
        began_s = time.monotonic()
        if any(step.stage is Stage.ROLLED_BACK for step in planned.steps):
            self._roll_back(planned, seen, "An upgrade before this one has found that out")
            return
        try:
            super().apply(planned, seen)
        except TrialFailedError as failed:
            took_s, self._error = time.monotonic() - began_s, failed.found
            assert self._release is not None  # the trial's, which a step of this plan has written or found
            self._say(f"{planned.pipeline}: {failed.found}")
            now = self.situation()
            rollback = plan_rollback(now, replace(self._release, error=failed.found))
            self._say(str(rollback))
            self._roll_back(rollback, now, f"That showed {took_s:.1f} s after the upgrade began")
            return
        if planned.steps:
            self._say(f"{planned.pipeline}: {time.monotonic() - began_s:.1f} s from the first step to the last")

    def _roll_back(self, planned: Plan, seen: Situation, found_out: str) -> None:
        began_s, release = time.monotonic(), self._release
        assert release is not None
        tried, healthy = release.version, release.healthy
        try:
            super().apply(planned, seen)
        except TrialFailedError as failed:
            raise RolledBackError(
                f"version {tried} of {planned.pipeline} failed, and the last healthy one, {healthy}, has logged no "
                f"batch either ({failed.found}). The first failed with: {self._error}",
                f"What is wrong is not in the version alone. {healthy} stays the one that is started. When the cause "
                f"is mended, `streamops upgrade {planned.pipeline}` finishes the rollback.",
            ) from None
        raise RolledBackError(
            f"version {tried} of {planned.pipeline} failed and was rolled back to {healthy}: {self._error}\n"
            f"{found_out}; {healthy} logged a batch again {time.monotonic() - began_s:.1f} s later",
            f"Nothing is lost or doubled. Whatever starts {planned.pipeline} runs {healthy} until an upgrade succeeds: "
            f"correct what is deployed, then `streamops upgrade {planned.pipeline}`.",
        )

    def _steps(self, seen: Situation) -> dict[StepKind, Callable[[Step], None]]:
        return {
            **super()._steps(seen),
            StepKind.POINT: lambda _: self._point(),
            StepKind.RELEASE: self._write_release,
            StepKind.JUDGE: lambda _: self._judge(seen.start_timeout_s),
        }

    def _end_drivers(self, limit_s: float) -> None:
        super()._end_drivers(limit_s)
        self._submitted = None

    def _point(self) -> None:
        """A point is for people. What a rollback needs is in the batch log, so an upgrade goes on without."""
        try:
            self._say(self._take_point())
        except StreamopsError as error:
            self._say(f"no recovery point was taken: {error.found}")

    def _write_release(self, step: Step) -> None:
        """Write the release that follows the one seen. Raises RefusedError when somebody wrote another meanwhile."""
        assert step.stage is not None
        assert self._deployed is not None
        last, files, pipeline = self._release, self.drivers.files, self.drivers.pipeline.name
        if step.stage is Stage.TRIAL:
            assert self._healthy is not None  # a plan without one is refused
            keep(files, self._deployed)
            tried, healthy = self._deployed.id, self._healthy.id
        elif step.stage is Stage.DONE:
            tried = healthy = self._deployed.id
        else:
            assert last is not None  # a rollback is that of a trial
            tried, healthy = last.version, last.healthy
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        wanted = tried if step.stage is Stage.TRIAL else healthy
        before = tuple(each.driver for each in evidence.known_drivers(files)
                       if each.record is not None and each.record.version == wanted)
        error = None if step.stage in (Stage.TRIAL, Stage.DONE) else self._error
        release = Release(pipeline, (last.number if last is not None else 0) + 1, step.stage, tried, healthy,
                          self._given.by, at, before, error)
        if not files.write_new(releases.path(release.number), release.to_json()):
            raise RefusedError(f"somebody else upgrades {pipeline} in this moment: {releases.standing(files)}",
                               "Wait until theirs is done, then see `streamops status`.")
        self._release = release

    def _judge(self, limit_s: float) -> None:
        """Return once the version that is to run has logged a batch. Raises TrialFailedError when it will not."""
        deadline_s = time.monotonic() + limit_s
        while True:
            try:
                self._await(round(max(0.0, deadline_s - time.monotonic()), 2), self._proof_of_version)
                return
            except NoBatchError as error:
                raise TrialFailedError(f"{error.found}{self._log_tail()}") from None
            except UnavailableError as error:  # a storage or a broker that is away for a moment says nothing of it
                if time.monotonic() >= deadline_s:
                    raise TrialFailedError(error.found) from None
                self._say(error.found)
                time.sleep(_POLL_S)
            except (JobStopped, DriverEndedError, StateError) as error:
                raise TrialFailedError(error.found) from None

    def _proof_of_version(self, _: list[SeenDriver]) -> str | None:
        release = self._release
        assert release is not None
        assert release.wanted is not None  # nobody waits for a version under a release that names none
        verdict = trials.judge(self.drivers.files, release.wanted, release.before, self._latest)
        if verdict.failure is not None:
            raise TrialFailedError(verdict.failure)
        return f"version {release.wanted} works: {verdict.proof}" if verdict.proof is not None else None

    def _latest(self) -> Offsets | None:
        pipeline = self.drivers.pipeline
        if pipeline.source != "kafka":
            return None
        with Broker.connect(connection(pipeline.connections.kafka), _BROKER_TIMEOUT_S) as broker:
            return broker.latest_offsets(pipeline.topics)

    def _log_tail(self) -> str:
        """The last lines of a driver that was submitted here and said nothing in the state directory."""
        if self._submitted is None or evidence.record(self.drivers.files, self._submitted) is not None:
            return ""
        tail = self.drivers.master.log_tail(self._submitted)
        return f"\n{tail}" if tail else ""
