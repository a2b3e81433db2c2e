"""Which drivers nobody owns."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from streamops.running.driver_status import Standing
from streamops.running.reconcile import KEEP_RECORDS_FOR, Action, ObservedDriver, plan_reconciliation
from streamops.state.lease import Owner, OwnerKind
from streamops.state.orders import Order, Wish

NOW = datetime(2026, 11, 20, 3, tzinfo=UTC)
AIRFLOW = Owner(OwnerKind.AIRFLOW, "stream_lines", "scheduled__1", "driver", 1)
LONG_AGO = NOW - KEEP_RECORDS_FOR - timedelta(seconds=1)
RUNNING = ObservedDriver("lines", "driver-1", AIRFLOW, Standing.LIVING, "RUNNING", True, NOW, True)
STOPPED = Order("lines", 1, Wish.STOP, "alice@shell", NOW.isoformat())
ENDED = replace(RUNNING, standing=Standing.ENDED, state="KILLED", holds_lease=False, owner_lives=None)
A_PERSONS = replace(RUNNING, owner=Owner(OwnerKind.SHELL), owner_lives=None)


@pytest.mark.parametrize(("observed", "action", "reason"), [
    pytest.param(RUNNING, Action.KEEP, "goes on", id="its run goes on"),
    pytest.param(replace(RUNNING, owner_lives=False), Action.STOP, "is over, or was deleted", id="its run is over"),
    pytest.param(replace(RUNNING, owner_lives=False, holds_lease=False), Action.STOP, "over", id="over, without lease"),
    pytest.param(replace(RUNNING, owner_lives=None), Action.KEEP, "not known", id="Airflow was not asked"),
    pytest.param(A_PERSONS, Action.KEEP, "a person", id="a person's"),
    pytest.param(replace(A_PERSONS, started_at=LONG_AGO), Action.KEEP, "a person", id="a person's, old"),
    pytest.param(replace(RUNNING, standing=Standing.NO_ANSWER, owner_lives=False), Action.KEEP, "no Spark master",
                 id="Spark does not answer"),
    pytest.param(ENDED, Action.KEEP, "it ended", id="it ended just now"),
    pytest.param(replace(ENDED, started_at=LONG_AGO), Action.FORGET, "days ago", id="it ended long ago"),
    pytest.param(replace(ENDED, started_at=LONG_AGO, standing=Standing.NOT_KNOWN), Action.FORGET, "days ago",
                 id="nobody knows it any more"),
    pytest.param(replace(ENDED, started_at=LONG_AGO, holds_lease=True), Action.KEEP, "lease",
                 id="it ended long ago, and is the last that wrote"),
    pytest.param(replace(RUNNING, started_at=LONG_AGO), Action.KEEP, "goes on", id="it has run for long"),
    pytest.param(replace(A_PERSONS, owner=Owner(OwnerKind.START)), Action.KEEP, "next run", id="in Airflow's place"),
    pytest.param(replace(RUNNING, order=STOPPED), Action.KEEP, "time to end", id="ordered to stop just now"),
    pytest.param(replace(RUNNING, order=replace(STOPPED, at=LONG_AGO.isoformat())), Action.STOP, "by alice",
                 id="ordered to stop, and hangs, and whoever gave the order is gone"),
    pytest.param(replace(RUNNING, order=replace(STOPPED, at=(NOW - timedelta(seconds=200)).isoformat(), within_s=300)),
                 Action.KEEP, "time to end", id="with a long time to end"),
    pytest.param(replace(RUNNING, order=replace(STOPPED, wish=Wish.RUN, at=LONG_AGO.isoformat())), Action.KEEP,
                 "goes on", id="started long ago"),
])
def test_what_is_decided(observed: ObservedDriver, action: Action, reason: str) -> None:
    [decision] = plan_reconciliation([observed], NOW)
    assert decision.action is action
    assert reason in decision.reason
    assert "driver-1" in str(decision)
    assert decision.as_dict()["action"] == action
