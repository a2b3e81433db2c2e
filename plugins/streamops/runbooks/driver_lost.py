"""### A pipeline's driver is lost

**Symptom**: `streamops status` shows `gone`, `crashing` or `stopped` although nobody stopped it; the lease is silent;
the Spark master has forgotten the driver, or its worker is lost; no batch is logged.

**Steps**
1. It prints the evidence: status, standing order, lease, the drivers at the Spark master and what they said
   themselves, Airflow's run, brokers, lag and the last recovery points, the batch log.
2. It recommends, with the reason: `start` where no driver lives, `restart` where one lives and its lease is silent;
   waiting where Spark or Airflow has one on its way; nothing under a stop that a person gave; your hand where the
   driver says that another one would end as well (its own error is shown; a crash loop is not restarted blindly); or
   another runbook: broker_down, poison_record, offset_out_of_range, stuck_batch.
3. Approve in the task `approve` (Required Actions); `approval: false`, at a shell `--yes`, skips that.
4. `act` starts or restarts it as `streamops start|restart` do: through Airflow where that is up, else by itself.
5. `verify` succeeds when a driver with a newer lease has logged a batch and the lag falls, or there is nothing to
   read.

**Is it safe to repeat?** Yes, at any time and after any interruption. Two drivers never commit beside each other: the
lease sees to that, and the new driver goes on from the batch log.

**How to undo**: `streamops stop PIPELINE`. Nothing that was processed is touched. A restart that fails half-way takes
its own stop back, so that the pipeline is not left stopped; a driver that was started and is not well goes on trying.
"""

from __future__ import annotations

from datetime import datetime

from streamops.runbooks import causes, stuck_batch
from streamops.runbooks.case import Case
from streamops.runbooks.evidence import DriverSight, Evidence
from streamops.runbooks.progress import Mark
from streamops.runbooks.recommendation import Kind, Recommendation
from streamops.runbooks.runbook import PipelineRunbook
from streamops.running.driver_status import Standing
from streamops.running.pipeline_status import duration
from streamops.state.lease import JobState

PAGE = __doc__ or ""

_RESTART = "restart"
#: States of Airflow's task in which it starts a driver now, without help.
_ON_ITS_WAY = frozenset({"queued", "scheduled", "running"})


class DriverLost(PipelineRunbook):
    """See the page."""

    name = "driver_lost"
    page = PAGE
    needs_new_driver = True

    def recommend(self, found: Evidence) -> Recommendation:
        for cause in (causes.unreadable, causes.stopped_by_a_person, causes.restoring, _it_works, causes.brokers_away,
                      causes.driver_said_why, causes.crash_loop, _master_away, _on_its_way, _silent):
            if (recommendation := cause(found)) is not None:
                return recommendation
        return _lost(found)

    def act(self, case: Case, agreed: Recommendation) -> None:
        from streamops.runbooks import actions

        why = f"runbook {self.name}: {agreed.reason}"
        (actions.restart if agreed.data["action"] == _RESTART else actions.start)(case, why)

    def verify(self, case: Case, before: Mark, agreed: Recommendation) -> str:
        """As of all; a driver that is on its way has the time that a start may take as well."""
        start_s = case.pipeline.start_timeout_s if agreed.kind is Kind.WAIT else 0.0
        return self.until_well(case, before, start_s + self.within_s(case))


RUNBOOK = DriverLost()


def _it_works(found: Evidence) -> Recommendation | None:
    """It shows life. A beat says nothing of the batches: one that is stuck is another runbook's case."""
    beat = found.observed.beat
    if not found.beats or beat is None or beat.state not in (JobState.RUNNING, JobState.IDLE, JobState.RESTARTING):
        return None
    return stuck_batch.elsewhere(found) or Recommendation.nothing(
        f"driver {found.status.driver} lives and shows life ({beat.state})")


def _master_away(found: Evidence) -> Recommendation | None:
    away = [each for each in found.drivers if each.standing is Standing.NO_ANSWER]
    if not away:
        return None
    return Recommendation.by_hand(
        "bring back the Spark master",
        f"no master in charge says whether driver {away[-1].driver} lives, and none could be asked to run another one",
        "In the embedded stack: streamops stack up spark", "A driver that lives goes on without the master.")


def _on_its_way(found: Evidence) -> Recommendation | None:
    """Someone has submitted a driver, or is about to; another one would only meet it at the lease."""
    young = [each for each in found.living
             if (found.at - datetime.fromisoformat(each.started_at)).total_seconds() <= found.pipeline.start_timeout_s
             and not _is_silent(found, each)]
    if young:
        driver = young[-1]
        return Recommendation.wait(f"wait for driver {driver.driver}",
                                   f"it was submitted by {driver.owner} and is {driver.state}; its job is starting")
    dag = found.situation.dag if found.situation is not None else None
    if found.living or dag is None or not dag.is_scheduled:
        return None
    if begun := [run for run in dag.runs if run.task_state in _ON_ITS_WAY]:
        return Recommendation.wait(f"wait for run {begun[-1].run_id} of DAG {dag.dag_id}",
                                   f"Airflow starts a driver now: its task is {begun[-1].task_state}")
    return None


def _is_silent(found: Evidence, driver: DriverSight) -> bool:
    """Whether this very process took the lease, and does not show life."""
    held, record = found.observed.lease, found.observed.driver
    # Spark relaunches a driver under its id: the lease is its last process's until the new one takes the next.
    return (driver.holds_lease and not found.beats and held is not None and record is not None
            and record.epoch == held.epoch)


def _silent(found: Evidence) -> Recommendation | None:
    if not found.living:
        return None
    driver, age_s = found.living[-1], found.status.beat_age_s
    silence = "it does not take the lease" if not _is_silent(found, driver) and not found.beats else (
        "its job does not get as far as a batch" if found.beats else
        f"its lease is silent, for {duration(age_s or 0.0)}")
    return Recommendation.act(f"restart {found.pipeline.name}",
                              f"driver {driver.driver} is {driver.state} at the Spark master, and {silence}",
                              driver.driver, action=_RESTART)


def _lost(found: Evidence) -> Recommendation:
    name = found.pipeline.name
    if not found.drivers:
        return Recommendation.act(f"start {name}", "no driver was ever started for it", action="start")
    last = found.drivers[-1]
    said = f"; it said {last.said}" if last.said else ", and did not say why"
    dag = found.situation.dag if found.situation is not None else None
    paused = () if dag is None or not dag.is_paused else (
        f"DAG {dag.dag_id} is paused, and the start unpauses it. If that is how somebody stopped it, ask them.",)
    reason = f"no driver lives: {last.driver} is {last.state} at the Spark master{said}"
    return Recommendation.act(f"start {name}", reason, last.driver, *paused, action="start")
