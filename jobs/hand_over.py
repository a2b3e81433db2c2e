"""A pipeline whose approach was changed: where the job of the other approach goes on, without a hole or an overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamops.errors import ConfigurationError, DataLossError
from streamops.state import batch_log, generations
from streamops.state.offsets import Offsets, advance

if TYPE_CHECKING:
    from hadoop_files import HadoopFiles
    from kafka_positions import KafkaPositions
    from streamops.state.generations import Generation
    from streamops.state.job_spec import JobSpec

#: Approaches that read topics: between them a pipeline may be handed over.
READ_TOPICS = frozenset({"direct", "receiver"})

_MOST_NAMED = 5


def start_after(generation: Generation, spec: JobSpec, files: HadoopFiles, positions: KafkaPositions) -> Offsets:
    """Where a generation of the other approach ends, by the batch log: there the next one starts.

    A batch that is planned and not logged has processed nothing; its records are the next generation's first. Raises
    ConfigurationError where a folder is on one side, DataLossError where Kafka no longer has what receivers stored.
    """
    theirs = generation.approach
    if spec.folder is not None or theirs not in READ_TOPICS:
        raise ConfigurationError(
            f"{spec.pipeline} is a {spec.approach} pipeline now, and generation {generation.number} of its state "
            f"directory belongs to a {theirs} pipeline, which has no offsets in common with it",
            f"Make it a {theirs} pipeline again, or give it another name.",
        )
    last = batch_log.read_head(files, generation.number)
    ended = advance(generation.start, last.ranges if last else ())
    start = {at: offset for at, offset in ended.items() if at.topic in spec.topics}
    if theirs == "receiver":
        _require_in_kafka(generation, start, spec, files, positions)
    return start


def _require_in_kafka(
    generation: Generation, start: Offsets, spec: JobSpec, files: HadoopFiles, positions: KafkaPositions
) -> None:
    """What receivers stored and nobody processed is read from Kafka again, unless retention has taken it there."""
    earliest = positions.earliest(start)
    gone = [f"{at} begins at {earliest[at]}, after {start[at]}" for at in sorted(start) if earliest[at] > start[at]]
    if gone and files.names(generations.checkpoint_path(generation.number)):
        raise DataLossError(
            f"{spec.pipeline} cannot be handed over to {spec.approach}: of what comes next, Kafka lacks records that "
            f"may be in the receivers' write-ahead log: {'; '.join(gone[:_MOST_NAMED])}",
            f"Make it a {generation.approach} pipeline again, which processes what is in that log, then hand it over.",
        )
