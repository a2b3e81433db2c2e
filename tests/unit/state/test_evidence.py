"""What a state directory says of its drivers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamops.state import drivers, evidence, generations, lease
from streamops.state.batch_log import Entry, entry_path, head_path
from streamops.state.drivers import DriverRecord
from streamops.state.generations import Generation
from streamops.state.lease import Beat, JobState, Lease, Owner, OwnerKind
from streamops.state.offsets import OffsetRange

OWNER = Owner(OwnerKind.AIRFLOW, "stream_lines", "run-1", "driver", 1)
RECORD = DriverRecord("driver-1", "lines", OWNER, "2026-11-20T03:00:00.000+00:00")
LEASE = Lease("lines", 3, "driver-1", OWNER, "host", 1, "2026-11-20T03:00:01.000+00:00")
GENERATION = Generation("lines", 1, "direct", {}, "first start", "2026-11-20T03:00:02.000+00:00")
ENTRY = Entry("lines", 1, 0, (OffsetRange("lines", 0, 0, 5),), 5, None, 3, "driver-1", 1, "", "", 1)


class Memory:
    """A state directory in memory."""

    def __init__(self, **files: str) -> None:
        self.files = {name.replace("__", "/"): text for name, text in files.items()}

    def with_(self, path: str, text: str) -> Memory:
        self.files[path] = text
        return self

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def names(self, directory: str) -> list[str]:
        return [path.rsplit("/", 1)[1] for path in self.files if path.rsplit("/", 1)[0] == directory]


def started() -> Memory:
    return Memory().with_(drivers.path("driver-1"), RECORD.to_json()).with_(lease.path(3), LEASE.to_json())


def logged(entry: Entry) -> Memory:
    return (started().with_(generations.path(1), GENERATION.to_json()).with_(entry_path(1, 0), entry.to_json())
            .with_(head_path(1), '{"batch": 0}'))


def beating(state: JobState) -> Memory:
    return started().with_(lease.beat_path(3), Beat(3, "", state).to_json())


@pytest.mark.parametrize(("files", "proof"), [
    pytest.param(Memory(), None, id="nothing"),
    pytest.param(started(), None, id="it holds the lease"),
    pytest.param(beating(JobState.STARTING), None, id="it is starting"),
    pytest.param(beating(JobState.RESTARTING), None, id="its query fails"),
    pytest.param(beating(JobState.IDLE), "idle", id="a topic without data"),
    pytest.param(beating(JobState.RUNNING), "running", id="it says that it runs"),
    pytest.param(logged(ENTRY), "batch 0 of generation 1", id="its batch is in the log"),
    pytest.param(logged(replace(ENTRY, driver="driver-0")), None, id="only another driver's batch is"),
])
def test_what_shows_that_a_job_has_started(files: Memory, proof: str | None) -> None:
    found = evidence.proof_of_start(files, "driver-1")
    assert (found is None) == (proof is None)
    assert proof is None or proof in str(found)


def test_every_driver_is_known_once_oldest_first() -> None:
    later = replace(RECORD, driver="driver-2", started_at="2026-11-20T04:00:00.000+00:00", stop_kind="lease_lost")
    known = evidence.known_drivers(started().with_(drivers.path("driver-2"), later.to_json()))
    assert [(each.driver, each.holds_lease, each.ended_itself) for each in known] == [
        ("driver-1", True, False), ("driver-2", False, True),
    ]


def test_a_holder_without_a_record_is_known_too() -> None:
    [known] = evidence.known_drivers(Memory().with_(lease.path(3), LEASE.to_json()))
    assert (known.driver, known.owner, known.holds_lease) == ("driver-1", OWNER, True)


@pytest.mark.parametrize(("files", "said"), [
    pytest.param(Memory(), "has not reached the job", id="no record"),
    pytest.param(Memory().with_(drivers.path("driver-1"), RECORD.to_json()), "asks for the lease", id="a record"),
    pytest.param(Memory().with_(drivers.path("driver-1"), RECORD.to_json())
                 .with_(lease.path(4), replace(LEASE, epoch=4, driver="driver-0").to_json()), "driver driver-0 holds",
                 id="another one holds it"),
    pytest.param(beating(JobState.STARTING), "is starting", id="it holds the lease"),
])
def test_how_far_a_driver_has_come(files: Memory, said: str) -> None:
    assert said in evidence.progress(files, "driver-1")


@pytest.mark.parametrize(("other", "expected"), [
    pytest.param({}, True, id="the same submission, later, under an id of its own"),
    pytest.param({"version": "77ab0e1f0c9d"}, False, id="another version"),
    pytest.param({"owner": Owner(OwnerKind.SHELL)}, False, id="somebody else's"),
    pytest.param({"started_at": "2026-11-20T02:00:00.000+00:00"}, False, id="an earlier one"),
    pytest.param({"driver": "driver-1", "started_at": RECORD.started_at}, False, id="itself"),
])
def test_the_successor_of_a_driver_whose_worker_was_lost(other: dict[str, object], expected: bool) -> None:
    lost = replace(RECORD, version="3f9a0c1d52ab")
    later = {"driver": "driver-2", "started_at": "2026-11-20T03:10:00.000+00:00", **other}
    successor = replace(lost, **later)  # type: ignore[arg-type]  # the test's own
    files = Memory()
    for record in (lost, successor):
        files.with_(drivers.path(record.driver), record.to_json())
    known = {each.driver: each for each in evidence.known_drivers(files)}
    assert evidence.has_successor(known["driver-1"], known.values()) == expected
