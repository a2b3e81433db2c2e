"""The verdict's evidence read: the batch log, the sink's rows, Kafka's records; and the verdict from them."""

from __future__ import annotations

from dataclasses import replace

from streamops.adapters.connections import Connection
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.pipelines import state_evidence
from streamops.adapters.sink import sink_rows
from streamops.adapters.sink.verifying import verify
from streamops.drills import judgement
from streamops.drills.ledger import Ledger
from streamops.drills.verdict import LogProof, Verdict
from streamops.state.offsets import Offsets, TopicPartition


def judge(pipeline: str, files: StateFiles, ledger: Ledger | None, kafka: Connection | None) -> Verdict:
    """The verdict on a pipeline after a drill; it may run meanwhile. Reads, and changes nothing.

    `files` are its state directory's. Without a `ledger`, by the batch log alone. Without `kafka`, nobody can tell
    whether a record that is missing was lost by the job. The batch log is proved whole, from its first batch on, so a
    pipeline whose log had a hole before the drill is to be refused by the drill's preflight.

    Raises UnavailableError where a server does not answer, StateError where the sink is not that of `identity`.
    """
    log = _proof(pipeline, files)
    if ledger is None:
        return Verdict(log=log)
    # What is processed by now is in the sink, which is read after it.
    processed = state_evidence.log_position(files).processed
    rows = sink_rows.rows_since(files, ledger.start)
    if kafka is None:
        return replace(judgement.judge(ledger, rows, None, processed), log=log)
    from streamops.adapters.kafka.topic_records import records_between

    earliest, ends = _extent(kafka, ledger)
    records = records_between(kafka, ledger.start, ends)
    return replace(judgement.judge(ledger, rows, records, processed, earliest), log=log)


def processed_all(files: StateFiles, ledger: Ledger) -> bool:
    """Whether the batch log covers every acknowledged record: the moment to judge.

    Raises what StateFiles raises where the storage is away.
    """
    return sink_rows.is_covered(ledger.ends(), state_evidence.log_position(files).processed)


def _extent(kafka: Connection, ledger: Ledger) -> tuple[Offsets, Offsets]:
    """The first and the next offset of the ledger's partitions. A topic that is gone has neither."""
    from streamops.adapters.kafka.broker import Broker

    topics = {place.topic for place in ledger.places}
    with Broker.connect(kafka, timeout_s=30) as broker:
        there = topics & set(broker.topic_names())
        earliest, latest = broker.earliest_offsets(there), broker.latest_offsets(there)

    def of_the_ledger(found: dict[TopicPartition, int]) -> Offsets:
        return {at: offset for at, offset in found.items() if at in ledger.start}

    return of_the_ledger(earliest), of_the_ledger(latest)


def _proof(pipeline: str, files: StateFiles) -> LogProof:
    found = verify(pipeline, files)
    return LogProof(found.sound, found.batches, found.offsets, found.lost, found.repeated, tuple(found.problems))
