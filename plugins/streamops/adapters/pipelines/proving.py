"""Proofs asked for: the check of a batch submitted to Spark, and its answer read (see streamops/state/proofs.py).

A proof is of records and of code, neither of which changes, so one that was given is used again.
"""

from __future__ import annotations

from collections.abc import Callable

from streamops.adapters.pipelines import state_evidence
from streamops.adapters.pipelines.drivers import PipelineDrivers
from streamops.adapters.spark.shell_submission import submit
from streamops.errors import UnavailableError
from streamops.running.driver_status import GONE
from streamops.state import evidence, failing_batch, proofs
from streamops.state.failing_batch import FailingBatch
from streamops.state.offsets import ranges_between
from streamops.state.proofs import Proof

#: Seconds for a proof, from submission: a start, then some ten short jobs for each bad record.
WITHIN_S = 300.0


def failing(drivers: PipelineDrivers) -> FailingBatch | None:
    """The batch that is planned and not done; None where there is none. Raises StateError, and what StateFiles does."""
    files, approach = drivers.files, str(drivers.pipeline.approach)
    at = state_evidence.log_position(files)
    if at.generation is None:
        return None
    planned = state_evidence.checkpointed(files, approach, at)
    following = at.last.batch + 1 if at.last is not None else 0
    if planned.batch != following:
        return None
    records = [each.record for each in evidence.known_drivers(files) if each.record is not None]
    return failing_batch.of(at.generation.number, following, ranges_between(at.processed, planned.ends), records,
                            at.last.finished_at if at.last is not None else at.generation.opened_at)


def prove(drivers: PipelineDrivers, found: FailingBatch, most_records: int, say: Callable[[str], None]) -> Proof:
    """Which records of the batch the transform cannot process, by the code as it is now.

    Raises UnavailableError where no master answers, no worker has room, or the check gives no answer in time.
    """
    job, request = drivers.proof(found.generation, found.batch, found.ranges, most_records)
    path = proofs.path(request.id)
    if (text := drivers.files.read(path)) is not None:
        known = Proof.from_json(text)
        if known.unproven is None and known.transform == drivers.pipeline.transform:
            return known
        drivers.files.delete(path)
    driver = submit(*drivers.to_submit(job), say)
    say(f"proving which records of {found} are bad, as driver {driver}; this changes nothing")
    seen = drivers.master.settled(driver, wait_s=WITHIN_S)
    if (text := drivers.files.read(path)) is not None:
        return Proof.from_json(text)
    if seen.standing not in GONE:
        drivers.master.kill_and_wait(driver)
        raise UnavailableError(
            f"the check which records are bad was not done after {WITHIN_S:.0f} s; driver {driver} was {seen} "
            f"({drivers.master.capacity()})", "See that the cluster has room for it, then try again.")
    tail = drivers.master.log_tail(driver)
    raise UnavailableError(f"the check which records are bad ended without an answer; driver {driver} is {seen}",
                           tail or "Its log cannot be reached.")
