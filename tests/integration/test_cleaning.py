"""Cleanups on a real file system, HDFS and broker: plan, apply, list, restore, and what must not happen."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest
from kafka.admin import NewTopic

from streamops.adapters.cleaning import lock
from streamops.adapters.connections import Connection
from streamops.adapters.database.points import Points
from streamops.adapters.database.session import Database
from streamops.cleaning.quarantined import DIRECTORY
from streamops.points.recovery_points import RecoveryPoint
from streamops.stack.java import java
from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack
from streamops.state.lease import JobState
from streamops.state.offsets import TopicPartition

from .cleaned import GOING, LOGS, OLD_LOG, START_2, Cleaned
from .declared import connected

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

REFUSED, UNAVAILABLE, CONFIGURATION = 3, 4, 2


@pytest.fixture(scope="module")
def topic(kafka: str) -> str:
    """A topic of one partition."""
    name = f"cleaned-{uuid.uuid4().hex[:8]}"
    with connected(kafka) as broker:
        broker.admin.create_topics([NewTopic(name, 1, 1)])
        broker.await_topics({name: 1})
    return name


@pytest.fixture
def cleaned(kafka: str, topic: str, tmp_path: Path) -> Cleaned:
    return Cleaned.made(tmp_path, kafka, topic)


@pytest.fixture(scope="module")
def on_hdfs(hdfs: Connection, kafka: str, topic: str, tmp_path_factory: pytest.TempPathFactory) -> Cleaned:
    """Every test that has it leaves it as it was."""
    return Cleaned.made(tmp_path_factory.mktemp("on_hdfs"), kafka, topic, hdfs)


# HDFS has a round trip of its own below, when it comes out of safe mode.
@pytest.fixture(params=["file", pytest.param("hdfs", marks=pytest.mark.long)])
def anywhere(request: pytest.FixtureRequest) -> Cleaned:
    found: Cleaned = request.getfixturevalue("cleaned" if request.param == "file" else "on_hdfs")
    return found


def test_what_is_proven_goes_and_comes_back_as_it_was(anywhere: Cleaned) -> None:
    before = anywhere.content()
    plan = anywhere.plan("lines")
    assert {path: item["rule"] for path, item in plan.items() if item["proof"]} == GOING
    kept = {path: (item["reason"], item["words"]) for path, item in plan.items() if not item["proof"]}
    unprocessed, newest = list(LOGS)[1:]
    assert kept[unprocessed] == ("unprocessed", f"it holds {anywhere.topic}-0 up to 40, and 30 is processed")
    assert kept[newest][0] == "in_use"
    assert kept["output/generation=1/batch=0/part-00000.parquet"][0] == "no_rule"
    assert anywhere.content() == before, "a plan changes nothing"

    said = anywhere.run("clean", "apply", "lines", "--yes")
    assert f"lines: {len(GOING)} taken" in said
    assert anywhere.content() == {path: each for path, each in before.items() if path not in GOING}
    held = anywhere.lines("clean", "list", "lines")
    assert {each["path"]: each["rule"] for each in held} == GOING
    assert all(each["proof"] for each in held)
    assert "lines: 0 taken" not in anywhere.run("clean", "apply", "lines", "--yes"), "a second one finds nothing"

    anywhere.run("clean", "restore", "lines", OLD_LOG)
    assert OLD_LOG in anywhere.content()
    assert "things are back at their places, 0 stay" in anywhere.run("clean", "restore", "lines")
    assert anywhere.content() == before
    assert anywhere.lines("clean", "list", "lines") == []


def test_purged_only_after_its_time(cleaned: Cleaned) -> None:
    cleaned.run("clean", "apply", "lines", "--yes")
    in_quarantine = {path: item for path, item in cleaned.plan("lines").items() if path.startswith(DIRECTORY)}
    assert {item["reason"] for item in in_quarantine.values()} == {"young"}
    assert len(in_quarantine) == len(GOING)
    cleaned.declare("min_age_h: 0, leftover_h: 0, quarantine_d: 0")
    assert f"lines: {len(GOING)} taken" in cleaned.run("clean", "apply", "lines", "--yes")
    assert cleaned.lines("clean", "list", "lines") == []
    assert [path.name for path in (cleaned.root / "lines" / DIRECTORY).iterdir()] == ["lock"]
    assert not (cleaned.root / "lines" / "checkpoint/000001").exists(), "folders that became empty are gone"


def test_groups_of_starts_that_ended(cleaned: Cleaned) -> None:
    ended, before_newest, newest = cleaned.commit_groups()
    plan = cleaned.plan("lines")
    assert {plan[name]["rule"] for name in (ended, before_newest, newest)} == {"consumer_group"}
    assert [bool(plan[name]["proof"]) for name in (ended, before_newest, newest)] == [True, True, False]
    cleaned.run("clean", "apply", "lines", "--yes")
    assert [cleaned.group(name) for name in (ended, before_newest)] == [{}, {}]
    assert cleaned.group(newest) == {TopicPartition(cleaned.topic, 0): 30}
    held = {each["path"] for each in cleaned.lines("clean", "list", "lines") if each["rule"] == "consumer_group"}
    assert held == {f"groups/{ended}", f"groups/{before_newest}"}
    cleaned.run("clean", "restore", "lines")
    assert cleaned.group(ended) == {TopicPartition(cleaned.topic, 0): 10}
    assert cleaned.group(before_newest) == {TopicPartition(cleaned.topic, 0): 20}


def test_folders_of_no_one_pipeline(cleaned: Cleaned) -> None:
    plan = cleaned.plan("code", "work", "events")
    assert {path: (item["rule"], bool(item["proof"]), item["reason"]) for path, item in plan.items()} == {
        "3f9a0c1d52ab": ("code", True, None), "77ab0e1f0c9d": ("code", True, None),
        # Whether an application lives only a master can say, and none answers.
        "app-20261120030000-0001": ("event_log", False, "unproven")}
    cleaned.run("clean", "apply", "code", "--yes")
    assert sorted(path.name for path in (cleaned.root / "home" / "code").iterdir()) == [DIRECTORY]
    cleaned.run("clean", "restore", "code", "3f9a0c1d52ab")
    assert (cleaned.root / "home/code/3f9a0c1d52ab/streamops-3f9a0c1d52ab.zip").read_text() == "zip"
    assert [each["path"] for each in cleaned.lines("clean", "list", "code")] == ["77ab0e1f0c9d"]


def test_points_past_retention_go_but_those_that_somebody_holds(cleaned: Cleaned) -> None:
    store = Points(Database.of(Connection("db", "generic", extra={"url": f"sqlite:///{cleaned.root}/streamops.db"})))
    numbers = [store.insert(RecoveryPoint(
        "lines", "receiver", f"2020-01-01T03:00:0{second}+00:00", None, None, None, None, None, {}, {}), None)
        for second in range(4)]
    cleaned.run("offsets", "hold", str(numbers[1]), "--for", "a test")
    cleaned.run("clean", "apply", "lines", "--yes")
    assert sorted(each.id for each in store.summaries("lines")) == [numbers[1], numbers[3]]


# What is so by the time of acting

def saved_plan(cleaned: Cleaned) -> str:
    file = cleaned.root / "plan.jsonl"
    file.write_text("".join(line for line in cleaned.run("clean", "plan", "lines", "--json").splitlines(keepends=True)
                            if line.startswith("{")))
    return str(file)


def test_what_changed_since_the_plan_is_kept(cleaned: Cleaned) -> None:
    plan = saved_plan(cleaned)
    before = cleaned.content()
    cleaned.files.replace("output/_aside/1-9-1/part-00000.parquet", "more rows")
    cleaned.files.delete("generations/.000002.json.6b1f.tmp")
    cleaned.hold_lease(3, JobState.RUNNING, "driver-2")  # a driver started
    ended = {line["path"]: line for line in cleaned.lines("clean", "apply", "--plan", plan, "--yes")}
    assert ended["output/_aside/1-9-1/part-00000.parquet"]["reason"] == "changed"
    assert ended["generations/.000002.json.6b1f.tmp"]["reason"] == "gone"
    assert set(before) - set(cleaned.content()) == {
        *(path for path, rule in GOING.items() if rule in ("generation", "write_ahead_log")),
        "generations/.000002.json.6b1f.tmp"}, "what is proven whoever lives has gone"


def test_a_driver_that_started_meanwhile_keeps_what_is_its_own(cleaned: Cleaned) -> None:
    temporary = f"{START_2}/.checkpoint.6b1f.tmp"
    cleaned.files.replace(temporary, "{}")
    plan = saved_plan(cleaned)
    assert json.loads(next(line for line in Path(plan).read_text().splitlines() if temporary in line))["proof"]
    cleaned.hold_lease(3, JobState.RUNNING, "driver-2")
    ended = {line["path"]: line for line in cleaned.lines("clean", "apply", "--plan", plan, "--yes")}
    assert ended[temporary]["reason"] == "in_use"
    assert temporary in cleaned.content()


def test_a_plan_of_something_else_is_refused(cleaned: Cleaned) -> None:
    plan = Path(saved_plan(cleaned))
    plan.write_text(plan.read_text().replace(f"{cleaned.root}/lines", f"{cleaned.root}/orders"))
    assert "not its place now" in cleaned.run("clean", "apply", "--plan", str(plan), code=REFUSED)
    plan.write_text('{"x": 1}\n')
    assert "no plan of a cleanup" in cleaned.run("clean", "apply", "--plan", str(plan), code=5)


def test_two_at_once_exclude_each_other(cleaned: Cleaned) -> None:
    before = cleaned.content()
    with lock.held(cleaned.files, "lines", print):
        assert "another cleanup of lines works" in cleaned.run("clean", "apply", "lines", "--yes", code=REFUSED)
    assert cleaned.content() == before


@pytest.mark.long  # tests/unit/adapters/cleaning/test_quarantine.py kills before every single step
def test_killed_in_the_middle_the_next_run_goes_on(cleaned: Cleaned) -> None:
    many = {f"output/_aside/1-{batch}-1/part-{number:05d}.parquet": f"{batch} {number}"
            for batch in range(10, 30) for number in range(100)}
    for path, text in many.items():
        file = cleaned.root / "lines" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    before = cleaned.content()
    quarantine = cleaned.root / "lines" / DIRECTORY

    def moved() -> int:
        return sum(len(files) for folder, _, files in os.walk(quarantine) if "/files" in folder)

    def killed_after(count: int, *arguments: str) -> None:
        process = cleaned.start("clean", *arguments)
        at_first = moved()
        # Looked at often: it moves thousands a second, and is to be killed among them.
        while abs(moved() - at_first) < count and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        everything = {**{str(path.relative_to(quarantine)).split("/files/", 1)[1]: path
                         for path in quarantine.glob("*/files/**/*") if path.is_file()},
                      **{path: cleaned.root / "lines" / path for path in cleaned.content()}}
        assert {path: file.read_bytes().decode("latin-1") for path, file in everything.items()} == {
            path: text for path, (text, _) in before.items()}, "everything is somewhere, whole"

    for count in (1, 550):  # 500 are a chunk: in the first, and in the second
        killed_after(count, "apply", "lines", "--yes")
    assert "an earlier cleanup" in cleaned.run("clean", "apply", "lines", "--yes")
    assert not set(many) & set(cleaned.content())
    for count in (1, 600):
        killed_after(count, "restore", "lines")
    cleaned.run("clean", "restore", "lines")
    assert cleaned.content() == before


# Storage that refuses

def without_rights() -> None:
    """To be called in a new process: what root may do to files of anybody, it may not."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE


