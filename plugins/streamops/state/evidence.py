"""What a pipeline's state directory says of its drivers: who holds the lease, who started, why one ended.

Pure but for reading files, through whatever has `read` and `names` (see batch_log.Files).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streamops.state import batch_log, drivers, generations, lease, numbered_files
from streamops.state.batch_log import Files
from streamops.state.drivers import DriverRecord
from streamops.state.lease import Beat, JobState, Lease, Owner


@dataclass(frozen=True)
class KnownDriver:
    """A driver that the state directory knows, by its record or by the lease it holds."""

    driver: str
    owner: Owner
    started_at: str
    holds_lease: bool
    record: DriverRecord | None = None

    @property
    def ended_itself(self) -> bool:
        return self.record is not None and self.record.stop_kind is not None


def holder(files: Files) -> Lease | None:
    """The newest lease, whether its holder lives or not; None when nobody ever held it."""
    epoch = numbered_files.latest(files.names(lease.DIRECTORY))
    text = files.read(lease.path(epoch)) if epoch is not None else None
    return Lease.from_json(text) if text else None


def beat(files: Files, epoch: int) -> Beat | None:
    """The last sign of life under a lease."""
    text = files.read(lease.beat_path(epoch))
    return Beat.from_json(text) if text else None


def record(files: Files, driver: str) -> DriverRecord | None:
    text = files.read(drivers.path(driver))
    return DriverRecord.from_json(text) if text else None


def known_drivers(files: Files) -> list[KnownDriver]:
    """Every driver with a record, and the holder of the lease, oldest first."""
    held = holder(files)
    known: dict[str, KnownDriver] = {}
    for name in files.names(drivers.DIRECTORY):
        if name.endswith(".json") and (found := record(files, name.removesuffix(".json"))) is not None:
            holds = held is not None and held.driver == found.driver
            known[found.driver] = KnownDriver(found.driver, found.owner, found.started_at, holds, found)
    if held is not None and held.driver not in known:
        known[held.driver] = KnownDriver(held.driver, held.owner, held.taken_at, holds_lease=True)
    return sorted(known.values(), key=lambda each: (each.started_at, each.driver))


def has_successor(driver: KnownDriver, known: Iterable[KnownDriver]) -> bool:
    """Whether the driver has started that Spark submits in place of one whose worker was lost.

    It has an id of its own, and is the same submission otherwise: of the same version, for the same owner, and later.
    """
    mine = driver.record
    return mine is not None and any(
        other.record is not None and other.driver != driver.driver and other.started_at > driver.started_at
        and (other.record.version, other.owner) == (mine.version, mine.owner) for other in known)


def proof_of_start(files: Files, driver: str) -> str | None:
    """What shows that a driver's job has really started, in words; None while nothing does.

    That is a batch of this driver's in the batch log, or, on topics without data, its word that it asked Kafka and
    there was nothing to read.
    """
    number = numbered_files.latest(files.names(generations.DIRECTORY))
    head = batch_log.read_head(files, number) if number is not None else None
    if head is not None and head.driver == driver:
        return f"batch {head.batch} of generation {head.generation} is in the batch log"
    held = holder(files)
    if held is not None and held.driver == driver:
        last = beat(files, held.epoch)
        if last is not None and last.state in (JobState.RUNNING, JobState.IDLE):
            return f"it holds lease {held.epoch} and is {last.state}"
    return None


def progress(files: Files, driver: str) -> str:
    """One line on how far a driver has come that has not started yet."""
    held = holder(files)
    if held is not None and held.driver == driver:
        last = beat(files, held.epoch)
        return f"it holds lease {held.epoch}, its job is {last.state if last else 'starting'}"
    if record(files, driver) is not None:
        other = f", which driver {held.driver} holds" if held is not None else ""
        return f"it runs, and asks for the lease{other}"
    return "its process has not reached the job yet"
