"""### Retention has overtaken a pipeline

**Symptom**: a driver ended with `data_loss`, or Spark says `OffsetOutOfRange`, `KAFKA_DATA_LOSS` or `failOnDataLoss`;
the offsets that were processed are below the first that the topic still has.

**Steps**
1. It prints the evidence: for each partition that was overtaken what was processed, where Kafka begins, how many
   records are gone and between which recovery points that happened, what the receivers' write-ahead log still holds,
   what is left, and how soon retention takes more.
2. It recommends, with the reason: `start` where the write-ahead log holds what Kafka lost, or where the pipeline says
   `on_data_loss: continue`, since nothing else is to be done then; else a restore of the overtaken partitions, and of
   no others, to the first record that Kafka has. Where more would be gone before the pipeline is back, `retention.ms`
   of the topic is raised first (`raise_retention: false` leaves it as it is).
3. Approve in the task `approve` (Required Actions); `approval: false`, at a shell `--yes`, skips that.
4. `act` raises the retention, restores as `streamops offsets restore` does, with an undo point, and starts the
   pipeline. The new generation's file says which offsets are lost for good (docs/batch-log.md), and `streamops verify`
   counts them.
5. `verify` succeeds when the first batch begins exactly at the stated offsets, batches go on, and the lag falls.

**Is it safe to repeat?** Yes. What is done is what was approved: when retention has taken more meanwhile, it is refused
and nothing is changed. One that was interrupted anywhere goes on from there when it is run again.

**How to undo**: `streamops stop PIPELINE`, then `streamops offsets undo PIPELINE --accept-loss`. It begins at the first
record that Kafka has then: what retention took does not come back, unless another copy of the topic has it. A raised
retention stays, because less would lose more; `streamops topics apply` sets it to what is declared.
"""

from __future__ import annotations

import json

from streamops.errors import BadRecordError, DataLossError, StateError
from streamops.points import retention_loss
from streamops.runbooks import causes, loss_evidence
from streamops.runbooks.case import Case
from streamops.runbooks.evidence import newest
from streamops.runbooks.loss_evidence import LossEvidence
from streamops.runbooks.progress import Mark
from streamops.runbooks.recommendation import Recommendation
from streamops.runbooks.runbook import WITHIN, Option, Runbook
from streamops.running.pipeline_status import duration
from streamops.state.offsets import Offsets, parse_spark_offsets, to_spark_offsets

PAGE = __doc__ or ""

_START, _RESTORE = "start", "restore"

RAISE_RETENTION = Option("raise_retention", bool, True, "Raise retention.ms of the topic first where more would be "
                         "gone before the pipeline is back.")


class OffsetOutOfRange(Runbook[LossEvidence]):
    """See the page."""

    name = "offset_out_of_range"
    page = PAGE
    options = (WITHIN, RAISE_RETENTION)

    def read(self, case: Case) -> LossEvidence:
        return loss_evidence.read(case, may_raise=bool(case.options.get(RAISE_RETENTION.name, True)))

    def recommend(self, found: LossEvidence) -> Recommendation:
        for cause in (causes.unreadable, causes.restoring, causes.brokers_away):
            if (recommendation := cause(found.known)) is not None:
                return recommendation
        for of_loss in (_made_again, _begun, _not_overtaken, _goes_on, _stopped, _in_the_log):
            if (recommendation := of_loss(found)) is not None:
                return recommendation
        return _restore(found)

    def act(self, case: Case, agreed: Recommendation) -> None:
        from streamops.runbooks import actions, loss_actions

        if agreed.data["action"] == _RESTORE:
            loss_actions.raise_retention(case, agreed.data["retention_ms"])
            loss_actions.restore(case, _stated(agreed))
        actions.start(case, f"runbook {self.name}: {agreed.reason}")

    def verify(self, case: Case, before: Mark, agreed: Recommendation) -> str:
        if agreed.data.get("action") == _RESTORE:
            from streamops.runbooks import loss_actions

            opened = loss_actions.opened_at(case, _stated(agreed))
            if opened is None:
                raise StateError(f"the newest generation of {case.pipeline.name} does not begin at the stated offsets",
                                 "Somebody else has restored it meanwhile. Run the runbook again.")
            case.say(loss_actions.await_progress(case, opened))
        return self.until_well(case, before)

    def roll_back(self, case: Case, agreed: Recommendation) -> str | None:
        from streamops.runbooks import loss_actions

        done = super().roll_back(case, agreed)
        if agreed.data.get("action") != _RESTORE or loss_actions.opened_at(case, _stated(agreed)) is None:
            return done
        kept = ("what was restored stays so: where the pipeline stood before, Kafka has no records. To go back all the "
                f"same: streamops offsets undo {case.pipeline.name} --accept-loss")
        return kept if done is None else f"{done}\n{kept}"


RUNBOOK = OffsetOutOfRange()


def _stated(agreed: Recommendation) -> Offsets:
    """The offsets of a recommendation to restore."""
    return parse_spark_offsets(json.dumps(agreed.data["offsets"]))


def _made_again(found: LossEvidence) -> Recommendation | None:
    if not found.made_again:
        return None
    return Recommendation.by_hand(
        "restore to earliest, latest or a time",
        f"topic {', '.join(found.made_again)} was deleted and made again: offsets of the old one mean nothing",
        f"streamops offsets restore {found.known.pipeline.name} --to-earliest, or the DAG runbook_restore_offsets")


