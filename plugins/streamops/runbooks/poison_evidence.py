"""What a runbook knows of a batch that fails for its records: drivers' words, the proof, and the dead-letter topic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from streamops.declared.pipeline import Pipeline
from streamops.errors import StreamopsError, TransformError
from streamops.points import retention_loss
from streamops.runbooks import causes
from streamops.runbooks.case import Case
from streamops.runbooks.evidence import Evidence
from streamops.running.pipeline_status import State
from streamops.state.failing_batch import FailingBatch, Letters
from streamops.state.proofs import Proof

#: Proven records that are told one by one.
_TOLD = 10


@dataclass(frozen=True)
class PoisonEvidence:
    """What is known of the pipeline, of the batch that it cannot get past, and of the dead-letter topic.

    `topic` is where skipped records would go, and `no_topic` says why they cannot. `unproven` says why there is no
    proof for a batch that fails.
    """

    known: Evidence
    topic: str
    failing: FailingBatch | None = None
    proof: Proof | None = None
    unproven: str | None = None
    letters: Letters | None = None
    no_topic: str | None = None

    @property
    def puts_aside(self) -> bool:
        """Whether the pipeline does by itself what this runbook is for."""
        return self.known.pipeline.on_bad_record == "dead_letter"

    @property
    def fails(self) -> bool:
        """Whether the batch that is planned is one that drivers cannot get past, and not just one that runs."""
        return self.failing is not None and (self.failing.kind is not None or self.known.status.state in (
            State.RESTARTING, State.CRASHING))

    @property
    def overtaken(self) -> bool:
        """Whether retention has taken records that are not processed, which is another runbook's case."""
        return self.known.point is not None and bool(retention_loss.places(self.known.point))

    def lines(self) -> Iterator[str]:
        """For a person."""
        yield from self.known.lines()
        yield f"on_bad_record: {self.known.pipeline.on_bad_record}"
        if self.failing is not None:
            yield from self.failing.lines()
        if self.proof is not None:
            yield from _told(self.proof)
        if self.unproven is not None:
            yield f"proof: none, because {self.unproven}"
        if self.letters is not None:
            yield from self.letters.lines()
        if self.no_topic is not None:
            yield f"dead-letter topic {self.topic}: {self.no_topic}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **self.known.as_dict(), "on_bad_record": self.known.pipeline.on_bad_record,
            "failing_batch": self.failing.as_dict() if self.failing is not None else None,
            "proof": self.proof.as_dict() if self.proof is not None else None, "unproven": self.unproven,
            "dead_letter_topic": self.topic, "no_dead_letter_topic": self.no_topic,
            "letters": self.letters.as_dict() if self.letters is not None else None,
        }


def read(case: Case, topic: str | None, most_records: int) -> PoisonEvidence:
    """The evidence, with a proof where a batch fails; `topic` is where skipped records would go, if somebody says.

    What a server does not say is left out, with the reason.
    """
    from streamops.adapters.pipelines import proving
    from streamops.adapters.pipelines.drivers import PipelineDrivers
    from streamops.runbooks import reading

    pipeline, known = case.pipeline, reading.read(case)
    found = PoisonEvidence(known, topic or pipeline.dead_letter_topic or f"{pipeline.name}_dead_letters")
    if causes.unreadable(known) is not None or known.brokers.away is not None:
        return found
    drivers = PipelineDrivers(pipeline, case.settings)
    try:
        found = replace(found, failing=proving.failing(drivers))
        letters, why = _letters(pipeline, found.topic)
        found = replace(found, letters=letters, no_topic=why)
    except StreamopsError as error:
        known.unknown["failing batch"] = error.found
    if found.failing is None or not found.fails or not _is_worth_a_proof(found):
        return found
    try:
        return replace(found, proof=proving.prove(drivers, found.failing, most_records, case.say))
    except StreamopsError as error:
        return replace(found, unproven=str(error))


def _is_worth_a_proof(found: PoisonEvidence) -> bool:
    """It costs the cluster a driver: not where a person has stopped the pipeline, or no record could be the answer."""
    if found.failing is None or found.failing.kind == TransformError.kind or found.overtaken:
        return False
    return causes.stopped_by_a_person(found.known) is None


def _letters(pipeline: Pipeline, topic: str) -> tuple[Letters | None, str | None]:
    """What is in the dead-letter topic, or why there can be nothing in it."""
    from streamops.adapters.connections import connection
    from streamops.adapters.kafka import dead_letters
    from streamops.adapters.kafka.broker import Broker

    if topic in pipeline.topics:
        return None, f"{pipeline.name} reads it, so that they would come round for ever"
    kafka = connection(pipeline.connections.kafka)
    with Broker.connect(kafka) as broker:
        if not broker.observe_topics([topic]):
            return None, "there is no such topic"
        return dead_letters.look(kafka, broker, topic, pipeline.name), None


def _told(proof: Proof) -> Iterator[str]:
    """A proof for a person."""
    yield f"proof: the transform {proof.transform} was run on the {proof.read:,} records of the batch"
    if proof.unproven is not None:
        yield f"  not proven: {proof.unproven}"
        return
    if proof.whole_error is None:
        yield "  the batch does not fail"
        return
    yield f"  the whole batch fails: {proof.whole_error}"
    yield from (f"  fails alone: {record}" for record in proof.records[:_TOLD])
    if len(proof.records) > _TOLD:
        yield f"  and {len(proof.records) - _TOLD} more fail alone"
    if not proof.records:
        yield "  no record fails alone"
    elif proof.rest_error is None:
        yield f"  the other {proof.read - len(proof.records):,} records do not fail"
    else:
        yield f"  the other records fail as well: {proof.rest_error}"
