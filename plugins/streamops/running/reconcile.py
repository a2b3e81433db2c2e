"""Which living drivers nobody owns, and which records of drivers are of no more use.

Airflow 3.3 leaves a driver behind when its task is marked failed in its first deferred second, or when its run is
deleted while nothing watches it. So once in a while every driver that a pipeline knows is compared with the run that
asked for it. Pure: `now` and everything observed are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from streamops.running.driver_status import Standing
from streamops.state.lease import Owner, OwnerKind
from streamops.state.orders import Order

#: How long the record of a driver that ended is kept: long enough for whoever asks on Monday why it ended on Friday.
KEEP_RECORDS_FOR = timedelta(days=7)


#: How much longer than an order allows a driver may live until the reconciliation ends it: whoever gave the order waits
#: for that and kills, unless that command was itself ended.
ORDER_GRACE = timedelta(minutes=2)


class Action(StrEnum):
    """What is done about a driver."""

    KEEP = "keep"
    STOP = "stop"
    FORGET = "forget"  # remove the record of a driver that ended long ago


@dataclass(frozen=True)
class ObservedDriver:
    """One driver that a pipeline knows. `state` is the master's word for it, for people.

    `owner_lives`: whether the Airflow run that asked for it still goes on; None for a shell, or when it is not known.
    `order` is the one that stands for the pipeline, `stop_timeout_s` how long a driver may take to end on it.
    """

    pipeline: str
    driver: str
    owner: Owner
    standing: Standing
    state: str
    holds_lease: bool
    started_at: datetime
    owner_lives: bool | None
    order: Order | None = None
    stop_timeout_s: float = 60.0


@dataclass(frozen=True)
class DriverDecision:
    """What is to be done about one driver, and why, in words."""

    observed: ObservedDriver
    action: Action
    reason: str

    def __str__(self) -> str:
        seen = self.observed
        lease = ", holds the lease" if seen.holds_lease else ""
        return f"{self.action:<6} {seen.pipeline} {seen.driver} ({seen.state}{lease}): {self.reason}"

    def as_dict(self) -> dict[str, object]:
        seen = self.observed
        return {
            "pipeline": seen.pipeline,
            "driver": seen.driver,
            "state": seen.state,
            "living": seen.standing is Standing.LIVING,
            "holds_lease": seen.holds_lease,
            "owner": str(seen.owner),
            "started_at": seen.started_at.isoformat(),
            "action": str(self.action),
            "reason": self.reason,
        }


def plan_reconciliation(observed: Iterable[ObservedDriver], now: datetime) -> list[DriverDecision]:
    """One decision for each driver, in the order given. Only what is certainly nobody's is stopped."""
    return [_decide(each, now) for each in observed]


def _decide(each: ObservedDriver, now: datetime) -> DriverDecision:
    if each.standing is Standing.NO_ANSWER:
        return DriverDecision(each, Action.KEEP, "no Spark master in charge answers, so nothing is known of it")
    if each.standing is Standing.LIVING:
        if each.order is not None and each.order.stops:
            return _decide_on(each.order, each, now)
        if each.owner.kind is OwnerKind.START:
            return DriverDecision(each, Action.KEEP, f"{each.owner} asked for it; the next run goes on with it")
        if each.owner.kind is OwnerKind.SHELL:
            return DriverDecision(each, Action.KEEP, "a person started it from a shell, and ends it")
        if each.owner_lives is None:
            return DriverDecision(each, Action.KEEP, "whether its run still goes on is not known")
        if each.owner_lives:
            return DriverDecision(each, Action.KEEP, f"{each.owner} goes on")
        return DriverDecision(each, Action.STOP, f"{each.owner} is over, or was deleted")
    if each.holds_lease:
        return DriverDecision(each, Action.KEEP, "it ended; the next driver takes the lease from it")
    if now - each.started_at > KEEP_RECORDS_FOR:
        return DriverDecision(each, Action.FORGET, f"it ended, and started more than {KEEP_RECORDS_FOR.days} days ago")
    return DriverDecision(each, Action.KEEP, "it ended")


def _decide_on(order: Order, each: ObservedDriver, now: datetime) -> DriverDecision:
    within = timedelta(seconds=each.stop_timeout_s if order.within_s is None else order.within_s)
    if now - datetime.fromisoformat(order.at) <= within + ORDER_GRACE:
        return DriverDecision(each, Action.KEEP, f"the pipeline was {order}, and it has time to end")
    return DriverDecision(each, Action.STOP, f"the pipeline was {order}, and it has not ended")