def test_lost_permissions_are_an_error_and_lose_nothing(cleaned: Cleaned) -> None:
    before = cleaned.content()
    place = (cleaned.root / "lines" / OLD_LOG).parent
    place.chmod(0o555)
    try:
        said = cleaned.run("clean", "apply", "lines", "--yes", code=CONFIGURATION, before=without_rights)
        assert "denies access" in said
        assert "Grant the user" in said
    finally:
        place.chmod(0o755)
    assert OLD_LOG in cleaned.content()
    cleaned.run("clean", "apply", "lines", "--yes")
    cleaned.run("clean", "restore", "lines")
    assert cleaned.content() == before


def admin(settings: StackSettings, *arguments: str) -> str:
    """Hadoop's own administration tool."""
    from streamops.adapters.spark.install import spark_home

    ran = subprocess.run(
        [java(), "-XX:TieredStopAtLevel=1", "-cp",
         f"{settings.data / 'hdfs' / 'conf'}:{settings.jars / 'hdfs'}/*:{spark_home() / 'jars'}/*",
         "org.apache.hadoop.hdfs.tools.DFSAdmin", *arguments], capture_output=True, text=True, timeout=120, check=True)
    return ran.stdout


def test_safe_mode_of_hdfs_is_an_error_and_loses_nothing(on_hdfs: Cleaned, stack: Stack) -> None:
    before = on_hdfs.content()
    admin(stack.settings, "-safemode", "enter")
    try:
        began_s = time.monotonic()
        said = on_hdfs.run("clean", "apply", "lines", "--yes", code=UNAVAILABLE)
        assert "safe mode" in said
        assert on_hdfs.plan("lines"), "what only reads goes on"
        assert on_hdfs.content() == before
        assert time.monotonic() - began_s < 60
    finally:
        admin(stack.settings, "-safemode", "leave")
    on_hdfs.run("clean", "apply", "lines", "--yes")
    assert not set(GOING) & set(on_hdfs.content())
    on_hdfs.run("clean", "restore", "lines")
    assert on_hdfs.content() == before
