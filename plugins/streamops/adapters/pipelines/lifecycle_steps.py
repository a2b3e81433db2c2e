"""The lifecycle of one pipeline on real servers: where it is, and each step of a plan, carried out and read back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from streamops.adapters.airflow.dags import AirflowDag
from streamops.adapters.pipelines.drivers import PipelineDrivers
from streamops.adapters.spark.shell_submission import submit
from streamops.errors import RefusedError, StateError, StopOrderedError, UnavailableError
from streamops.running.driver_status import GONE, Standing
from streamops.running.lifecycle import Plan, SeenDag, SeenDriver, Situation, Step, StepKind
from streamops.state import evidence, orders
from streamops.state.lease import JobState, Owner, OwnerKind
from streamops.state.orders import Order, Wish

#: Seconds until a driver that is killed is gone: its worker waits for `spark.worker.driverTerminateTimeout` before it
#: uses SIGKILL, which is 40 s in the embedded stack, so that receivers may process what they have.
KILL_TIMEOUT_S = 70.0

#: Seconds that Airflow may take from a request to a task that runs, beside the time that the driver itself has.
AIRFLOW_STARTS_WITHIN_S = 60.0

_POLL_S, _SAY_AGAIN_S = 1.0, 30.0


class NoBatchError(UnavailableError):
    """No driver has logged a batch in time. What was begun goes on."""


@dataclass(frozen=True)
class Given:
    """Who acts, why, and how long a driver may take to end, or to start; None for the pipeline's own times."""

    by: str
    why: str | None = None
    stop_within_s: float | None = None
    start_within_s: float | None = None


