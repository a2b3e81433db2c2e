"""What the runbook lag_growing recommends: a table of cases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from streamops.runbooks.evidence import Evidence, Rates
from streamops.runbooks.lag_growing import RUNBOOK
from streamops.runbooks.recommendation import Kind
from streamops.running.broker_health import BrokerHealth
from streamops.state.running_batch import RunningBatch

from ..on_call import P0, PIPELINE, SILENT, STOP, ago, entry, evidence, seen

FULL = seen(recent=[entry(0, 6, 2.0, 600, 1.9), entry(1, 4, 2.0, 600, 1.9), entry(2, 2, 2.0, 600, 1.9)])
LIMITED = PIPELINE.model_copy(update={"rate_limit": 300})
STUCK = RunningBatch(1, 3, ago(300), {P0: 390})


def lagging(waiting: int, came: float, processed: float, *, loss_s: float | None = 80_000.0, spread: bool = True,
            **changed: Any) -> Evidence:
    """So many records wait, in both partitions alike unless they are not `spread`; rates in records a second."""
    made = evidence(waiting, rates=Rates(5, came, processed), **changed)
    assert made.point is not None
    partitions = {at: replace(each, data_loss_s=loss_s, latest=(each.processed or 0) + (
        waiting // 2 if spread else waiting if at == P0 else 0)) for at, each in made.point.partitions.items()}
    return replace(made, point=replace(made.point, partitions=partitions))


@pytest.mark.parametrize(("found", "kind", "text"), [
    pytest.param(lagging(0, 0, 0), Kind.NOTHING, "it keeps up: 0 records wait", id="idle"),
    pytest.param(lagging(300, 100, 100), Kind.NOTHING, "it keeps up: 300 records wait, and 100 come in a second",
                 id="what comes in two intervals waits"),
    pytest.param(lagging(9000, 100, 400), Kind.WAIT, "it is done in 30 s", id="it catches up"),
    pytest.param(lagging(9000, 100, 101, loss_s=600.0), Kind.ADVICE, "retention reaches unprocessed records in 10 min",
                 id="it catches up, and retention is faster"),
    pytest.param(lagging(9000, 500, 300, pipeline=LIMITED), Kind.ADVICE, "raise rate_limit from 300 to 750",
                 id="at its rate limit, with time left"),
    pytest.param(lagging(9000, 500, 300, observed=FULL, pipeline=LIMITED), Kind.ADVICE, "make the transform faster",
                 id="at its rate limit, without any time left"),
    pytest.param(lagging(9000, 500, 300, observed=FULL), Kind.ADVICE,
                 "a batch takes 2.0 s of its 2 s, 3.33 ms a record, 95% of that in transform and sink",
                 id="a slow transform"),
    pytest.param(lagging(9000, 500, 300, observed=FULL), Kind.ADVICE, "about 3 tasks at once, 1 now", id="its cores"),
    pytest.param(lagging(9000, 500, 300, spread=False), Kind.ADVICE, "9,000 of 9,000 records wait in lines-0",
                 id="skew"),
    pytest.param(lagging(9000, 500, 300), Kind.ADVICE, "find what holds the driver up", id="none of these"),
    pytest.param(lagging(9000, 500, 300), Kind.ADVICE, "Retention reaches unprocessed records in 22 h", id="data loss"),
    pytest.param(lagging(9000, 500, 300, loss_s=None), Kind.ADVICE, "is not known", id="no retention is known"),
    pytest.param(lagging(9000, 500, 0, running=STUCK), Kind.OTHER, "stuck_batch", id="a batch hangs"),
    pytest.param(lagging(9000, 500, 0, observed=seen(beat=SILENT)), Kind.OTHER, "driver_lost", id="the driver is dead"),
    pytest.param(lagging(9000, 500, 0, brokers=BrokerHealth(away="no Kafka broker answers")), Kind.OTHER, "broker_down",
                 id="the brokers are away"),
    pytest.param(lagging(9000, 500, 0, observed=seen(order=STOP)), Kind.NOTHING, "stopped by alice@shell",
                 id="a person stopped it"),
    pytest.param(replace(lagging(9, 5, 0), rates=None), Kind.ADVICE, "see why the lag is unknown", id="unknown"),
])
def test_what_is_recommended(found: Evidence, kind: Kind, text: str) -> None:
    recommended = RUNBOOK.recommend(found)
    assert recommended.kind is kind
    assert text in "\n".join(recommended.lines("lines"))
