"""Where the evidence differs from the batch log, by how much, and whether a healthy job shows that.

The batch log is the authority. A receiver commits to its group what it has stored, before that is processed: the group
is ahead, and behind only for a moment after a start. A direct job commits to its group after the batch log: the group
is behind, by one batch at most. The checkpoint is written before its batch runs: it is ahead, by one batch at most.

Pure. Offsets are the next one to read; `settled` is where the batch log stood before the last batch that it had when
reading began, so that evidence from there on may merely have been read a moment too early.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from streamops.points.recovery_points import Disagreement, Source
from streamops.state.offsets import TopicPartition

_BEHIND = {
    Source.GROUP: "the group is behind the batch log: a commit was refused, or somebody set its offsets",
    Source.CHECKPOINT: "the checkpoint is behind the batch log: it was restored from a copy, or begun again",
}


def disagreements(
    approach: str,
    processed: Mapping[TopicPartition, int],
    settled: Mapping[TopicPartition, int],
    last_batch: int | None,
    group_committed: Mapping[TopicPartition, int],
    checkpointed: Mapping[TopicPartition, int],
    checkpoint_batch: int | None,
) -> list[Disagreement]:
    """Every difference, gathered by its reason. Partitions whose `processed` is unknown are not compared."""
    sizes: dict[tuple[Source, str, bool], dict[TopicPartition, int]] = defaultdict(dict)
    running = checkpoint_batch is not None and checkpoint_batch == (-1 if last_batch is None else last_batch) + 1
    for source, evidence in ((Source.GROUP, group_committed), (Source.CHECKPOINT, checkpointed)):
        for at, found in evidence.items():
            right = processed.get(at)
            if right is None or found == right:
                continue
            if found > right:
                reason, expected = _ahead(source, approach, running)
            elif found >= settled.get(at, right):
                reason, expected = "a batch ended while it was read", True
            else:
                reason, expected = _BEHIND[source], False
            sizes[source, reason, expected][at] = found - right
    return [Disagreement(*kind, differing) for kind, differing in sizes.items()]


def _ahead(source: Source, approach: str, running: bool) -> tuple[str, bool]:
    """Why evidence is ahead of the batch log, and whether a healthy job shows that."""
    if source is Source.CHECKPOINT:
        if running:
            return "the batch after the last logged one runs, or waits to be run again", True
        return "the checkpoint is ahead of the batch log by more than the batch that runs: entries are missing", False
    if approach == "receiver":
        return "records were received and not processed yet", True
    return "the group is ahead of the batch log: somebody else commits to it, or set its offsets", False