class LifecycleSteps:
    """One pipeline, its DAG (None with the reason in `airflow_away`), and who acts on it."""

    def __init__(
        self,
        drivers: PipelineDrivers,
        dag: AirflowDag | None,
        airflow_away: str | None,
        given: Given,
        say: Callable[[str], None],
    ) -> None:
        self.drivers = drivers
        self._dag = dag
        self._airflow_away = airflow_away
        self._given = given
        self._say = say
        self._order: Order | None = None
        self._submitted: str | None = None
        self._run: str | None = None

    def situation(self) -> Situation:
        """Where the pipeline is now. Raises UnavailableError where its state directory does not answer."""
        pipeline = self.drivers.pipeline
        dag, away = self._seen_dag()
        seen = self._not_gone()
        return Situation(
            pipeline=pipeline.name,
            run=pipeline.run,
            stop_timeout_s=_given_or(self._given.stop_within_s, pipeline.stop_timeout_s),
            start_timeout_s=_given_or(self._given.start_within_s, pipeline.start_timeout_s),
            order=self.drivers.order(),
            drivers=tuple(seen),
            is_lease_in_doubt=self._is_lease_in_doubt(),
            dag=dag,
            airflow_away=away,
        )

    def apply(self, planned: Plan, seen: Situation) -> None:
        """Take the steps of a plan that was made from `seen`, one after the other. Raises what keeps one from it."""
        steps = self._steps(seen)
        self._order, self._run = seen.order, None  # a run that an earlier plan made says nothing of this one
        for number, step in enumerate(planned.steps, 1):
            self._say(f"{planned.pipeline}: {number}/{len(planned.steps)} {step.text}")
            steps[step.kind](step)

    def _steps(self, seen: Situation) -> dict[StepKind, Callable[[Step], None]]:
        """What carries out each kind of step."""
        return {
            StepKind.ORDER: self._give_order,
            StepKind.PAUSE_DAG: lambda _: self._where_airflow_answers(lambda: self._the_dag().set_paused(True)),
            StepKind.END_DRIVERS: lambda _: self._end_drivers(seen.stop_timeout_s),
            StepKind.END_RUNS: lambda _: self._where_airflow_answers(self._end_runs),
            StepKind.UNPAUSE_DAG: lambda _: self._the_dag().set_paused(False),
            StepKind.TRIGGER: lambda _: self._trigger(),
            StepKind.CLEAR: lambda _: self._clear(),
            StepKind.SUBMIT: lambda _: self._submit(),
            StepKind.AWAIT_START: lambda _: self._await(seen.start_timeout_s, self._proof_of_start),
        }

    def _seen_dag(self) -> tuple[SeenDag | None, str | None]:
        if self._dag is None:
            return None, self._airflow_away
        try:
            found = self._dag.look()
        except UnavailableError as error:
            return None, error.found
        return found, None if found is not None else f"Airflow does not know a DAG {self._dag.dag_id}"

    def _not_gone(self) -> list[SeenDriver]:
        """Drivers that live, and those of which no master in charge says anything, oldest first."""
        found = []
        for each in evidence.known_drivers(self.drivers.files):
            seen = self.drivers.master.look(each.driver)
            silent = seen.standing is Standing.NO_ANSWER and not each.ended_itself
            if seen.standing is Standing.LIVING or silent:
                has_started = evidence.proof_of_start(self.drivers.files, each.driver) is not None
                found.append(SeenDriver(
                    each.driver, str(seen), each.owner, has_started and not each.ended_itself,
                    is_ending=each.ended_itself, version=each.record.version if each.record is not None else None))
        if self._submitted is not None and self._submitted not in {each.driver for each in found}:
            # Its process may die each time before it can write a record, and be relaunched for ever.
            seen = self.drivers.master.look(self._submitted)
            if seen.standing is Standing.LIVING:
                found.append(SeenDriver(self._submitted, str(seen), Owner(OwnerKind.START), has_started=False))
        return found

    def _is_lease_in_doubt(self) -> bool:
        held = evidence.holder(self.drivers.files)
        if held is None or self.drivers.master.look(held.driver).standing in GONE | {Standing.LIVING}:
            return False
        last = evidence.beat(self.drivers.files, held.epoch)
        return last is None or last.state is not JobState.STOPPED

    def _give_order(self, step: Step) -> None:
        """Write the order that follows the one seen. Raises RefusedError when somebody gave another one meanwhile."""
        assert step.wish is not None
        files, pipeline = self.drivers.files, self.drivers.pipeline.name
        number = (self._order.number if self._order is not None else 0) + 1
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        within_s = self._given.stop_within_s if step.wish is not Wish.RUN else None
        order = Order(pipeline, number, step.wish, self._given.by, at, self._given.why, within_s)
        if not files.write_new(orders.path(number), order.to_json()):
            order = self._standing()
            if order.wish is not step.wish:
                raise RefusedError(f"{pipeline} was {order}, since the plan was made", "Ask them, then try again.")
        self._order = order

    def _standing(self) -> Order:
        order = self.drivers.order()
        assert order is not None  # an order is never taken away
        return order

    def _require_order(self) -> None:
        """Raises RefusedError when another order stands than the one that is carried out."""
        order = self.drivers.order()
        if order is not None and self._order is not None and order.stops is not self._order.stops:
            raise RefusedError(f"{self.drivers.pipeline.name} was {order} meanwhile, so this goes no further",
                               "Ask them, then try again.")

    def _end_drivers(self, limit_s: float) -> None:
        """Wait for drivers to end on the order, kill those that do not, and see that the lease is silent."""
        deadline_s, watched = time.monotonic() + limit_s, {each.driver for each in self._not_gone()}
        while left := self._living(watched):
            if time.monotonic() >= deadline_s:
                break
            self._require_order()
            time.sleep(_POLL_S)
            watched |= {each.driver for each in self._not_gone()}
        for driver in left:
            self._require_order()
            self._require_master(driver)
            self._say(f"driver {driver} has not ended within {limit_s:g} s; killing it through Spark's master")
            self.drivers.master.kill_and_wait(driver, KILL_TIMEOUT_S)
        self._require_silence()
        for driver in sorted(watched):
            self._say(f"driver {driver} is gone: {self.drivers.master.look(driver)}")

    def _require_master(self, driver: str) -> None:
        """Raises UnavailableError when no Spark master can say whether a driver is gone, or kill it."""
        seen = self.drivers.master.look(driver)
        if seen.standing is not Standing.NO_ANSWER:
            return
        said = evidence.record(self.drivers.files, driver)
        has_ended = said is not None and said.stop_kind is not None
        raise UnavailableError(
            f"no Spark master answers ({seen.detail}), so that driver {driver} is gone cannot be seen; its own record "
            + ("says that it ended" if has_ended else "does not say that it ended"),
            "The order stands: the driver ends on it without Spark's master, and none begins. Give this again when the "
            "master is up.",
        )

    def _living(self, watched: set[str]) -> list[str]:
        return [driver for driver in sorted(watched)
                if self.drivers.master.look(driver).standing in (Standing.LIVING, Standing.NO_ANSWER)]

    def _require_silence(self) -> None:
        """Raises StateError when the lease's holder goes on writing, although Spark's master says that it is gone."""
        held = evidence.holder(self.drivers.files)
        last = evidence.beat(self.drivers.files, held.epoch) if held is not None else None
        if held is None or (last is not None and last.state is JobState.STOPPED):
            return
        if self.drivers.beats(held.driver, self._say):
            raise StateError(
                f"driver {held.driver} still writes for {held.pipeline} (host {held.host}, process {held.pid}), though "
                "Spark's master does not have it",
                "The order stands, and it ends at its next look. If it does not, end that process on its host.",
            )

    def _the_dag(self) -> AirflowDag:
        assert self._dag is not None  # a plan has steps in Airflow only where it was seen
        return self._dag

    def _where_airflow_answers(self, act: Callable[[], None]) -> None:
        """What a stop does in Airflow, which is for show: an Airflow that goes away meanwhile keeps nothing from it."""
        try:
            act()
        except UnavailableError as error:
            self._say(f"{error.found}. The order stands: when Airflow is back, its task starts nothing")

    def _end_runs(self) -> None:
        self._require_order()
        for run in self._the_dag().active_runs():
            self._the_dag().end(run.run_id)

    def _trigger(self) -> None:
        # Two who start it at once carry out one order, and so ask for one run.
        assert self._order is not None
        self._run = f"streamops_start__{self._order.at}"
        self._the_dag().trigger(self._run, str(self._order))

    def _clear(self) -> None:
        for run in self._the_dag().active_runs():
            self._the_dag().clear_waiting(run.run_id)

    def _submit(self) -> None:
        me = Owner(OwnerKind.START)
        # Airflow is away: what belongs to one of its runs is taken for alive.
        plan = self.drivers.plan_takeover(me, prior=None, is_owner_alive=lambda _: True, say=self._say)
        if plan.adopt is None:
            if (release := self.drivers.release()) is not None:
                self._say(str(release))
            job = self.drivers.submission(me, plan.supersedes)
            self._submitted = submit(*self.drivers.to_submit(job), self._say)
            self._say(f"submitted driver {self._submitted}")

    def _proof_of_start(self, living: list[SeenDriver]) -> str | None:
        """What shows that a driver's first batch is in the batch log; None while nothing does."""
        if not (started := [each for each in living if each.has_started]):
            return None
        driver = started[-1].driver
        return f"driver {driver} has started: {evidence.proof_of_start(self.drivers.files, driver)}"

    def _await(self, limit_s: float, proof: Callable[[list[SeenDriver]], str | None]) -> None:
        """Return once there is a proof that a driver works. Raises what that driver, or Airflow's task, says."""
        timeout_s = limit_s + (0 if self._submitted else AIRFLOW_STARTS_WITHIN_S)
        deadline_s, said, said_at_s = time.monotonic() + timeout_s, "", 0.0
        while True:
            self._require_order()
            living = self._not_gone()
            if (found := proof(living)) is not None:
                self._say(found)
                return
            now_s = time.monotonic()
            progress = self._progress(living)
            if not living:
                self._require_no_failure()
            if progress != said or now_s - said_at_s >= _SAY_AGAIN_S:
                said, said_at_s = progress, now_s
                self._say(progress)
            if now_s >= deadline_s:
                raise NoBatchError(
                    f"{self.drivers.pipeline.name} has no batch logged after {timeout_s:g} s; at last: {said}",
                    "What was begun goes on. See `streamops status`, and the log of the driver.",
                )
            time.sleep(_POLL_S)

    def _progress(self, living: list[SeenDriver]) -> str:
        driver = living[-1].driver if living else self._submitted
        if driver is not None:
            return f"driver {driver}: {self.drivers.start_of(driver).progress}"
        runs = self._dag.active_runs() if self._dag is not None else []
        waits = f"run {runs[-1].run_id}: task {runs[-1].task_state or 'not begun'}" if runs else "waiting for a run"
        known = evidence.known_drivers(self.drivers.files)
        said = known[-1].record if known else None
        if said is None or said.stop_kind in (None, StopOrderedError.kind):
            return waits
        return f"{waits}; driver {said.driver} has ended: {said.stop_kind}: {said.reason}"

    def _require_no_failure(self) -> None:
        """Raises why the driver that was submitted has ended, or why the run that was made has failed."""
        name = self.drivers.pipeline.name
        if self._submitted is not None and self.drivers.master.look(self._submitted).standing is Standing.ENDED:
            raise self.drivers.why_ended(
                self._submitted, f"driver {self._submitted} of {name} ended before its first batch"
            )
        if self._run is not None and self._the_dag().run_state(self._run) == "failed":
            tried = [each.driver for each in evidence.known_drivers(self.drivers.files)
                     if each.owner.run_id == self._run]
            if tried:
                raise self.drivers.why_ended(tried[-1], f"run {self._run} failed; driver {tried[-1]} of {name} ended")
            raise StateError(f"run {self._run} of DAG {self._the_dag().dag_id} failed before it had a driver",
                             "The log of its task `driver` says why.")


def _given_or(given: float | None, default: float) -> float:
    return default if given is None else given
