"""The drivers of one pipeline, seen from outside of Spark: what there is, what stands in the way, why one ended.

It brings together the pipeline's settings, its state directory and the Spark master, for the operator, the command line
and the reconciliation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from streamops.adapters.connections import connection
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.pipelines.version_files import kept, released
from streamops.adapters.spark.master import Cluster, SparkMaster
from streamops.adapters.spark.submission import Submission, job_spec, proof_submission, submission
from streamops.declared import pipelines
from streamops.declared.pipeline import Pipeline
from streamops.errors import (
    ConfigurationError,
    JobStopped,
    LeaseLostError,
    RefusedError,
    StopOrderedError,
    StreamopsError,
    UnavailableError,
)
from streamops.running.driver_status import GONE, Sighting, Standing
from streamops.running.takeover import Contender, Takeover, is_of, may_go_on_with, plan_takeover
from streamops.settings import Settings
from streamops.state import drivers, evidence, orders, releases
from streamops.state.evidence import KnownDriver
from streamops.state.job_spec import JobSpec
from streamops.state.lease import TTL_S, JobState, Owner, OwnerKind
from streamops.state.offsets import OffsetRange
from streamops.state.orders import Order
from streamops.state.proofs import ProofRequest
from streamops.state.releases import Release

#: Seconds for which a driver's state must stay as it is before a new try relies on it: a person who clears a deferred
#: task starts the next try at once, while the trigger of the last one still ends the driver.
SETTLE_S = 10.0

#: Seconds for which a master may be away: it restarts, or another one is elected.
MASTER_PATIENCE_S = 120.0

#: Seconds between two looks at a driver, and between two lines about one that say the same.
_POLL_S, _SAY_AGAIN_S = 1.0, 30.0

#: Reasons after which another driver may fare better although nothing was changed. An order may be lifted by now.
_WORTH_A_TRY = frozenset({LeaseLostError.kind, StopOrderedError.kind})


Say = Callable[[str], None]
Check = Callable[[], None]


def _go_on() -> None:
    pass


class DriverEndedError(StreamopsError):
    """A driver has ended that should run on; a further one may fare better."""

    retryable = True


@dataclass(frozen=True)
class Start:
    """How far a driver has come. `proof` says what shows that its job has started, `progress` what it does before."""

    proof: str | None
    standing: Standing
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

    def order(self) -> Order | None:
        """The order that stands for the pipeline; None where nobody ever gave one."""
        return orders.standing(self.files)

    def release(self) -> Release | None:
        """The release that says which version is to run; None where that is what is deployed."""
        standing = releases.standing(self.files)
        return standing if standing is not None and standing.wanted is not None else None

    def submission(self, owner: Owner, supersedes: tuple[str, ...]) -> Submission:
        """What to hand to spark-submit for a new driver: what is deployed, or the version that a release names."""
        wanted = released(self.files, owner, supersedes)
        return wanted if wanted is not None else kept(self.files, self.deployed(owner, supersedes))

    def deployed(self, owner: Owner, supersedes: tuple[str, ...] = ()) -> Submission:
        """The code and settings that are deployed, whatever is to run."""
        return submission(self.pipeline, self._spec(owner, supersedes), self._settings)

    def proof(
        self, generation: int, batch: int, ranges: tuple[OffsetRange, ...], most_records: int
    ) -> tuple[Submission, ProofRequest]:
        """What to hand to spark-submit for a check of a batch, by the version that is to run, and what is asked."""
        job = self.submission(Owner(OwnerKind.SHELL), ())
        version = JobSpec.from_json(job.arguments[-1]).version
        request = ProofRequest(f"{generation:06d}-{batch:012d}-{version}", generation, batch, ranges, most_records)
        return proof_submission(job, request), request

    def _spec(self, owner: Owner, supersedes: tuple[str, ...] = ()) -> JobSpec:
        names = self.pipeline.connections
        return job_spec(
            self.pipeline,
            kafka=connection(names.kafka) if self.pipeline.source == "kafka" else None,
            storage=connection(names.storage),
            owner=owner,
            supersedes=supersedes,
        )

    def to_submit(self, job: Submission) -> tuple[Submission, str]:
        """A job as it is handed to spark-submit now, and the master to submit it to."""
        master = self.master.to_submit_to()
        return job.through(master, self.cluster.master), master

    def plan_takeover(
        self,
        me: Owner,
        *,
        prior: str | None,
        is_owner_alive: Callable[[Owner], bool],
        say: Say,
        check: Check = _go_on,
    ) -> Takeover:
        """Find out what the pipeline has already, decide, and end the drivers that are nobody's any more.

        `prior` is the driver that this task has submitted or gone on with before.
        Raises RefusedError when somebody else's driver runs or a person has the pipeline stopped, UnavailableError when
        no master answers, and whatever `check` raises, which is called at every look.
        """
        if (order := self.order()) is not None and order.stops:
            raise RefusedError(f"{self.pipeline.name} was {order}", order.repair)
        known = {each.driver: each for each in evidence.known_drivers(self.files) if not each.ended_itself}
        if prior is not None and prior not in known and evidence.record(self.files, prior) is None:
            # Its job had not come so far as to say that it exists.
            known[prior] = KnownDriver(prior, me, "", holds_lease=False)
        found = [self._contender(each, me, prior, is_owner_alive, say, check) for each in known.values()]
        contenders = [each for each in found if each is not None]
        if (successor := self._awaited(contenders, me, say, check)) is not None:
            return Takeover(adopt=successor)
        plan = plan_takeover(me, contenders)
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

    def wait_until_started(self, driver: str, me: Owner, *, say: Say, check: Check = _go_on) -> str:
        """Return once the driver's first batch is in the batch log; end the driver when that takes too long.

        Returns the id of the driver that has started: another one when the master has submitted it once more because
        its worker was lost. Raises what `why_ended` gives when it has ended, and whatever `check` raises, which is
        called at every look.
        """
        timeout_s = self.pipeline.start_timeout_s
        deadline_s, said, said_at_s = time.monotonic() + timeout_s, "", 0.0
        while True:
            check()
            start, now_s = self.start_of(driver), time.monotonic()
            if start.standing is Standing.MOVED and (successor := self.living(me)) is not None:
                say(f"driver {driver} lost its worker; Spark has submitted it once more as {successor}")
                driver = successor
                continue
            if start.proof is not None and start.standing is not Standing.MOVED:
                say(f"driver {driver} has started: {start.proof}")
                return driver
            if start.standing is Standing.ENDED:
                raise self.why_ended(driver, f"driver {driver} of {self.pipeline.name} ended before its first batch")
            if start.progress != said or now_s - said_at_s >= _SAY_AGAIN_S:
                said, said_at_s = start.progress, now_s
                say(f"driver {driver}: {said}")
            if now_s >= deadline_s:
                self.master.kill_and_wait(driver)
                raise self.why_ended(
                    driver,
                    f"driver {driver} of {self.pipeline.name} had no batch in the batch log after {timeout_s:g} s, and "
                    f"was stopped; at last: {said}",
                )
            time.sleep(_POLL_S)

    def living(self, me: Owner) -> str | None:
        """The newest driver of mine that lives, as far as the state directory knows it."""
        for each in reversed(evidence.known_drivers(self.files)):
            mine = is_of(each.owner, me) and not each.ended_itself
            if mine and self.master.look(each.driver).standing is Standing.LIVING:
                return each.driver
        return None

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
        elif seen.standing is Standing.MOVED:
            progress = f"its worker was lost, and its successor has not reached the job yet ({self.master.capacity()})"
        elif seen.standing is not Standing.LIVING:
            progress = f"{seen}; {progress}"
        return Start(proof, seen.standing, progress)

    def why_ended(self, driver: str, what: str) -> StreamopsError:
        """The error for a driver that is gone: what it said itself, or the last lines of its log."""
        said = evidence.record(self.files, driver)
        if said is not None and said.stop_kind is not None:
            text = f"{what}: {said.stop_kind}\n{said.reason}"
            return DriverEndedError(text) if said.stop_kind in _WORTH_A_TRY else JobStopped(text)
        tail = self.master.log_tail(driver)
        return DriverEndedError(f"{what}; it did not say why\n{tail or 'Its log cannot be reached.'}")

    def finished(self, driver: str) -> str | None:
        """What a driver said when its work was done; None for one that ended otherwise, or lives."""
        said = evidence.record(self.files, driver)
        return said.reason if said is not None and said.stop_kind == drivers.FINISHED else None

    def settled(
        self, driver: str, settle_s: float, certain: frozenset[Standing], say: Say, check: Check = _go_on
    ) -> Sighting:
        """What is known of a driver: at once where it is one of `certain`, else once it stays so for `settle_s`.

        Raises UnavailableError when no master in charge has answered for `MASTER_PATIENCE_S`.
        """
        last: Sighting | None = None
        since_s = answered_at_s = time.monotonic()
        while True:
            check()
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
                if seen.standing in certain or now_s - since_s >= settle_s:
                    return seen
            time.sleep(_POLL_S)

    def _awaited(self, contenders: list[Contender], me: Owner, say: Say, check: Check) -> str | None:
        """The driver that takes the place of one of mine whose worker was lost, when it comes in time."""
        mine = [each for each in contenders if may_go_on_with(each.owner, me)]
        if not mine or mine[-1].standing is not Standing.MOVED:
            return None
        say(f"driver {mine[-1].driver} lost its worker; waiting for the one that Spark submits in its place")
        deadline_s = time.monotonic() + self.pipeline.start_timeout_s
        while time.monotonic() < deadline_s:
            check()
            if (successor := self.living(me)) is not None:
                return successor
            time.sleep(_POLL_S)
        return None

    def _contender(
        self,
        each: KnownDriver,
        me: Owner,
        prior: str | None,
        is_owner_alive: Callable[[Owner], bool],
        say: Say,
        check: Check,
    ) -> Contender | None:
        """What is known of a driver now; None for one that neither lives nor holds the lease."""
        matters = each.holds_lease or each.driver == prior
        # Only a standalone master's own ids are looked for until it is certain: it never knows any other. And only what
        # this task deferred to before may be about to be ended by a trigger.
        sure_s = SETTLE_S if each.driver.startswith("driver-") else 0.0
        certain = GONE if each.driver == prior else GONE | {Standing.LIVING}
        seen = self.settled(each.driver, sure_s, certain, say, check) if matters else self.master.look(each.driver)
        if seen.standing is not Standing.LIVING and not matters:
            return None
        mine = may_go_on_with(each.owner, me)
        lives = (mine or is_owner_alive(each.owner)) if each.owner.kind is OwnerKind.AIRFLOW else None
        in_doubt = seen.standing in (Standing.NOT_KNOWN, Standing.MOVED) and not mine and lives is not False
        beats = self.beats(each.driver, say, check) if in_doubt else None
        return Contender(each.driver, each.owner, seen.standing, each.holds_lease, lives, beats)

    def beats(self, driver: str, say: Say, check: Check = _go_on) -> bool:
        """Whether the beat of a driver that holds the lease goes on while it is watched."""
        held = evidence.holder(self.files)
        if held is None or held.driver != driver:
            return False
        first, deadline_s = evidence.beat(self.files, held.epoch), time.monotonic() + TTL_S
        say(f"watching for {TTL_S:.0f} s whether driver {driver} still writes")
        while time.monotonic() < deadline_s:
            check()
            if (last := evidence.beat(self.files, held.epoch)) != first:
                return last is None or last.state is not JobState.STOPPED
            time.sleep(_POLL_S)
        return False
