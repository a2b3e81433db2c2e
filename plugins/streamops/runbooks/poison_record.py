"""### A record makes each batch fail

**Symptom**: a driver ended with `bad_record`, and each new one ends on the same batch; the lag grows and no batch is
logged.

**Steps**
1. It prints the evidence: the batch that is planned and not done, how many drivers ended on it and what the last of
   them said. Then it **proves** which records are the cause: a Spark job of its own, which writes to no sink, reads
   just that batch from Kafka and runs the transform on the whole, by halves down to single records, and on the rest
   without those. Each record that fails alone is shown with its topic, partition, offset, key, size and error.
2. It recommends, with the reason: to skip exactly these records into the dead-letter topic; to start the pipeline where
   the batch does not fail any more (the transform was corrected); else your hand: the transform fails as a whole, no
   record fails alone, the rest fails as well, more than `most_records` are bad, or there is no dead-letter topic.
   A pipeline with `on_bad_record: dead_letter` does all this by itself: what is in its topic is shown.
3. Approve in the task `approve` (Required Actions); `approval: false`, at a shell `--yes`, skips that.
4. `act` takes a recovery point, writes the skip down beside the pipeline's data (`skips/`), and starts the pipeline.
   Its driver runs the batch as it was planned, finds the bad records once more, and lets go of none but those that
   were approved: in one Kafka transaction, with error and origin in their headers, before the batch is logged. Offset
   ranges stay contiguous, and nothing else is left out. Any later bad record stops the job as before.
5. `verify` succeeds when that batch is in the batch log, batches go on, and the lag falls.

**Is it safe to repeat?** Yes. A skip holds for one batch and the records it names; letters go out once, however often
the batch is tried. One that was interrupted anywhere goes on from there when it is run again.

**How to undo**: before the batch is logged the runbook withdraws the skip itself when it fails. After it, the records
are whole in the dead-letter topic: feed them again once the transform is corrected, or stop the pipeline and restore it
to the recovery point that is named, which has it process them in their place: streamops offsets restore PIPELINE
--to-point N.
"""

from __future__ import annotations

from streamops.errors import TransformError
from streamops.runbooks import causes, poison_evidence
from streamops.runbooks.case import Case
from streamops.runbooks.poison_evidence import PoisonEvidence
from streamops.runbooks.progress import Mark
from streamops.runbooks.recommendation import Recommendation
from streamops.runbooks.runbook import WITHIN, Option, Runbook
from streamops.state.proofs import ProvenRecord

PAGE = __doc__ or ""

_START, _SKIP = "start", "skip"
_MOST = 20

MOST_RECORDS = Option("most_records", int, _MOST, "More bad records than this in one batch look like a broken "
                      "transform: nothing is skipped.", minimum=1)
DEAD_LETTER_TOPIC = Option("dead_letter_topic", str, None, "Where skipped records go. Empty for the pipeline's own, or "
                           "else the topic <pipeline>_dead_letters.")


class PoisonRecord(Runbook[PoisonEvidence]):
    """See the page."""

    name = "poison_record"
    page = PAGE
    options = (WITHIN, MOST_RECORDS, DEAD_LETTER_TOPIC)

    def read(self, case: Case) -> PoisonEvidence:
        most = case.number(MOST_RECORDS.name)
        return poison_evidence.read(case, case.options.get(DEAD_LETTER_TOPIC.name) or None,
                                    _MOST if most is None else int(most))

    def recommend(self, found: PoisonEvidence) -> Recommendation:
        for cause in (causes.unreadable, causes.restoring, causes.brokers_away):
            if (recommendation := cause(found.known)) is not None:
                return recommendation
        for of_batch in (_nothing_fails, _stopped, _overtaken, _transform_fails, _unproven, _passes, _not_for_a_record,
                         _no_topic):
            if (recommendation := of_batch(found)) is not None:
                return recommendation
        return _skip(found)

    def act(self, case: Case, agreed: Recommendation) -> None:
        from streamops.runbooks import actions, poison_actions

        if agreed.data["action"] == _SKIP:
            poison_actions.allow(case, _records(agreed), *_batch(agreed), agreed.data["dead_letter_topic"])
        actions.start(case, f"runbook {self.name}: {agreed.reason}")

    def verify(self, case: Case, before: Mark, agreed: Recommendation) -> str:
        if agreed.data.get("action") == _SKIP:
            from streamops.runbooks import poison_actions

            case.say(poison_actions.await_batch(case, *_batch(agreed)))
        return self.until_well(case, before)

    def roll_back(self, case: Case, agreed: Recommendation) -> str | None:
        done = [super().roll_back(case, agreed)]
        if agreed.data.get("action") == _SKIP:
            from streamops.runbooks import poison_actions

            done.append(poison_actions.withdraw(case, *_batch(agreed)))
        return "\n".join(each for each in done if each is not None) or None


RUNBOOK = PoisonRecord()


def _batch(agreed: Recommendation) -> tuple[int, int]:
    return int(agreed.data["generation"]), int(agreed.data["batch"])