def _begun(found: LossEvidence) -> Recommendation | None:
    """A restore was made, and no batch has followed: this runbook was interrupted between the two."""
    opened, name = found.known.observed.generation, found.known.pipeline.name
    if found.overtaken or opened is None or opened.restored is None or found.known.observed.recent:
        return None
    if found.known.living:
        return Recommendation.wait(f"wait for driver {found.known.living[-1].driver}",
                                   f"it begins in generation {opened.number}, which was restored")
    return _stopped(found) or Recommendation.act(
        f"start {name}",
        f"generation {opened.number} was restored to {opened.restored.target}, and no batch has followed",
        str(opened.number), action=_START)


def _not_overtaken(found: LossEvidence) -> Recommendation | None:
    if found.overtaken:
        return None
    if found.unjudged:
        at, why = next(iter(found.unjudged.items()))
        more = f", and {len(found.unjudged) - 1} more partitions" if len(found.unjudged) > 1 else ""
        return Recommendation.by_hand("find out what is unknown", f"{at}: {why}{more}",
                                      f"Brokers: streamops runbook broker_down {found.known.pipeline.name}")
    said = newest(found.known.drivers)
    if said is not None and said.stop_kind == DataLossError.kind:
        return Recommendation.by_hand(
            "see what the driver lost",
            f"Kafka has everything after what was processed, and yet a driver ended on lost records: {said.said}",
            f"Once that is mended: streamops start {found.known.pipeline.name}")
    return Recommendation.nothing("Kafka has everything after what was processed, in every partition")


def _goes_on(found: LossEvidence) -> Recommendation | None:
    """The pipeline goes on without lost records, and its batch log names them."""
    pipeline = found.known.pipeline
    if pipeline.on_data_loss != "continue":
        return None
    reason = (f"{pipeline.name} says `on_data_loss: continue`: its next batch leaves out what is gone, and its entry "
              "in the batch log names it")
    if found.known.living:
        return Recommendation.wait(f"wait for driver {found.known.living[-1].driver}", reason)
    return _stopped(found) or Recommendation.act(f"start {pipeline.name}", reason, action=_START)


def _stopped(found: LossEvidence) -> Recommendation | None:
    return causes.stopped_by_a_person(found.known)


def _in_the_log(found: LossEvidence) -> Recommendation | None:
    """What receivers stored comes first at the next start, whatever Kafka has: a restore would leave it behind."""
    held, name = sum(each.held for each in found.overtaken), found.known.pipeline.name
    if not held and not found.log_unknown:
        return None
    gone, said = sum(each.gone for each in found.overtaken), newest(found.known.drivers)
    what = (f"the write-ahead log holds {held:,} of the records that Kafka lost" if held else
            "the write-ahead log may hold what Kafka lost, and which offsets are in it is unknown")
    if said is not None and said.stop_kind == BadRecordError.kind:
        return Recommendation.by_hand(
            "have bad records put aside", f"{what}, and the transform cannot process one of them: {said.said}",
            "Set `on_bad_record: dead_letter` and a `dead_letter_topic` for the pipeline: which record it is can only "
            "be proven of what Kafka has.", f"Then: streamops start {name}")
    reason = f"{what}; that is processed first at a plain start, and a restore would leave it behind"
    after = [f"{gone:,} more are in neither, so the driver ends once it has processed those: run this again then."]
    if found.known.living:
        return Recommendation.wait(f"wait for driver {found.known.living[-1].driver}", reason, *(after if gone else ()))
    return Recommendation.act(f"start {name}", reason, None, *(after if gone else ()), action=_START)


def _restore(found: LossEvidence) -> Recommendation:
    pipeline, gone = found.known.pipeline, sum(each.gone for each in found.overtaken)
    where, soonest_s = retention_loss.in_words(found.overtaken), retention_loss.soonest_s(found.overtaken)
    raised = found.raised_ms if found.may_raise else {}
    reason = f"retention has taken {gone:,} records that were not processed, and nobody can read them any more"
    advice = ["Every other partition stays where it is. The new generation's file names what is lost."]
    if found.known.point is not None and found.known.point.wal is not None and found.known.point.wal.size_bytes:
        advice.append("What receivers stored above the gap is read again from Kafka. Where Kafka has lost some of that "
                      "too, set `on_data_loss: continue` and start the pipeline instead: that processes all of it.")
    if raised:
        reason += f"; more may be gone in {duration(soonest_s or 0)}, before the pipeline is back"
        advice.append("Declare the longer retention in pipelines.yaml too, or `streamops topics apply` takes it back.")
    elif soonest_s is not None and soonest_s < pipeline.start_timeout_s:
        advice.append(f"More may be gone in {duration(soonest_s)}: have the topic keep more first (retention.ms, "
                      "retention.bytes).")
    longer = "".join(f"have {topic} keep records for {duration(ms / 1000)}, " for topic, ms in sorted(raised.items()))
    return Recommendation.act(
        f"{longer}restore {pipeline.name} to {where}, and start it", reason, where, *advice, action=_RESTORE,
        offsets=to_spark_offsets(retention_loss.starts(found.overtaken)), retention_ms=raised)
