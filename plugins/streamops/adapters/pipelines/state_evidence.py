"""What a pipeline's state directory says for a recovery point: the batch log, and the evidence beside it.

The batch log is read twice, before and after the evidence, so that a batch that ends meanwhile is known as such.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from streamops.adapters.files.state_files import StateFiles
from streamops.declared.pipeline import Pipeline
from streamops.errors import StateError
from streamops.points.recovery_points import WalExtent
from streamops.running import pipeline_status
from streamops.state import batch_log, generations, planned_batch
from streamops.state.batch_log import OUTPUT, Entry
from streamops.state.generations import Generation
from streamops.state.offsets import OffsetRange, Offsets, parse_spark_offsets
from streamops.state.planned_batch import PlannedBatch

#: Directories of Spark's write-ahead log in one start's directory: what receivers stored, and which batch took it.
_RECEIVED, _ALLOCATED = "receivedData", "receivedBlockMetadata"


@dataclass(frozen=True)
class LogPosition:
    """Where the batch log stands. `generation` is None before the first start."""

    generation: Generation | None
    last: Entry | None

    @property
    def processed(self) -> Offsets:
        """The next offset to process of every partition that is known."""
        return {} if self.generation is None else pipeline_status.positions(self.generation, self.last)

    @property
    def settled(self) -> Offsets:
        """Where it stood before its last batch."""
        before = {} if self.last is None else {taken.topic_partition: taken.first for taken in self.last.ranges}
        return {**self.processed, **before}


def log_position(files: StateFiles) -> LogPosition:
    """Where the batch log stands now. Raises StateError, and what StateFiles raises."""
    generation = generations.current(files)
    if generation is None:
        return LogPosition(None, None)
    return LogPosition(generation, batch_log.read_head(files, generation.number))


@dataclass(frozen=True)
class Checkpointed:
    """The batch that a checkpoint, or a plan, names last, and where it ends; or why there is none.

    `began_ms` is when Spark first began it, in ms since 1970; None where that is not written.
    """

    batch: int | None
    ends: Offsets
    reason: str = ""
    began_ms: int | None = None


def checkpointed(files: StateFiles, approach: str, at: LogPosition) -> Checkpointed:
    """What a direct job's checkpoint names, or what a receiver job has planned. Raises StateError."""
    if at.generation is None:
        return Checkpointed(None, {}, "the pipeline has no generation yet")
    if approach == "receiver":
        number = at.last.batch + 1 if at.last else 0
        text = files.read(planned_batch.path(at.generation.number, number))
        if text is None:
            return Checkpointed(None, {}, "no batch is planned: a receiver job has no other checkpoint")
        planned = PlannedBatch.from_json(text)
        return Checkpointed(planned.batch, planned.ends)
    directory = f"{generations.checkpoint_path(at.generation.number)}/offsets"
    batches = [int(name) for name in files.names(directory) if name.isdigit()]
    if not batches:
        return Checkpointed(None, {}, "the checkpoint names no batch yet")
    path = f"{directory}/{max(batches)}"
    text = files.read(path)
    try:
        # A version, a line of metadata, then a line for each source: the end offsets.
        _, metadata, ends = (text or "").splitlines()[:3]
        began_ms = json.loads(metadata).get("batchTimestampMs")
        return Checkpointed(max(batches), parse_spark_offsets(ends), began_ms=began_ms)
    except (ValueError, AttributeError) as error:
        raise StateError(
            f"{path} of the checkpoint does not say offsets ({type(error).__name__}: {(text or '')[:200]!r})",
            "Something else changed it. Restore it from a copy, or open a new generation from the batch log's head.",
        ) from error


def sink_batch(files: StateFiles, sink: str, at: LogPosition) -> tuple[int | None, str]:
    """The last batch whose output the sink holds, or None and why.

    That is the last one in the batch log, or the one after it where a driver published it and did not log it (yet).
    """
    if sink != "parquet":
        return None, f"the sink {sink} keeps nothing"
    if at.generation is None:
        return None, "the pipeline has no generation yet"
    following = at.last.batch + 1 if at.last else 0
    if files.names(f"{OUTPUT}/generation={at.generation.number}/batch={following}"):
        return following, ""
    if at.last is None:
        return None, "no batch is in the sink yet"
    if at.last.output is not None and not files.names(f"{OUTPUT}/{at.last.output}"):
        return None, f"the batch log has batch {at.last.batch}, and its output is not there"
    return at.last.batch, ""


def write_ahead_log(files: StateFiles, pipeline: Pipeline, at: LogPosition) -> tuple[WalExtent | None, str]:
    """Files and bytes of the write-ahead log, in all starts' directories of the generation; or None and why."""
    if pipeline.approach != "receiver":
        return None, "a direct job has no write-ahead log: Kafka holds the records"
    if not pipeline.receiver.write_ahead_log:
        return None, "the pipeline says `write_ahead_log: false`"
    if at.generation is None:
        return None, "the pipeline has no generation yet"
    place = generations.checkpoint_path(at.generation.number)
    sizes: list[int] = []
    for start in files.names(place):
        received = f"{place}/{start}/{_RECEIVED}"
        for directory in (f"{place}/{start}/{_ALLOCATED}", *(f"{received}/{each}" for each in files.names(received))):
            sizes += [size for name, size in files.sizes(directory).items() if name.startswith("log-")]
    return WalExtent(len(sizes), sum(sizes)), ""


def stored(processed: Offsets, group_committed: Offsets) -> tuple[OffsetRange, ...]:
    """What the write-ahead log holds and is not processed: a receiver commits an offset once all below it is stored."""
    return tuple(OffsetRange(*at, processed[at], until) for at, until in sorted(group_committed.items())
                 if at in processed and until > processed[at])