def _records(agreed: Recommendation) -> tuple[ProvenRecord, ...]:
    return tuple(ProvenRecord(**each) for each in agreed.data["records"])


def _nothing_fails(found: PoisonEvidence) -> Recommendation | None:
    if found.fails:
        return None
    if found.puts_aside:
        held = "" if found.letters is None else f", which holds {found.letters.held:,} offsets"
        return Recommendation.nothing(f"{found.known.pipeline.name} puts bad records into {found.topic} by "
                                      f"itself{held}; no batch fails for a record")
    return Recommendation.nothing("no driver has ended on a record since the last batch")


def _stopped(found: PoisonEvidence) -> Recommendation | None:
    return causes.stopped_by_a_person(found.known)


def _overtaken(found: PoisonEvidence) -> Recommendation | None:
    """What Kafka has no more cannot be proven of any record."""
    if not found.overtaken:
        return None
    return Recommendation.other("offset_out_of_range", f"retention has taken records of {found.failing} meanwhile")


def _transform_fails(found: PoisonEvidence) -> Recommendation | None:
    assert found.failing is not None
    if found.failing.kind != TransformError.kind:
        return None
    return Recommendation.by_hand("correct the transform", f"it fails whatever the records: {found.failing.said}",
                                  f"Then: streamops start {found.known.pipeline.name}")


def _unproven(found: PoisonEvidence) -> Recommendation | None:
    """A skip without proof is not made."""
    name = found.known.pipeline.name
    if found.proof is None:
        return Recommendation.by_hand("see why there is no proof", found.unproven or "none was made",
                                      f"Then run this again: streamops runbook poison_record {name}")
    if found.proof.unproven is None:
        return None
    advice = ["Correct the transform, then: streamops start " + name]
    if "more than" in found.proof.unproven:
        advice.append("If they are bad all the same: --most-records, or `on_bad_record: dead_letter` in the pipeline.")
    return Recommendation.by_hand("look at the records and the transform", found.proof.unproven, *advice)


def _passes(found: PoisonEvidence) -> Recommendation | None:
    """By the code as it is now the batch does not fail."""
    assert found.proof is not None
    assert found.failing is not None
    if found.proof.whole_error is not None:
        return None
    if found.failing.kind is None:
        return Recommendation.other("driver_lost", f"{found.failing} does not fail for its records")
    reason = f"{found.failing} does not fail any more: what the transform could not process, it does now"
    if found.known.living:
        return Recommendation.wait(f"wait for driver {found.known.living[-1].driver}", reason)
    return Recommendation.act(f"start {found.known.pipeline.name}", reason, str(found.failing), action=_START)


def _not_for_a_record(found: PoisonEvidence) -> Recommendation | None:
    """It fails, and not only for records that fail alone: leaving any out would hide something else."""
    assert found.proof is not None
    proof, name = found.proof, found.known.pipeline.name
    if not proof.records:
        return Recommendation.by_hand(
            "correct the transform", f"{found.failing} fails ({proof.whole_error}), and none of its records does alone",
            "It fails for what records are together, or for something outside of them.",
            f"Then: streamops restart {name}")
    if proof.rest_error is not None:
        return Recommendation.by_hand(
            "correct the transform", f"{len(proof.records)} records of {found.failing} fail alone, and the others fail "
            f"without them as well: {proof.rest_error}", f"Then: streamops start {name}")
    return None


def _no_topic(found: PoisonEvidence) -> Recommendation | None:
    if found.no_topic is None:
        return None
    return Recommendation.by_hand(
        f"make a dead-letter topic for {found.known.pipeline.name}",
        f"{_said(found)}, and they would go to {found.topic}: {found.no_topic}",
        f"Declare it under `topics` in pipelines.yaml: `{found.known.pipeline.name}_dead_letters: "
        "{partitions: 1, replication: 1}`, and make it: streamops topics apply",
        "Or name another one that is there: --dead-letter-topic NAME. Then run this again.")


def _skip(found: PoisonEvidence) -> Recommendation:
    assert found.proof is not None
    assert found.failing is not None
    records, pipeline = found.proof.records, found.known.pipeline
    where = ", ".join(f"{each.at}@{each.offset}" for each in records)
    advice = [f"If such records come often: `on_bad_record: dead_letter`, `dead_letter_topic: {found.topic}`."]
    return Recommendation.act(
        f"skip {len(records)} of the {found.proof.read:,} records of {found.failing} into {found.topic}, and start "
        f"{pipeline.name}", _said(found), f"{found.failing}: {where}", *advice, action=_SKIP,
        generation=found.failing.generation, batch=found.failing.batch, dead_letter_topic=found.topic,
        records=[each.as_dict() for each in records])


def _said(found: PoisonEvidence) -> str:
    assert found.proof is not None
    bad, count = found.proof.records, len(found.proof.records)
    return (f"it is proven that {count} of its {found.proof.read:,} records fail alone ({bad[0]}"
            f"{', …' if count > 1 else ''}), and that the others do not fail without them")
