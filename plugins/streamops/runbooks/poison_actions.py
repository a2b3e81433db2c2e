"""What the runbook poison_record does beside starting the pipeline: a skip given, awaited, and withdrawn."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

from streamops.actions import snapshots
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.pipelines.files import state_files
from streamops.errors import AlarmError, RefusedError
from streamops.runbooks.case import Case
from streamops.state import batch_log, skips
from streamops.state.batch_log import Entry
from streamops.state.proofs import ProvenRecord
from streamops.state.skips import Skip

#: Who holds the recovery point from before the last skip.
HOLDER = "before the last skipped records"

_POLL_S = 1.0


def allow(case: Case, records: tuple[ProvenRecord, ...], generation: int, batch: int, topic: str) -> None:
    """Let these records of the batch go to the dead-letter topic. Safe to repeat.

    Raises RefusedError when somebody gave another skip in the same moment, and what the database raises.
    """
    files, pipeline = state_files(case.pipeline), case.pipeline.name
    found = skips.newest(files)
    at = datetime.now(UTC)
    wanted = Skip(pipeline, found.number + 1 if found is not None else 1, generation, batch, topic, records, case.by,
                  at.isoformat(timespec="milliseconds"))
    if found is not None and _is_same(found, wanted):
        case.say(f"skip {found.number} allows it already: {found.by} at {found.at}")
        return
    points = snapshots.store()
    [taken] = snapshots.take([case.pipeline], points, case.say)
    points.hold(taken.number, HOLDER, at)
    for each in points.summaries(pipeline):
        if HOLDER in each.holders and each.id != taken.number:
            points.release(each.id, HOLDER)
    if not files.write_new(skips.path(wanted.number), wanted.to_json()):
        raise RefusedError(f"somebody else gave skip {wanted.number} of {pipeline} in this moment",
                           "Nothing was changed. Run the runbook again.")
    case.say(f"skip {wanted.number}: {len(records)} of the records of batch {batch} of generation {generation} may go "
             f"to {topic}; where the pipeline stood before is recovery point {taken.number}")


def await_batch(case: Case, generation: int, batch: int) -> str:
    """What the batch log says of the batch, once it is there. Raises AlarmError when a start is over without it."""
    files, deadline_s = state_files(case.pipeline), time.monotonic() + case.pipeline.start_timeout_s
    while (entry := _logged(files, generation, batch)) is None:
        if time.monotonic() >= deadline_s:
            raise AlarmError(f"batch {batch} of generation {generation} of {case.pipeline.name} is not in the batch "
                             f"log after {case.pipeline.start_timeout_s:.0f} s",
                             f"See what its driver says: streamops status {case.pipeline.name}")
        time.sleep(_POLL_S)
    if not entry.dead_letters:
        return f"batch {batch} of generation {generation} is in the batch log with all its records: none fails now"
    return (f"batch {batch} of generation {generation} is in the batch log; of its records, {entry.dead_letters} went "
            "to the dead-letter topic")


def withdraw(case: Case, generation: int, batch: int) -> str | None:
    """Take back a skip that this call gave, while its batch is not done; what was done."""
    files = state_files(case.pipeline)
    found = skips.standing(files, generation, batch)
    if found is None or _logged(files, generation, batch) is not None:
        return None
    nothing = replace(found, number=found.number + 1, records=(), by=case.by,
                      at=datetime.now(UTC).isoformat(timespec="milliseconds"))
    if not files.write_new(skips.path(nothing.number), nothing.to_json()):
        return None  # somebody gave another one meanwhile, which holds
    return f"withdrew skip {found.number}: no record of batch {batch} of generation {generation} may be left out"


def _logged(files: StateFiles, generation: int, batch: int) -> Entry | None:
    """The batch's entry; None while there is none."""
    entry = next(batch_log.entries(files, generation, batch), None)
    return entry if entry is not None and entry.batch == batch else None


def _is_same(found: Skip, wanted: Skip) -> bool:
    return (found.generation, found.batch, found.dead_letter_topic, found.offsets) == (
        wanted.generation, wanted.batch, wanted.dead_letter_topic, wanted.offsets)
