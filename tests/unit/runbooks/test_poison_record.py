"""What the runbook poison_record recommends: a table of cases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from streamops.points.recovery_points import PartitionPoint
from streamops.runbooks.poison_evidence import PoisonEvidence
from streamops.runbooks.poison_record import RUNBOOK
from streamops.runbooks.recommendation import Kind, Recommendation
from streamops.running.broker_health import BrokerHealth
from streamops.running.driver_status import Standing
from streamops.running.pipeline_status import unreadable
from streamops.state.failing_batch import FailingBatch, Letters
from streamops.state.lease import Beat, JobState
from streamops.state.offsets import OffsetRange
from streamops.state.proofs import Proof, ProvenRecord

from ..on_call import GONE, P0, PIPELINE, SIGHT, SILENT, STOP, ago, evidence, seen

BAD = replace(GONE, standing=Standing.ENDED, state="FINISHED", stop_kind="bad_record", said="bad_record: lines-0 …")
FAILING = FailingBatch(1, 3, (OffsetRange("lines", 0, 300, 400),), 2, "bad_record", "cannot process lines-0 offset 342")
RECORD = ProvenRecord("lines", 0, 342, "ValueError: oops", "order-7", 12, 1)
PROOF = Proof("lines", 1, 3, "word_count", 100, "ValueError: oops", (RECORD,))
ASIDE = PIPELINE.model_copy(update={"on_bad_record": "dead_letter", "dead_letter_topic": "letters"})
RESTARTING = seen(beat=Beat(2, ago(1), JobState.RESTARTING))


def found(failing: FailingBatch | None = FAILING, proof: Proof | None = PROOF, known: dict[str, Any] | None = None,
          **more: Any) -> PoisonEvidence:
    """A pipeline whose driver has ended on a record that is proven to be bad, with whatever a test changes."""
    given = {"observed": seen(beat=SILENT), "drivers": (BAD,), **(known or {})}
    return PoisonEvidence(evidence(**given), "letters", failing, proof, **{"letters": Letters("letters", 3), **more})


def overtaken() -> dict[str, Any]:
    point = evidence().point
    assert point is not None
    return {"point": replace(point, partitions={P0: PartitionPoint(earliest=350, processed=300, latest=400)})}


@pytest.mark.parametrize(("given", "kind", "text"), [
    pytest.param(found(), Kind.ACT, "skip 1 of the 100 records of batch 3 of generation 1 into letters", id="proven"),
    pytest.param(found(), Kind.ACT, "lines-0 offset 342 (key 'order-7', 12 bytes): ValueError: oops",
                 id="the reason names the record"),
    pytest.param(found(None, None), Kind.NOTHING, "no driver has ended on a record", id="no batch is planned"),
    pytest.param(found(replace(FAILING, tries=0, kind=None, said=None), None), Kind.NOTHING, "no driver has ended",
                 id="a batch that just runs"),
    pytest.param(found(None, None, {"pipeline": ASIDE}), Kind.NOTHING, "into letters by itself, which holds 3",
                 id="it puts bad records aside by itself"),
    pytest.param(found(proof=replace(PROOF, whole_error=None, records=())), Kind.ACT, "start lines",
                 id="the transform was corrected"),
    pytest.param(found(proof=replace(PROOF, whole_error=None, records=()), known={"drivers": (SIGHT,)}), Kind.WAIT,
                 "does not fail any more", id="the same, and a driver runs"),
    pytest.param(found(proof=replace(PROOF, records=())), Kind.ADVICE, "none of its records does alone",
                 id="no record fails alone"),
    pytest.param(found(proof=replace(PROOF, rest_error="ValueError: more")), Kind.ADVICE, "the others fail",
                 id="the rest fails as well"),
    pytest.param(found(proof=replace(PROOF, records=(), unproven="cannot process more than 20 records")), Kind.ADVICE,
                 "--most-records", id="too many"),
    pytest.param(found(proof=replace(PROOF, records=(), unproven="its records cannot be read")), Kind.ADVICE,
                 "cannot be read", id="records that cannot be read"),
    pytest.param(found(proof=None, unproven="no worker has room"), Kind.ADVICE, "no worker has room", id="no proof"),
    pytest.param(found(replace(FAILING, kind="transform", said="no such column"), None), Kind.ADVICE,
                 "it fails whatever the records: no such column", id="the transform as a whole"),
    pytest.param(found(letters=None, no_topic="there is no such topic"), Kind.ADVICE, "streamops topics apply",
                 id="no dead-letter topic"),
    pytest.param(found(replace(FAILING, kind=None), replace(PROOF, whole_error=None, records=()),
                       {"observed": RESTARTING, "drivers": (SIGHT,)}), Kind.OTHER, "driver_lost",
                 id="a query that fails for something else"),
    pytest.param(found(replace(FAILING, kind=None), replace(PROOF, records=()),
                       {"observed": RESTARTING, "drivers": (SIGHT,)}), Kind.ADVICE, "none of its records does alone",
                 id="a query that fails, and no record does"),
    pytest.param(found(proof=None, known=overtaken()), Kind.OTHER, "offset_out_of_range", id="gone from Kafka"),
    pytest.param(found(proof=None, known={"observed": seen(order=STOP, beat=SILENT)}), Kind.NOTHING,
                 "stopped by alice@shell", id="a person stopped it"),
    pytest.param(found(known={"observed": seen(beat=Beat(3, ago(1), JobState.RESTORING))}), Kind.NOTHING,
                 "a restore holds the lease", id="a restore works"),
    pytest.param(found(None, None, {"brokers": BrokerHealth(away="no Kafka broker answers")}), Kind.OTHER,
                 "broker_down", id="brokers are away"),
    pytest.param(found(None, None, {"status": unreadable("lines", "HDFS is away")}), Kind.ADVICE, "HDFS is away",
                 id="the state directory is away"),
])
def test_what_is_recommended(given: PoisonEvidence, kind: Kind, text: str) -> None:
    recommended = RUNBOOK.recommend(given)
    assert recommended.kind is kind
    assert text in "\n".join(recommended.lines("lines"))
    assert Recommendation.from_data(recommended.to_data()) == recommended


def test_an_approval_holds_for_the_proven_records_alone() -> None:
    agreed = RUNBOOK.recommend(found())
    assert agreed.subject == "batch 3 of generation 1: lines-0@342"
    assert agreed.is_for_same(RUNBOOK.recommend(found(replace(FAILING, tries=5))))
    other = replace(RECORD, offset=343)
    assert not agreed.is_for_same(RUNBOOK.recommend(found(proof=replace(PROOF, records=(RECORD, other)))))
    assert not agreed.is_for_same(RUNBOOK.recommend(found(replace(FAILING, batch=4))))


@pytest.mark.parametrize(("proof", "text"), [
    pytest.param(PROOF, "fails alone: lines-0 offset 342", id="the record"),
    pytest.param(PROOF, "the other 99 records do not fail", id="the rest"),
    pytest.param(replace(PROOF, rest_error="E"), "the other records fail as well: E", id="the rest fails"),
    pytest.param(replace(PROOF, records=()), "no record fails alone", id="none"),
    pytest.param(replace(PROOF, whole_error=None, records=()), "the batch does not fail", id="nothing"),
    pytest.param(replace(PROOF, unproven="too many"), "not proven: too many", id="not proven"),
    pytest.param(replace(PROOF, records=(RECORD,) * 12), "and 2 more fail alone", id="many"),
])
def test_a_proof_in_words(proof: Proof, text: str) -> None:
    given = found(proof=proof)
    assert text in "\n".join(given.lines())
    assert given.as_dict()["proof"]["holds"] is proof.holds
