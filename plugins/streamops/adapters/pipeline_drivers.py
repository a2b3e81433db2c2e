"""The drivers of one pipeline, seen from outside of Spark: what there is, what stands in the way, why one ended.

It brings together the pipeline's settings, its state directory and the Spark master, for the operator, the command line
and the reconciliation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from streamops import evidence, pipelines
from streamops.adapters.connections import connection
from streamops.adapters.spark_master import Cluster, SparkMaster
from streamops.adapters.state_files import StateFiles
from streamops.adapters.submission import Submission, job_spec, submission
from streamops.driver_status import Sighting, Standing
from streamops.errors import ConfigurationError, JobStopped, RefusedError, StreamopsError, UnavailableError
from streamops.evidence import KnownDriver
from streamops.lease import TTL_S, Owner, OwnerKind
from streamops.pipeline import Pipeline
from streamops.settings import Settings
from streamops.takeover import Contender, Takeover, is_same_task, plan_takeover

#: Seconds for which a driver's state must stay as it is before a new try relies on it: a person who clears a deferred
#: task starts the next try at once, while the trigger of the last one still ends the driver.
SETTLE_S = 10.0

#: Seconds for which a master may be away: it restarts, or another one is elected.
MASTER_PATIENCE_S = 120.0

#: Reasons after which another driver may fare better although nothing was changed.
_WORTH_A_TRY = frozenset({"lease_lost"})


class DriverEndedError(StreamopsError):
    """A driver has ended that should run on; a further one may fare better."""

    retryable = True


@dataclass(frozen=True)
class Start:
    """How far a driver has come. `proof` says what shows that its job has started, `progress` what it does before."""

    proof: str | None
    has_ended: bool
    progress: str


class PipelineDrivers:
    """One pipeline with its cluster and its state directory. Nothing is read from either until a method is called."""

    def __init__(self, pipeline: Pipeline, settings: Settings) -> None:
        self.pipeline = pipeline
        self._settings = settings
        self.cluster = Cluster.of(connection(pipeline.connections.spark))
        self.master = SparkMaster(self.cluster)
        self.files = StateFiles.at(connection(pipeline.connections.storage), pipeline.state_directory)

    @classmethod
    def of(cls, name: str, settings: Settings | None = None) -> Self:
        """The drivers of the pipeline of that name. Raises ConfigurationError when there is none such."""
        settings = settings or Settings.load()
        declared = pipelines.load(settings.pipelines).pipelines
        if name not in declared:
            raise ConfigurationError(
                f"{settings.pipelines} declares no pipeline {name!r}",
                f"Declared are: {', '.join(sorted(declared)) or 'none'}.",
            )
        return cls(declared[name], settings)

    def submission(self, owner: Owner, supersedes: tuple[str, ...]) -> Submission:
        """What to hand to spark-submit for a new driver."""
        names = self.pipeline.connections
        spec = job_spec(
            self.pipeline,
            kafka=connection(names.kafka),
            storage=connection(names.storage),
            owner=owner,
            supersedes=supersedes,
        )
        return submission(self.pipeline, spec, self._settings)

    def plan_takeover(
        self,
        me: Owner,
        *,
        prior: str | None,
        is_owner_alive: Callable[[Owner], bool],
        say: Callable[[str], None],
    ) -> Takeover:
        """Find out what the pipeline has already, decide, and end the drivers that are nobody's any more.

        `prior` is the driver that this task has submitted or gone on with before.
        Raises RefusedError when somebody else's driver runs, UnavailableError when no master answers.
        """
        known = {each.driver: each for each in evidence.known_drivers(self.files) if not each.ended_itself}
        if prior is not None and prior not in known and evidence.record(self.files, prior) is None:
            # Its job had not come so far as to say that it exists.
            known[prior] = KnownDriver(prior, me, "", holds_lease=False)
        contenders = [self._contender(each, me, prior, is_owner_alive, say) for each in known.values()]
        plan = plan_takeover(me, [each for each in contenders if each is not None])
        if plan.refusal is not None:
            raise RefusedError(
                plan.refusal,
                "Two drivers never write for one pipeline. Stop that one (`streamops drivers kill ID`, or fail its "
                "task), or leave it and stop this one.",
            )
        for driver in plan.stop:
            say(f"ending driver {driver}, whose run is over")
            self.master.kill_and_wait(driver)
        return plan

    def start_of(self, driver: str) -> Start:
        """Whether the driver's job has started. A storage that does not answer only delays the proof."""
        seen = self.master.look(driver)
        try:
            proof = evidence.proof_of_start(self.files, driver)
            progress = evidence.progress(self.files, driver)
        except UnavailableError as error:
            proof, progress = None, error.found
        if seen.state == "SUBMITTED":
            progress = f"it waits for a worker with room for it ({self.master.capacity()})"
        elif seen.standing is not Standing.LIVING or seen.state == "RELAUNCHING":
            progress = f"{seen}; {progress}"
        return Start(proof, seen.standing is Standing.ENDED, progress)

    def why_ended(self, driver: str, what: str) -> StreamopsError:
        """The error for a driver that is gone: what it said itself, or the last lines of its log."""
        said = evidence.record(self.files, driver)
        if said is not None and said.stop_kind is not None:
            text = f"{what}: {said.stop_kind}\n{said.reason}"
            return DriverEndedError(text) if said.stop_kind in _WORTH_A_TRY else JobStopped(text)
        tail = self.master.log_tail(driver)
        return DriverEndedError(f"{what}; it did not say why\n{tail or 'Its log cannot be reached.'}")

    def settled(self, driver: str, settle_s: float, say: Callable[[str], None]) -> Sighting:
        """What is known of a driver once it is certain: it has ended, or it stays as it is for `settle_s`.

        Raises UnavailableError when no master in charge has answered for `MASTER_PATIENCE_S`.
        """
        last: Sighting | None = None
        since_s = answered_at_s = time.monotonic()
        while True:
            seen, now_s = self.master.look(driver), time.monotonic()
            if last is None or seen.standing is not last.standing:
                say(f"driver {driver}: {seen}" + (f" ({seen.detail})" if seen.detail else ""))
                last, since_s = seen, now_s
            if seen.standing is Standing.NO_ANSWER:
                if now_s - answered_at_s >= MASTER_PATIENCE_S:
                    raise UnavailableError(
                        f"no Spark master in charge has answered for {MASTER_PATIENCE_S:.0f} s ({seen.detail})",
                        f"See that the master is up, with its REST port: {', '.join(self.cluster.rest)}",
                    )
            else:
                answered_at_s = now_s
                if seen.standing is Standing.ENDED or now_s - since_s >= settle_s:
                    return seen
            time.sleep(1.0)

    def _contender(
        self,
        each: KnownDriver,
        me: Owner,
        prior: str | None,
        is_owner_alive: Callable[[Owner], bool],
        say: Callable[[str], None],
    ) -> Contender | None:
        """What is known of a driver now; None for one that neither lives nor holds the lease."""
        matters = each.holds_lease or each.driver == prior
        # Only a standalone master's own ids are looked for until it is certain: it never knows any other.
        sure_s = SETTLE_S if matters and each.driver.startswith("driver-") else 0.0
        seen = self.settled(each.driver, sure_s, say) if matters else self.master.look(each.driver)
        if seen.standing is not Standing.LIVING and not matters:
            return None
        mine = is_same_task(each.owner, me)
        lives = None if each.owner.kind is OwnerKind.SHELL else mine or is_owner_alive(each.owner)
        beats = self._beats(each.driver, say) if seen.standing is Standing.NOT_KNOWN and lives is not False else None
        return Contender(each.driver, each.owner, seen.standing, each.holds_lease, lives, beats)

    def _beats(self, driver: str, say: Callable[[str], None]) -> bool:
        """Whether the beat of a driver that holds the lease changes while it is watched."""
        held = evidence.holder(self.files)
        if held is None or held.driver != driver:
            return False
        first, deadline_s = evidence.beat(self.files, held.epoch), time.monotonic() + TTL_S
        say(f"watching for {TTL_S:.0f} s whether driver {driver} still writes")
        while time.monotonic() < deadline_s:
            if evidence.beat(self.files, held.epoch) != first:
                return True
            time.sleep(1.0)
        return False
