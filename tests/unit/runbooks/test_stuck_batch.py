"""What the runbook stuck_batch recommends: a table of cases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamops.runbooks.evidence import Evidence
from streamops.runbooks.recommendation import Kind
from streamops.runbooks.stuck_batch import RUNBOOK
from streamops.running.broker_health import BrokerHealth
from streamops.state.lease import Beat, JobState
from streamops.state.running_batch import RunningBatch

from ..on_call import P0, PIPELINE, SILENT, STOP, ago, entry, evidence, seen

HANGS = RunningBatch(1, 3, ago(300), {P0: 390}, ("no job of Spark's runs",))
QUIET = seen(recent=[entry(0, 306), entry(1, 304), entry(2, 302)])
SLOW = seen(recent=[entry(0, 180, 60), entry(1, 120, 60), entry(2, 60, 60)])


@pytest.mark.parametrize(("found", "kind", "text"), [
    pytest.param(evidence(), Kind.NOTHING, "no batch is in progress, and nothing waits", id="idle"),
    pytest.param(evidence(90, running=replace(HANGS, since=ago(5))), Kind.NOTHING,
                 "batch 3 has run for 5 s, and counts as stuck after 60 s", id="a batch that has just begun"),
    pytest.param(evidence(90, running=HANGS), Kind.ACT,
                 "batch 3 of generation 1 has run for 5 min, and the last 2 took 1.0 s at most", id="it hangs"),
    pytest.param(evidence(90, observed=SLOW, running=replace(HANGS, since=ago(200))), Kind.NOTHING,
                 "counts as stuck after 5 min", id="batches of this pipeline take that long"),
    pytest.param(evidence(90, running=replace(HANGS, since=ago(9)), stuck_after_s=8.0), Kind.ACT, "restart lines",
                 id="longer than a person says"),
    pytest.param(evidence(90, observed=QUIET, lag_s=300.0), Kind.ACT, "90 records wait, the oldest for 5 min",
                 id="records wait, and no batch begins"),
    pytest.param(evidence(90, observed=QUIET, lag_s=3.0), Kind.NOTHING, "no batch has been due",
                 id="records came a moment ago, after a long silence"),
    pytest.param(evidence(90, observed=seen(beat=SILENT), running=HANGS), Kind.OTHER, "driver_lost",
                 id="the driver shows no life"),
    pytest.param(evidence(90, brokers=BrokerHealth(away="no Kafka broker answers"), running=HANGS), Kind.OTHER,
                 "broker_down", id="the brokers are away"),
    pytest.param(evidence(90, observed=seen(order=STOP), running=HANGS), Kind.NOTHING, "stopped by alice@shell",
                 id="a person stopped it"),
    pytest.param(evidence(90, observed=seen(beat=Beat(2, ago(1), JobState.RESTARTING, 2)), running=HANGS), Kind.ADVICE,
                 "fails and is started again by the driver itself", id="the query fails again and again"),
])
def test_what_is_recommended(found: Evidence, kind: Kind, text: str) -> None:
    recommended = RUNBOOK.recommend(found)
    assert recommended.kind is kind
    assert text in "\n".join(recommended.lines("lines"))
    assert PIPELINE.name in str(found.as_dict())


def test_what_is_approved_is_about_one_batch() -> None:
    recommended = RUNBOOK.recommend(evidence(90, running=HANGS))
    assert recommended.data == {"generation": 1, "batch": 3, "ends": '{"lines": {"0": 390}}'}
    later = RUNBOOK.recommend(evidence(90, running=replace(HANGS, since=ago(400))))
    assert recommended.is_for_same(later)
    assert not recommended.is_for_same(RUNBOOK.recommend(evidence(90, running=replace(HANGS, batch=4))))
