"""Versions and releases as they are kept beside the data, and which version worked last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.pipelines import trials
from streamops.adapters.pipelines.version_files import kept, released, submission_of, version_of
from streamops.adapters.spark.submission import Submission
from streamops.errors import ConfigurationError
from streamops.state import batch_log, drivers, generations, lease, releases, versions
from streamops.state.batch_log import Entry
from streamops.state.crash_loop import Crash
from streamops.state.drivers import DriverRecord
from streamops.state.generations import Generation
from streamops.state.job_spec import JobSpec
from streamops.state.lease import Beat, JobState, Lease, Owner, OwnerKind
from streamops.state.offsets import OffsetRange, Offsets, TopicPartition
from streamops.state.releases import Release, Stage

AT = "2026-11-20T03:00:00.000+00:00"
SHELL, START = Owner(OwnerKind.SHELL), Owner(OwnerKind.START)
SPEC = JobSpec("lines", "direct", ("lines",), {}, "file:///s/lines", "file:///s/lines/output", "word_count", "parquet",
               1, "earliest", "stop", "fail", SHELL)
P0 = TopicPartition("lines", 0)
TRIAL = Release("lines", 1, Stage.TRIAL, "new", "old", "alice@host", AT)


@pytest.fixture
def files(tmp_path: Path) -> StateFiles:
    return StateFiles((tmp_path / "state").as_uri())


@pytest.fixture
def deployed(tmp_path: Path) -> Submission:
    """What is deployed, with its code on disk."""
    folder = tmp_path / "code" / "aaaaaaaaaaaa"
    folder.mkdir(parents=True)
    archive, entry = folder / "streamops.zip", folder / "direct_stream.py"
    archive.touch()
    entry.touch()
    return Submission("lines", "app.jar", (str(entry), str(archive), SPEC.to_json()), str(archive), "Runner",
                      {"spark.x": "1"}, "512m", "1g", 1, 1)


def log(files: StateFiles, driver: str, version: str | None, batch: int, span: int = 7, generation: int = 1) -> None:
    """A driver of a version logs a batch."""
    files.replace(drivers.path(driver), DriverRecord(driver, "lines", SHELL, AT, version=version).to_json())
    taken = OffsetRange("lines", 0, batch * 7, batch * 7 + span)
    entry = Entry("lines", generation, batch, (taken,), 1, None, 1, driver, 1, AT, AT, 5)
    files.write_new(generations.path(generation),
                    Generation("lines", generation, "direct", {P0: 0}, "test", AT).to_json())
    files.write_new(batch_log.entry_path(generation, batch), entry.to_json())


def test_a_version_is_its_content_whoever_asks(files: StateFiles, deployed: Submission) -> None:
    version = version_of(deployed)
    entry, archive, _ = deployed.arguments
    by_another = (entry, archive, replace(SPEC, owner=START, supersedes=("driver-1",)).to_json())
    assert version_of(replace(deployed, arguments=by_another)).id == version.id
    changed = (entry, archive, replace(SPEC, transform="identity").to_json())
    assert version_of(replace(deployed, arguments=changed)).id != version.id
    assert version_of(replace(deployed, conf={"spark.x": "2"})).id != version.id
    assert versions.Version.from_json(version.to_json()) == version


def test_what_is_submitted_is_kept_and_can_be_submitted_again(files: StateFiles, deployed: Submission) -> None:
    job = kept(files, deployed)
    version = version_of(deployed)
    assert JobSpec.from_json(job.arguments[2]).version == version.id
    found = versions.read(files, version.id)
    assert found is not None
    again = submission_of(found, START, ["driver-1"])
    assert replace(again, arguments=job.arguments) == job
    assert JobSpec.from_json(again.arguments[2]) == replace(SPEC, owner=START, supersedes=("driver-1",),
                                                            version=version.id)
    Path(deployed.archive).unlink()
    with pytest.raises(ConfigurationError, match="the code of version"):
        submission_of(found, START, [])


@pytest.mark.parametrize(("stage", "wanted"), [
    (Stage.TRIAL, "new"), (Stage.ROLLING_BACK, "old"), (Stage.ROLLED_BACK, "old"), (Stage.DONE, None),
])
def test_a_release_says_what_is_to_run(stage: Stage, wanted: str | None) -> None:
    release = replace(TRIAL, stage=stage, error="no such column", before=("driver-1",))
    assert release.wanted == wanted
    assert Release.from_json(release.to_json()) == release
    assert "alice@host" in str(release)


def test_a_release_that_stands_is_what_anybody_submits(files: StateFiles, deployed: Submission) -> None:
    assert released(files, SHELL, ()) is None
    version = version_of(deployed)
    kept(files, deployed)
    files.write_new(releases.path(1), replace(TRIAL, stage=Stage.ROLLED_BACK, healthy=version.id).to_json())
    job = released(files, START, ["driver-7"])
    assert job is not None
    assert JobSpec.from_json(job.arguments[2]).supersedes == ("driver-7",)
    files.write_new(releases.path(2), replace(TRIAL, number=2, version="lost").to_json())
    with pytest.raises(ConfigurationError, match="version lost of lines"):
        released(files, START, ())
    files.write_new(releases.path(3), replace(TRIAL, number=3, stage=Stage.DONE).to_json())
    assert released(files, START, ()) is None


@pytest.mark.parametrize(("logged", "expected"), [
    pytest.param([("driver-1", "old", 0, 7, 1)], "old", id="its driver logged the last batch"),
    pytest.param([("driver-1", "old", 0, 7, 1), ("driver-2", "new", 1, 7, 1)], "new", id="the newest one's"),
    pytest.param([("driver-1", "old", 0, 7, 1), ("driver-2", "new", 0, 0, 2)], "old",
                 id="an empty batch, with which a receiver's generation may begin, proves nothing"),
    pytest.param([("driver-1", None, 0, 7, 1)], None, id="logged before versions were written down"),
    pytest.param([], None, id="nothing was logged"),
])
def test_the_version_that_worked_last(
    files: StateFiles, deployed: Submission, logged: Iterable[tuple[str, str | None, int, int, int]],
    expected: str | None,
) -> None:
    made = {name: replace(version_of(deployed), code=name) for name in ("old", "new")}
    for version in made.values():
        files.write_new(versions.path(version.id), version.to_json())
    for driver, name, batch, span, generation in logged:
        log(files, driver, made[name].id if name else None, batch, span, generation)
    found = versions.healthy(files)
    assert (found.code if found is not None else None) == expected


def record(**given: object) -> DriverRecord:
    return replace(DriverRecord("driver-2", "lines", SHELL, AT, version="new"), **given)


DIED = Crash(AT, "OSError: disk")


@pytest.mark.parametrize(("said", "expected"), [
    pytest.param(record(), None, id="it starts"),
    pytest.param(record(last_error="OSError: disk"), None, id="it died once, which may be chance"),
    pytest.param(record(crashes=(DIED,), last_error="ValueError: no"), "2 times without a batch; at last it said: Val",
                 id="it died twice"),
    pytest.param(record(crashes=(Crash(AT), Crash(AT))), "could not say why", id="it was killed twice"),
    pytest.param(record(crashes=(replace(DIED, has_progressed=True), DIED)), None, id="one of them had logged a batch"),
    pytest.param(record(stop_kind="transform", reason="no such column"), "transform: no such column",
                 id="ended itself"),
    pytest.param(record(stop_kind="lease_lost", reason="driver-3"), None,
                 id="lost the lease, which says nothing of it"),
    pytest.param(record(stop_kind="stop_ordered", reason="alice"), None, id="was stopped by a person"),
    pytest.param(record(driver="driver-0", stop_kind="transform"), None, id="what it did in an earlier trial is void"),
    pytest.param(record(version="old", stop_kind="transform"), None, id="another version"),
])
def test_how_a_version_fails(files: StateFiles, said: DriverRecord, expected: str | None) -> None:
    files.write_new(drivers.path(said.driver), said.to_json())
    found = trials.failure(files, "new", ["driver-0"])
    assert (found is None) if expected is None else (expected in str(found))


def nothing() -> Offsets | None:
    raise AssertionError("Kafka need not be asked")


def test_a_batch_proves_a_version_and_an_older_one_does_not(files: StateFiles) -> None:
    log(files, "driver-1", "old", 0)
    assert trials.judge(files, "new", (), nothing) == trials.Verdict()
    log(files, "driver-2", "new", 1)
    assert "batch 1 of generation 1, by driver driver-2" in str(trials.judge(files, "new", (), nothing).proof)
    assert trials.judge(files, "new", ("driver-2",), nothing) == trials.Verdict(), "of an earlier trial"


@pytest.mark.parametrize(("state", "latest", "proves"), [
    (JobState.IDLE, {P0: 7}, True), (JobState.RUNNING, {P0: 7}, True), (JobState.IDLE, None, True),
    (JobState.IDLE, {P0: 8}, False), (JobState.STARTING, {P0: 7}, False),
])
def test_where_there_is_nothing_to_read_a_driver_that_looked_proves_itself(
    files: StateFiles, state: JobState, latest: Offsets | None, proves: bool
) -> None:
    log(files, "driver-1", "old", 0)
    files.write_new(drivers.path("driver-2"), record().to_json())
    files.write_new(lease.path(2), Lease("lines", 2, "driver-2", SHELL, "host", 7, AT).to_json())
    files.replace(lease.beat_path(2), Beat(2, AT, state).to_json())
    proof = trials.judge(files, "new", (), lambda: latest).proof
    assert (proof is not None) is proves
