"""Whether a version works: a batch of one of its drivers in the batch log, or why there will be none."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from streamops.adapters.files.state_files import StateFiles
from streamops.errors import LeaseLostError, StopOrderedError
from streamops.running import pipeline_status
from streamops.state import evidence, generations, versions
from streamops.state.drivers import FINISHED, DriverRecord
from streamops.state.lease import JobState
from streamops.state.offsets import Offsets

#: Deaths of a version's drivers without a batch after which it has failed: one may be chance.
DEATHS = 2

#: How a driver ends that says nothing of its version.
_NO_FAULT = frozenset({LeaseLostError.kind, StopOrderedError.kind, FINISHED})


@dataclass(frozen=True)
class Verdict:
    """`proof` says what shows that a version works, `failure` why it does not; both None while that is open."""

    proof: str | None = None
    failure: str | None = None


def judge(files: StateFiles, version: str, before: Collection[str], latest: Callable[[], Offsets | None]) -> Verdict:
    """What the drivers of a version show, but for those in `before`.

    `latest` gives Kafka's latest offsets, None where the pipeline reads a folder. Raises what it raises.
    """
    for entry in versions.last_batches(files):
        if entry.ranges and not entry.span:
            continue  # the first batch of a receiver's generation may be empty, and says nothing of the transform
        found = evidence.record(files, entry.driver)
        if found is not None and found.version == version and found.driver not in before:
            return Verdict(proof=f"batch {entry.batch} of generation {entry.generation}, by driver {entry.driver}, has "
                                 f"{entry.rows:,} rows of {entry.span:,} records")
        break
    if (why := failure(files, version, before)) is not None:
        return Verdict(failure=why)
    return Verdict(proof=_nothing_to_read(files, {each.driver for each in _of(files, version, before)}, latest))


def failure(files: StateFiles, version: str, before: Collection[str]) -> str | None:
    """Why the drivers of a version, but for those in `before`, will log no batch; None where they may yet."""
    mine = _of(files, version, before)
    for each in mine:
        if each.stop_kind is not None and each.stop_kind not in _NO_FAULT:
            return f"driver {each.driver} ended itself: {each.stop_kind}: {each.reason}"
    if sum(each.fruitless_deaths for each in mine) < DEATHS:
        return None
    said = [error for each in mine for error in (*(crash.error for crash in each.crashes), each.last_error) if error]
    return (f"driver {mine[-1].driver} died {sum(each.fruitless_deaths for each in mine)} times without a batch; "
            + (f"at last it said: {said[-1]}" if said else "it could not say why: killed, or out of memory"))


def _of(files: StateFiles, version: str, before: Collection[str]) -> list[DriverRecord]:
    return [each.record for each in evidence.known_drivers(files) if each.record is not None
            and each.record.version == version and each.driver not in before]


def _nothing_to_read(files: StateFiles, mine: set[str], latest: Callable[[], Offsets | None]) -> str | None:
    """A driver that works and has no record to show it by."""
    held = evidence.holder(files)
    last = evidence.beat(files, held.epoch) if held is not None and held.driver in mine else None
    if held is None or last is None or last.state not in (JobState.IDLE, JobState.RUNNING):
        return None
    generation, ends = generations.current(files), latest()
    if generation is None:
        return None
    newest = next(iter(versions.last_batches(files)), None)
    own = newest if newest is not None and newest.generation == generation.number else None
    processed = pipeline_status.positions(generation, own)
    if ends is not None and any(offset > processed.get(at, 0) for at, offset in ends.items()):
        return None
    return f"driver {held.driver} is {last.state}, and there is nothing to read: its code has not met a record yet"
