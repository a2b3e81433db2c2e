"""### Brokers are down

**Symptom**: brokers do not answer, partitions have no leader or too few replicas; the lag is unknown, or the driver
fails and starts again.

**Steps**
1. It prints the evidence: each broker and why it does not answer, partitions without a leader, under-replicated ones;
   status, lease, order, drivers, lag.
2. It says what to do about the brokers, which is yours to do: start them (embedded stack: `streamops stack up
   kafka`), mend their disks or network. It never touches Kafka itself.
3. Approve in the task `approve` (Required Actions); `approval: false`, at a shell `--yes`, skips that. What is
   approved is a restart of the driver, later, and only if it does not go on by itself.
4. `act` waits, up to `brokers_within_s`, until every partition has a leader, and says what is missing whenever that
   changes.
5. `verify` succeeds when batches complete and the lag falls. If no batch is logged within a minute or ten intervals,
   it restarts the driver once, and looks again.

**Is it safe to repeat?** Yes, at any time. A driver waits for brokers by itself, and goes on where it was.

**How to undo**: nothing is to be undone. A restart that fails half-way takes its own stop back.
"""

from __future__ import annotations

import time

from streamops.errors import AlarmError
from streamops.runbooks import causes
from streamops.runbooks.case import Case
from streamops.runbooks.evidence import Evidence
from streamops.runbooks.progress import Mark
from streamops.runbooks.recommendation import Kind, Recommendation
from streamops.runbooks.runbook import WITHIN, Option, PipelineRunbook

PAGE = __doc__ or ""

BROKERS_WITHIN = Option("brokers_within_s", float, 1800.0, "Seconds to wait for the brokers.", minimum=1)

#: How long a driver has to go on by itself once the brokers serve: its own waits double up to half a minute.
_GOES_ON_S, _GOES_ON_INTERVALS = 60.0, 10
_POLL_S, _SAY_AGAIN_S = 2.0, 30.0


class BrokerDown(PipelineRunbook):
    """See the page."""

    name = "broker_down"
    page = PAGE
    options = (BROKERS_WITHIN, WITHIN)

    def recommend(self, found: Evidence) -> Recommendation:
        brokers, name = found.brokers, found.pipeline.name
        advice = ("Start the brokers that are down; in the embedded stack: streamops stack up kafka",
                  "Look at their logs, disks and network: this runbook never touches Kafka itself.")
        reason = "; ".join(brokers.lines())
        if brokers.absent and brokers.away is None and not brokers.silent:
            return Recommendation.by_hand("see to the topics", reason,
                                          "Create the declared ones: streamops topics apply. One that was deleted and "
                                          f"made again needs: streamops runbook restore_offsets {name}")
        if brokers.is_whole:
            return causes.driver_lost(found) or Recommendation.nothing(
                f"every broker answers, and all {brokers.partitions} partitions have a leader and all their replicas")
        if (stopped := causes.stopped_by_a_person(found)) is not None:
            return Recommendation.by_hand("bring back the brokers", f"{reason}; and {stopped.reason}", *advice)
        if brokers.serves:
            return Recommendation.wait("bring back what is missing, and watch",
                                       f"every partition can be read, but {reason}", *advice)
        return Recommendation.act("wait for the brokers, and restart the driver only if it does not go on", reason,
                                  None, *advice)

    def act(self, case: Case, _agreed: Recommendation) -> None:
        _await_brokers(case, case.number(BROKERS_WITHIN.name) or 0.0)

    def verify(self, case: Case, before: Mark, agreed: Recommendation) -> str:
        """As of all; a driver that does not go on is restarted once, where that was approved."""
        from streamops.runbooks import actions

        if agreed.kind is not Kind.ACT:
            return self.until_well(case, before)
        goes_on_s = max(_GOES_ON_S, _GOES_ON_INTERVALS * case.pipeline.interval_s)
        try:
            return self.until_well(case, before, goes_on_s)
        except AlarmError as error:
            case.say(f"{error.found}; restarting the driver")
        actions.restart(case, f"runbook {self.name}: it did not go on once the brokers served")
        return self.until_well(case, before)


RUNBOOK = BrokerDown()


def _await_brokers(case: Case, within_s: float) -> None:
    """Return once every partition can be read. Raises AlarmError with what is missing when that takes too long."""
    from streamops.adapters.kafka import broker_census

    deadline_s, said, said_at_s = time.monotonic() + within_s, "", 0.0
    while True:
        seen = broker_census.take(case.pipeline)
        now_s, line = time.monotonic(), "; ".join(seen.lines())
        if line != said or now_s - said_at_s >= _SAY_AGAIN_S:
            said, said_at_s = line, now_s
            case.say(line)
        if seen.serves:
            return
        if now_s >= deadline_s:
            raise AlarmError(f"the brokers do not serve {case.pipeline.name} after {within_s:.0f} s: {line}",
                             "Bring them back, and run this again.")
        time.sleep(_POLL_S)
