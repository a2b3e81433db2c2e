"""Findings that several runbooks share: what rules a driver's restart out, and whose case it is instead.

Pure; each takes the evidence and returns a recommendation, or None where it does not apply.
"""

from __future__ import annotations

from streamops.errors import BadRecordError, DataLossError, LeaseLostError, StopOrderedError
from streamops.runbooks.evidence import Evidence, newest
from streamops.runbooks.recommendation import Recommendation
from streamops.running.pipeline_status import State

#: Reasons of a driver's end that have a runbook of their own.
_RUNBOOK_OF = {BadRecordError.kind: "poison_record", DataLossError.kind: "offset_out_of_range"}

#: Reasons after which another driver may well run: nothing is wrong with the pipeline.
_MAY_RUN_AGAIN = frozenset({LeaseLostError.kind, StopOrderedError.kind, "restored", "finished"})


def unreadable(found: Evidence) -> Recommendation | None:
    """The state directory cannot be read: nobody can say anything, and a driver can do nothing either."""
    if found.status.state is not State.UNKNOWN:
        return None
    return Recommendation.by_hand(
        "bring back the storage", f"the state directory cannot be read: {found.status.reason}",
        f"The Airflow connection {found.pipeline.connections.storage} says where it is.")


def stopped_by_a_person(found: Evidence) -> Recommendation | None:
    """A stop or a pause stands: nothing is lost, and it is not for a runbook to lift it."""
    order = found.observed.order
    if order is None or not order.stops:
        return None
    return Recommendation.nothing(f"{found.pipeline.name} was {order}", order.repair)


def restoring(found: Evidence) -> Recommendation | None:
    """A restore holds the lease."""
    if found.status.state is not State.RESTORING:
        return None
    return Recommendation.nothing(f"a restore holds the lease of {found.pipeline.name}",
                                  "It ends by itself. Start the pipeline then.")


def brokers_away(found: Evidence) -> Recommendation | None:
    """No driver gets any further without brokers."""
    if found.brokers.serves:
        return None
    return Recommendation.other("broker_down", found.brokers.lines()[-1])


def driver_lost(found: Evidence) -> Recommendation | None:
    """Nobody shows life under the lease."""
    if found.beats:
        return None
    why = f": {found.status.reason}" if found.status.reason else ""
    return Recommendation.other("driver_lost",
                                f"no driver of {found.pipeline.name} shows life ({found.status.state}{why})")


def driver_said_why(found: Evidence) -> Recommendation | None:
    """The newest driver ended itself for a reason that another one would meet as well."""
    last = newest(found.drivers)
    if last is None or last.stop_kind is None or last.stop_kind in _MAY_RUN_AGAIN:
        return None
    reason = f"driver {last.driver} ended itself, and any other one would: {last.said}"
    if (runbook := _RUNBOOK_OF.get(last.stop_kind)) is not None:
        return Recommendation.other(runbook, reason)
    return Recommendation.by_hand("correct what the driver names, then start the pipeline", reason,
                                  f"Then: streamops start {found.pipeline.name}")


def crash_loop(found: Evidence) -> Recommendation | None:
    """It dies again and again before it logs a batch: one more start would only be one more death."""
    if found.loop is None or found.status.state is not State.CRASHING:
        return None
    return Recommendation.by_hand(
        "correct what the driver's own error names; a restart would not help", found.loop,
        "Out of memory: more `resources: driver_memory` or `executor_memory`, or a `rate_limit`, in pipelines.yaml.",
        "New code: give the old code again. Spark goes on trying by itself, with longer and longer waits.",
        f"Once it is corrected: streamops restart {found.pipeline.name}")
