"""What the runbook driver_lost recommends: a table of cases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamops.runbooks.driver_lost import RUNBOOK
from streamops.runbooks.evidence import Evidence
from streamops.runbooks.recommendation import Kind
from streamops.running.broker_health import BrokerHealth
from streamops.running.driver_status import Standing
from streamops.running.lifecycle import SeenRun
from streamops.running.pipeline_status import Observed, unreadable
from streamops.state.crash_loop import Crash
from streamops.state.lease import Beat, JobState
from streamops.state.orders import Order, Wish
from streamops.state.running_batch import RunningBatch

from ..on_call import DAG, GONE, RECORD, SIGHT, SILENT, STOP, ago, evidence, seen

DEAD = replace(GONE, standing=Standing.ENDED, state="KILLED")
LOOPING = replace(RECORD, crashes=tuple(Crash(ago(age_s), "OutOfMemoryError: heap") for age_s in (90, 60, 30)))
BAD = replace(DEAD, state="FINISHED", stop_kind="bad_record", said="bad_record: lines-0@17 is not JSON")
QUIET = seen(beat=SILENT)
STARTING = seen(beat=Beat(3, ago(2), JobState.STARTING), driver=replace(RECORD, epoch=3))


@pytest.mark.parametrize(("found", "kind", "text"), [
    pytest.param(evidence(), Kind.NOTHING, "driver driver-1 lives and shows life (running)", id="it works"),
    pytest.param(evidence(observed=QUIET, drivers=(DEAD,)), Kind.ACT, "no driver lives: driver-1 is KILLED",
                 id="killed, and it did not say why"),
    pytest.param(evidence(observed=QUIET, drivers=(GONE,)), Kind.ACT, "start lines", id="the master has forgotten it"),
    pytest.param(evidence(observed=QUIET, drivers=(replace(GONE, standing=Standing.MOVED, state="RELAUNCHING"),)),
                 Kind.ACT, "driver-1 is RELAUNCHING", id="its worker is lost, and nobody took its place"),
    pytest.param(evidence(observed=QUIET), Kind.ACT, "restart lines", id="it is there, and its lease is silent"),
    pytest.param(evidence(observed=QUIET, drivers=(replace(SIGHT, started_at=ago(30)),)), Kind.ACT, "restart lines",
                 id="it fell silent soon after its start"),
    pytest.param(evidence(observed=replace(QUIET, driver=replace(RECORD, epoch=None)),
                          drivers=(replace(SIGHT, started_at=ago(5)),)), Kind.WAIT, "its job is starting",
                 id="Spark has relaunched it a moment ago"),
    pytest.param(evidence(observed=STARTING, drivers=(replace(SIGHT, started_at=ago(20)),)), Kind.WAIT,
                 "wait for driver driver-1", id="it is starting"),
    pytest.param(evidence(observed=QUIET, drivers=(DEAD,), dag=replace(
        DAG, runs=(SeenRun("run-1", "running", "running"),))), Kind.WAIT, "wait for run run-1",
                 id="Airflow submits another one"),
    pytest.param(evidence(observed=QUIET, drivers=(DEAD,), dag=replace(
        DAG, runs=(SeenRun("run-1", "running", "up_for_retry"),))), Kind.ACT, "start lines",
                 id="Airflow waits for its retry"),
    pytest.param(evidence(observed=QUIET, drivers=(DEAD,), dag=replace(DAG, is_paused=True)), Kind.ACT,
                 "DAG stream_lines is paused, and the start unpauses it", id="its DAG is paused"),
    pytest.param(evidence(observed=QUIET, drivers=(DEAD,), dag=None), Kind.ACT, "start lines", id="Airflow is away"),
    pytest.param(evidence(observed=seen(order=STOP, beat=SILENT), drivers=(DEAD,)), Kind.NOTHING,
                 "stopped by alice@shell", id="a person stopped it"),
    pytest.param(evidence(observed=seen(order=Order("lines", 2, Wish.PAUSE, "bob@shell", ago(9)), beat=SILENT)),
                 Kind.NOTHING, "streamops resume lines", id="a person paused it"),
    pytest.param(evidence(observed=seen(beat=Beat(3, ago(1), JobState.RESTORING)), drivers=(DEAD,)), Kind.NOTHING,
                 "a restore holds the lease", id="a restore works"),
    pytest.param(evidence(observed=replace(QUIET, newest=LOOPING), drivers=(replace(SIGHT, started_at=ago(5)),)),
                 Kind.ADVICE, "OutOfMemoryError: heap", id="a crash loop"),
    pytest.param(evidence(observed=QUIET, drivers=(BAD,)), Kind.OTHER, "poison_record", id="a record stopped it"),
    pytest.param(evidence(observed=QUIET, drivers=(replace(BAD, stop_kind="data_loss"),)), Kind.OTHER,
                 "offset_out_of_range", id="retention overtook it"),
    pytest.param(evidence(observed=QUIET, drivers=(replace(BAD, stop_kind="transform", said="transform: KeyError"),)),
                 Kind.ADVICE, "KeyError", id="its transform is broken"),
    pytest.param(evidence(observed=QUIET, drivers=(replace(BAD, stop_kind="stop_ordered", said="stop_ordered: …"),)),
                 Kind.ACT, "start lines", id="it ended on an order that does not stand any more"),
    pytest.param(evidence(observed=QUIET, drivers=(DEAD,), brokers=BrokerHealth(away="no Kafka broker answers")),
                 Kind.OTHER, "broker_down", id="the brokers are away"),
    pytest.param(evidence(observed=QUIET, drivers=(replace(GONE, standing=Standing.NO_ANSWER),)), Kind.ADVICE,
                 "bring back the Spark master", id="no master answers"),
    pytest.param(evidence(drivers=(replace(GONE, standing=Standing.NO_ANSWER),)), Kind.NOTHING, "lives",
                 id="no master answers, and the driver does not need one"),
    pytest.param(evidence(waiting=9, running=RunningBatch(1, 3, ago(500), {})), Kind.OTHER, "stuck_batch",
                 id="it lives, and no batch ends"),
    pytest.param(evidence(observed=Observed(), drivers=()), Kind.ACT, "no driver was ever started", id="never started"),
    pytest.param(replace(evidence(), status=unreadable("lines", "disk full")), Kind.ADVICE, "disk full",
                 id="the storage is away"),
])
def test_what_is_recommended(found: Evidence, kind: Kind, text: str) -> None:
    recommended = RUNBOOK.recommend(found)
    assert recommended.kind is kind
    assert text in "\n".join(recommended.lines("lines"))
    assert "\n".join(found.lines())
