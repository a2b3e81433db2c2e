"""Whether a restored generation makes progress, and from where it was to start: what a restore is judged by."""

from __future__ import annotations

import time

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.kafka.broker import Broker
from streamops.declared.pipeline import Pipeline
from streamops.errors import AlarmError, StateError
from streamops.state import batch_log, evidence, generations
from streamops.state.generations import Generation
from streamops.state.lease import JobState
from streamops.state.offsets import advance, seams

_POLL_S = 1.0


def wait(files: StateFiles, broker: Broker, pipeline: Pipeline, generation: int, timeout_s: float) -> str:
    """What shows the progress: a batch that took records, or, where Kafka has none, a driver that found none.

    Raises AlarmError when neither comes in time, StateError when a batch begins anywhere but at the stated start.
    """
    deadline_s = time.monotonic() + timeout_s
    stated = generations.read(files, generation)
    if stated is None:
        raise StateError(f"generation {generation} of {pipeline.name} has no file", "Was the state directory deleted?")
    while True:
        proof = _batch(files, pipeline, stated) or _nothing_to_read(files, broker, pipeline, stated)
        if proof is not None:
            return proof
        if time.monotonic() >= deadline_s:
            raise AlarmError(
                f"generation {generation} of {pipeline.name} has no batch {timeout_s:.0f} s after it was restored",
                f"See why: streamops status {pipeline.name}, and the DAG stream_{pipeline.name}. To go back: "
                f"streamops offsets undo {pipeline.name}")
        time.sleep(_POLL_S)


def _batch(files: StateFiles, pipeline: Pipeline, stated: Generation) -> str | None:
    position = dict(stated.start)
    for entry in batch_log.entries(files, stated.number):
        if found := seams(position, [(entry.batch, entry.ranges)]):
            raise StateError(
                f"generation {stated.number} of {pipeline.name} does not begin where its restore stated: {found[0]}",
                f"Stop the pipeline, and see what it read: streamops batches {pipeline.name}")
        if entry.span:
            return (f"batch {entry.batch} of generation {stated.number} is in the sink, with {entry.span:,} records, "
                    "and begins at the stated offsets")
        position = advance(position, entry.ranges)
    return None


def _nothing_to_read(files: StateFiles, broker: Broker, pipeline: Pipeline, stated: Generation) -> str | None:
    held = evidence.holder(files)
    last = evidence.beat(files, held.epoch) if held is not None else None
    if held is None or last is None or last.state not in (JobState.IDLE, JobState.RUNNING):
        return None
    latest = broker.latest_offsets(pipeline.topics)
    if any(offset > stated.start.get(at, 0) for at, offset in latest.items()):
        return None
    return f"driver {held.driver} is {last.state}: Kafka has nothing after the start of generation {stated.number}"
