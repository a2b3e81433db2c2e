"""### A batch is stuck

**Symptom**: the driver lives and shows life, and one batch runs far longer than any other did; or records wait and
nothing is logged.

**Steps**
1. It prints the evidence: the batch in progress (by the checkpoint, or a receiver's plan), since when, what Spark's
   page says of its jobs, how long the last batches took; status, lease, order, drivers, brokers, lag.
2. It recommends a restart where the batch has run for more than five times the longest of the last ones, five
   intervals and a minute (`longer_than_s` says another time); nothing where it has not; or another runbook:
   driver_lost, broker_down.
3. Approve in the task `approve` (Required Actions); `approval: false`, at a shell `--yes`, skips that.
4. `act` restarts the driver: it may finish its batch within `stop_within_s`, else it is killed; then another one
   starts. It runs the same batch again, with the same offset ranges.
5. `verify` succeeds when that very batch is in the batch log with those ranges, and the lag falls.

**Is it safe to repeat?** Yes. A batch replaces its own output whole, so one that runs twice counts once. If the same
batch is stuck again, its records or what the transform calls are at fault: look there before a third time.

**How to undo**: nothing is to be undone: what is processed stays, and the batch log says where any driver goes on. A
restart that fails half-way takes its own stop back.
"""

from __future__ import annotations

import json
from dataclasses import replace

from streamops.errors import StateError
from streamops.runbooks import causes
from streamops.runbooks.case import Case
from streamops.runbooks.evidence import Evidence
from streamops.runbooks.progress import Mark
from streamops.runbooks.recommendation import Recommendation
from streamops.runbooks.runbook import WITHIN, Option, PipelineRunbook
from streamops.running.pipeline_status import duration
from streamops.state import running_batch
from streamops.state.lease import JobState
from streamops.state.offsets import to_spark_offsets

PAGE = __doc__ or ""

LONGER_THAN = Option("longer_than_s", float, None, "Seconds after which a batch counts as stuck. Left out: as "
                     "follows from the last batches.", minimum=1)
STOP_WITHIN = Option("stop_within_s", float, None, "Seconds that the driver may take to finish its batch before it is "
                     "killed. Left out: the pipeline's own stop_timeout_s.", minimum=0)


class StuckBatch(PipelineRunbook):
    """See the page."""

    name = "stuck_batch"
    page = PAGE
    options = (LONGER_THAN, STOP_WITHIN, WITHIN)

    def read(self, case: Case) -> Evidence:
        return replace(super().read(case), stuck_after_s=case.number(LONGER_THAN.name))

    def recommend(self, found: Evidence) -> Recommendation:
        for cause in (causes.unreadable, causes.stopped_by_a_person, causes.restoring, causes.brokers_away,
                      causes.driver_lost, _fails_and_starts_again, stuck):
            if (recommendation := cause(found)) is not None:
                return recommendation
        running, limit_s = found.running, limit(found)
        if running is not None:
            return Recommendation.nothing(f"batch {running.batch} has run for {duration(running.age_s(found.at))}, and "
                                          f"counts as stuck after {duration(limit_s)}")
        waits = "nothing waits" if found.status.lag == 0 else f"no batch has been due for {duration(limit_s)}"
        return Recommendation.nothing(f"no batch is in progress, and {waits}")

    def act(self, case: Case, agreed: Recommendation) -> None:
        from streamops.runbooks import actions

        actions.restart(case, f"runbook {self.name}: {agreed.reason}", case.number(STOP_WITHIN.name))

    def verify(self, case: Case, before: Mark, agreed: Recommendation) -> str:
        """As of all, and the batch that was stuck is logged with the ranges that it had. Raises StateError if not."""
        from streamops.runbooks import reading

        shown = self.until_well(case, before)
        if agreed.data.get("ends") is None:
            return shown
        number, ends = int(agreed.data["batch"]), agreed.data["ends"]
        logged = reading.logged_ends(case, int(agreed.data["generation"]), number)
        if logged != json.loads(ends):
            raise StateError(f"batch {number} was to end at {ends}, and is in the batch log with {json.dumps(logged)}",
                             f"Stop the pipeline, and see what it read: streamops batches {case.pipeline.name}")
        return f"batch {number}, which was stuck, is in the batch log with the same offset ranges; {shown}"


RUNBOOK = StuckBatch()


def limit(found: Evidence) -> float:
    """Seconds after which a batch counts as stuck: as a person said, or by the last batches."""
    if found.stuck_after_s is not None:
        return found.stuck_after_s
    return running_batch.stuck_after_s(found.times, found.pipeline.interval_s)


def stuck(found: Evidence) -> Recommendation | None:
    """A batch runs for too long, or records have waited for too long without one."""
    limit_s, running, name = limit(found), found.running, found.pipeline.name
    driver, known = found.status.driver, found.times
    usual = "none ended before" if known is None else f"the last {known.batches} took {known.longest_s:.1f} s at most"
    if running is not None and running.age_s(found.at) >= limit_s:
        return Recommendation.act(
            f"restart {name}", f"batch {running.batch} of generation {running.generation} has run for "
            f"{duration(running.age_s(found.at))}, and {usual}; driver {driver} shows life meanwhile", driver,
            "The same batch is then run again, with the same offset ranges.",
            generation=running.generation, batch=running.batch, ends=json.dumps(to_spark_offsets(running.ends)))
    waited_s = found.point.lag_s if found.point is not None else None
    quiet_s = found.status.age_s
    if running is None and found.status.lag and waited_s is not None and waited_s >= limit_s and (
            quiet_s is None or quiet_s >= limit_s):
        return Recommendation.act(
            f"restart {name}", f"{found.status.lag:,} records wait, the oldest for {duration(waited_s)}, and driver "
            f"{driver} shows life and begins no batch", driver)
    return None


def elsewhere(found: Evidence) -> Recommendation | None:
    """For other runbooks: whether this is the one."""
    here = stuck(found)
    return None if here is None else Recommendation.other(RUNBOOK.name, here.reason)


def _fails_and_starts_again(found: Evidence) -> Recommendation | None:
    beat = found.observed.beat
    if beat is None or beat.state is not JobState.RESTARTING:
        return None
    return Recommendation.by_hand(
        "correct what the driver's log names",
        f"the query of driver {found.status.driver} fails and is started again by the driver itself: a server that it "
        "needs is away, or a record or the transform fails",
        "Its log is on the page of its worker, which the Spark master's page leads to.")
