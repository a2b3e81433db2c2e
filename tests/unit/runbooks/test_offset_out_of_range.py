"""What the runbook offset_out_of_range recommends: a table of cases."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streamops.adapters.pipelines.files import state_files
from streamops.declared.pipelines import Pipelines
from streamops.points.lag_seconds import Retention
from streamops.points.retention_loss import Oldest, Overtaken
from streamops.runbooks.case import Case
from streamops.runbooks.loss_evidence import LossEvidence
from streamops.runbooks.offset_out_of_range import RUNBOOK
from streamops.runbooks.recommendation import Kind, Recommendation
from streamops.running.broker_health import BrokerHealth
from streamops.running.driver_status import Standing
from streamops.running.pipeline_status import unreadable
from streamops.settings import Settings
from streamops.state import generations
from streamops.state.generations import Restored
from streamops.state.lease import Beat, JobState

from ..on_call import GONE, OBSERVED, P0, P1, PIPELINE, SIGHT, SILENT, STOP, ago, evidence, seen

DEAD = replace(GONE, standing=Standing.ENDED, state="FINISHED")
LOST = replace(DEAD, stop_kind="data_loss", said="data_loss: unprocessed records are gone")
BAD = replace(DEAD, stop_kind="bad_record", said="bad_record: lines-0 offset 310: oops")
OVERTAKEN = Overtaken(P0, 300, 420, 1000, 300)
HELD = replace(OVERTAKEN, held_until=420)
HOUR_MS = 3_600_000
GOES_ON = PIPELINE.model_copy(update={"on_data_loss": "continue"})
assert OBSERVED.generation is not None
RESTORED = replace(OBSERVED.generation, number=2, restored=Restored("offsets", 7))


def found(*overtaken: Overtaken, known: dict[str, Any] | None = None, **more: Any) -> LossEvidence:
    """A pipeline whose driver has ended on the loss, with whatever a test changes."""
    given = {"observed": seen(beat=SILENT), "drivers": (LOST,), **(known or {})}
    return LossEvidence(evidence(**given), overtaken, **{"retention": {"lines": Retention(HOUR_MS)}, **more})


def soon(goes_in_s: float) -> Overtaken:
    return replace(OVERTAKEN, oldest=Oldest(3500, goes_in_s))


@pytest.mark.parametrize(("given", "kind", "text"), [
    pytest.param(found(OVERTAKEN), Kind.ACT, "restore lines to lines-0 from 420, and start it", id="one partition"),
    pytest.param(found(OVERTAKEN, replace(OVERTAKEN, topic_partition=P1, earliest=301)), Kind.ACT,
                 "retention has taken 121 records", id="two partitions"),
    pytest.param(found(soon(7200)), Kind.ACT, "restore lines to lines-0 from 420", id="nothing more goes soon"),
    pytest.param(found(soon(60)), Kind.ACT, "have lines keep records for 2 h, restore lines",
                 id="more goes before it is back"),
    pytest.param(found(soon(60), may_raise=False), Kind.ACT, "have the topic keep more first",
                 id="the same, and retention is to be left as it is"),
    pytest.param(found(soon(60), retention={"lines": Retention(None, 10**9)}), Kind.ACT,
                 "have the topic keep more first", id="the same, and limited by size"),
    pytest.param(found(soon(400), catch_up_s=500), Kind.ACT, "keep records for 2 h",
                 id="more goes before it has caught up"),
    pytest.param(found(HELD), Kind.ACT, "the write-ahead log holds 120 of the records", id="the log holds it"),
    pytest.param(found(replace(OVERTAKEN, held_until=400)), Kind.ACT, "20 more are in neither", id="a part of it"),
    pytest.param(found(OVERTAKEN, log_unknown=True, known={"drivers": (DEAD,)}), Kind.ACT, "may hold what Kafka lost",
                 id="what the log holds is unknown"),
    pytest.param(found(HELD, known={"drivers": (SIGHT,)}), Kind.WAIT, "wait for driver driver-1",
                 id="the log holds it, and a driver works on it"),
    pytest.param(found(HELD, known={"drivers": (BAD,)}), Kind.ADVICE, "on_bad_record: dead_letter",
                 id="the log holds it, and a bad record"),
    pytest.param(found(OVERTAKEN, known={"pipeline": GOES_ON}), Kind.ACT, "start lines", id="it may go on by itself"),
    pytest.param(found(OVERTAKEN, known={"pipeline": GOES_ON, "drivers": (SIGHT,)}), Kind.WAIT,
                 "its next batch leaves out what is gone", id="it goes on by itself"),
    pytest.param(found(), Kind.ADVICE, "Kafka has everything after what was processed, and yet",
                 id="nothing is gone, and a driver says so"),
    pytest.param(found(known={"drivers": (SIGHT,)}), Kind.NOTHING, "Kafka has everything", id="all is well"),
    pytest.param(found(unjudged={P0: "broker 3 does not answer", P1: "the same"}), Kind.ADVICE,
                 "lines-0: broker 3 does not answer, and 1 more", id="it cannot be judged"),
    pytest.param(found(OVERTAKEN, made_again=("lines",)), Kind.ADVICE, "deleted and made again", id="another topic"),
    pytest.param(found(OVERTAKEN, known={"observed": seen(order=STOP, beat=SILENT)}), Kind.NOTHING,
                 "stopped by alice@shell", id="a person stopped it"),
    pytest.param(found(known={"observed": seen(generation=RESTORED, recent=(), beat=SILENT)}), Kind.ACT,
                 "generation 2 was restored to offsets, and no batch has followed", id="interrupted after the restore"),
    pytest.param(found(known={"observed": seen(generation=RESTORED, recent=(), beat=SILENT), "drivers": (SIGHT,)}),
                 Kind.WAIT, "it begins in generation 2", id="the restored one begins"),
    pytest.param(found(OVERTAKEN, known={"observed": seen(beat=Beat(3, ago(1), JobState.RESTORING))}), Kind.NOTHING,
                 "a restore holds the lease", id="a restore works"),
    pytest.param(found(known={"brokers": BrokerHealth(away="no Kafka broker answers")}), Kind.OTHER, "broker_down",
                 id="brokers are away"),
    pytest.param(found(known={"status": unreadable("lines", "HDFS is away")}), Kind.ADVICE, "HDFS is away",
                 id="the state directory is away"),
])
def test_what_is_recommended(given: LossEvidence, kind: Kind, text: str) -> None:
    recommended = RUNBOOK.recommend(given)
    assert recommended.kind is kind
    assert text in "\n".join(recommended.lines("lines"))
    assert Recommendation.from_data(recommended.to_data()) == recommended
    assert list(given.lines())
    assert given.as_dict()["overtaken"] == [each.as_dict() for each in given.overtaken]


def test_an_approval_holds_while_retention_takes_no_more() -> None:
    agreed = RUNBOOK.recommend(found(OVERTAKEN))
    assert agreed.data["offsets"] == {"lines": {"0": 420}}
    assert agreed.is_for_same(RUNBOOK.recommend(found(replace(OVERTAKEN, latest=2000, whole_at="02:00"))))
    assert not agreed.is_for_same(RUNBOOK.recommend(found(replace(OVERTAKEN, earliest=421))))


def test_what_was_restored_is_not_taken_back_and_what_was_not_is_not_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_STREAMOPS_STORAGE",
                       json.dumps({"conn_type": "generic", "extra": {"url": f"file://{tmp_path}"}}))
    declared = Pipelines("pipelines.yaml", pipelines={PIPELINE.name: PIPELINE})
    case = Case(declared, PIPELINE, Settings.load(), "alice", print)
    agreed = RUNBOOK.recommend(found(OVERTAKEN))
    assert RUNBOOK.roll_back(case, agreed) is None, "the restore was refused"
    opened = replace(RESTORED, number=1, start={P0: 420, P1: 50})
    state_files(PIPELINE).write_new(generations.path(1), opened.to_json())
    assert "offsets undo lines --accept-loss" in (RUNBOOK.roll_back(case, agreed) or "")
    assert RUNBOOK.roll_back(case, Recommendation.act("start lines", "", action="start")) is None
