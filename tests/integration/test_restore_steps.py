"""Restores step by step on a real broker: what refuses them, commits that silently do nothing, kill -9, two at once.

No job runs here; what one would have written is written by the test. Restores of real jobs are in
tests/jobs/test_restored_streams.py.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kafka as kafka_python
import pytest
from kafka.admin import ACL, ACLOperation, ACLPermissionType, NewTopic, ResourcePattern, ResourceType

from streamops.adapters.kafka import consumer_groups
from streamops.adapters.pipelines import living
from streamops.adapters.pipelines.action_lease import held
from streamops.state import drivers, generations, lease
from streamops.state.generations import Generation
from streamops.state.lease import Beat, JobState, Lease, Owner, OwnerKind
from streamops.state.offsets import TopicPartition
from streamops.state.superseded import Span

from .declared import Declared, connected, made, send
from .running import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

REFUSED, STATE = 3, 5
ME = Owner(OwnerKind.SHELL)
AT = "2026-11-20T03:00:00+00:00"


@pytest.fixture
def declared(kafka: str, tmp_path: Path) -> Declared:
    """Three batches are processed, and some records wait: 30, 30 and 3 of 40, 30 and 5. The driver has stopped."""
    name = f"g-{uuid.uuid4().hex[:8]}"
    found = Declared(tmp_path, kafka, made(kafka), f"sqlite:///{tmp_path}/streamops.db", group=name)
    found.run("db", "upgrade")
    found.files.write_new(lease.path(1), Lease("lines", 1, "driver-1", ME, "host", 1, AT).to_json())
    found.files.replace(lease.beat_path(1), Beat(1, AT, JobState.STOPPED).to_json())
    send(kafka, found.topic, 40, 30, 5)
    found.processed(0, 10, 10, 0)
    found.processed(1, 20, 20, 1, before=(10, 10, 0))
    found.processed(2, 30, 30, 3, before=(20, 20, 1))
    return found


def at(declared: Declared, *offsets: int) -> dict[TopicPartition, int]:
    return {TopicPartition(declared.topic, number): offset for number, offset in enumerate(offsets)}


def stated(declared: Declared, *offsets: int) -> tuple[str, str]:
    return "--to-offsets", ",".join(f"{declared.topic}:{number}={offset}" for number, offset in enumerate(offsets))


def current(declared: Declared) -> Generation:
    found = generations.current(declared.files)
    assert found is not None
    return found


def planned(declared: Declared, *target: str, code: int = 0) -> dict[str, Any]:
    said = declared.run("offsets", "restore", "lines", *target, "--plan", "--json", code=code)
    found: dict[str, Any] = json.JSONDecoder().raw_decode(said, said.index("{"))[0]
    return found


def kinds(plan: dict[str, Any]) -> list[str]:
    return [each["kind"] for each in plan["refusals"]]


def group(declared: Declared) -> dict[TopicPartition, int]:
    with connected(declared.servers) as broker:
        return consumer_groups.offsets_of(broker, declared.group)


@contextmanager
def member(declared: Declared) -> Iterator[None]:
    """Somebody reads as a member of the pipeline's group."""
    consumer = kafka_python.KafkaConsumer(declared.topic, group_id=declared.group, enable_auto_commit=False,
                                          bootstrap_servers=declared.servers)
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            consumer.poll(timeout_ms=100)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        wait_until(lambda: bool(consumer.assignment()), "the member has partitions")
        yield
    finally:
        over.set()
        thread.join()
        consumer.close()


# What a restore does, and its undo

def test_a_restore_is_shown_done_and_undone(declared: Declared) -> None:
    plan = planned(declared, *stated(declared, 10, 10, 0))
    assert (plan["exact"], plan["replayed"], plan["skipped"], plan["is_open"]) == (True, 43, 0, False)
    assert current(declared).number == 1
    said = declared.run("offsets", "restore", "lines", *stated(declared, 10, 10, 0), "--yes")
    assert "the sink holds nothing twice" in said
    assert "read back: generation, superseded batches, topics and consumer group are as planned" in said
    restored = current(declared)
    assert (restored.number, restored.start) == (2, at(declared, 10, 10, 0))
    assert list(restored.superseded.spans) == [Span(1, 1)]
    assert group(declared) == at(declared, 10, 10, 0)
    assert restored.restored is not None
    points = json.loads(declared.run("offsets", "points", "lines", "--json"))
    assert [(each["point"], each["holders"]) for each in points] == [
        (restored.restored.undo_point, ["undo of the last restore"])]
    shown = json.loads(declared.run("status", "lines", "--json").split("\nstreamops")[0])["pipelines"][0]
    assert (shown["state"], shown["generation"]) == ("stopped", 2)
    assert shown["reason"] == "restored: to stated offsets, as generation 2"

    # The same once more: it is done.
    assert "was opened there already" in declared.run(
        "offsets", "restore", "lines", *stated(declared, 10, 10, 0), "--yes")
    assert current(declared) == restored

    for _ in range(2):  # and so is an undo
        declared.run("offsets", "undo", "lines", "--yes")
        undone = current(declared)
        assert (undone.number, undone.start) == (3, at(declared, 30, 30, 3))
        assert list(undone.superseded.spans) == [Span(1, 3), Span(2, 0)]
    assert group(declared) == at(declared, 30, 30, 3)
    assert {holder for each in json.loads(declared.run("offsets", "points", "lines", "--json"))
            for holder in each["holders"]} == set()


def test_overlapping_batches_are_named(declared: Declared) -> None:
    plan = planned(declared, "--by", "-5")
    assert (plan["exact"], plan["replayed"]) == (False, 13)
    assert [each["batch"] for each in plan["overlaps"]] == [1, 2]
    said = declared.run("offsets", "restore", "lines", "--by", "-5", "--plan")
    assert f"batch 2 of generation 1 stays, and holds {declared.topic}-0 from offset 25" in said
    assert "whoever reads the output leaves those rows of it out" in said


@pytest.mark.parametrize(("arguments", "code", "words"), [
    ((), 2, "a restore has one target, and none is stated"),
    (("--to-earliest", "--by", "3"), 2, "a restore has one target, and 2 is stated"),
    (("--to-time", "yesterday"), 2, "'yesterday' is no time"),
    (("--to-point", "999"), 2, "there is no recovery point 999"),
    (("--from-file", "/nowhere"), 2, "/nowhere cannot be read"),
    (("--to-offsets", "nothing:0=1"), 3, "Kafka has no partition nothing-0"),
])
def test_what_cannot_be_a_target_is_said(declared: Declared, arguments: tuple[str, ...], code: int, words: str) -> None:
    said = declared.run("offsets", "restore", "lines", *arguments, "--plan", code=code)
    assert words in said
    assert "Traceback" not in said


# Refusals

def test_a_living_driver_refuses_it(declared: Declared) -> None:
    over = threading.Event()

    def beat() -> None:
        for number in range(10**6):
            text = Beat(1, f"2026-11-20T03:{number // 60 % 60:02}:{number % 60:02}+00:00", JobState.RUNNING).to_json()
            declared.files.replace(lease.beat_path(1), text)
            if over.wait(0.5):
                return

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        said = declared.run("offsets", "restore", "lines", "--to-earliest", "--yes", code=REFUSED)
    finally:
        over.set()
        thread.join()
    assert "Refused: a living driver: driver-1, started by a person at a shell, which holds the lease" in said
    assert current(declared).number == 1


def test_a_living_member_of_the_group_refuses_it(declared: Declared) -> None:
    with member(declared):
        said = declared.run("offsets", "restore", "lines", "--to-earliest", "--yes", code=REFUSED)
    assert f"Refused: a living group member: kafka-python-{kafka_python.__version__}" in said
    assert current(declared).number == 1
    declared.run("offsets", "restore", "lines", "--to-earliest", "--yes")


def test_a_topic_that_was_made_again_refuses_offsets_of_the_old_one(declared: Declared) -> None:
    _, point = declared.snapshot()
    with connected(declared.servers) as broker:
        broker.admin.delete_topics([declared.topic])
        wait_until(lambda: declared.topic not in broker.topic_names(), "the topic is gone")
        broker.admin.create_topics([NewTopic(declared.topic, 3, 1)])
        broker.await_topics({declared.topic: 3})
        now = broker.observe_topics([declared.topic])[declared.topic].topic_id
    send(declared.servers, declared.topic, 40, 40, 40)
    number = json.loads(declared.run("offsets", "points", "lines", "--json"))[0]["point"]
    plan = planned(declared, "--to-point", str(number), code=REFUSED)
    assert kinds(plan) == ["topic made again"]
    assert f"(id {point.topic_ids[declared.topic]}, now {now})" in plan["refusals"][0]["found"]
    said = declared.run("offsets", "restore", "lines", "--to-point", str(number), "--yes", code=REFUSED)
    assert "Restore to earliest, latest or a time" in said
    declared.run("offsets", "restore", "lines", "--to-earliest", "--yes")
    # Nobody can process the old topic's records again, so its output goes on to count.
    assert list(current(declared).superseded.spans) == [Span(1, 3)]


def test_beyond_retention_is_refused_without_the_flag(declared: Declared) -> None:
    with connected(declared.servers) as broker:
        broker.admin.delete_records({kafka_python.TopicPartition(declared.topic, 0): 15})
    plan = planned(declared, *stated(declared, 10, 10, 0), code=REFUSED)
    assert kinds(plan) == ["beyond retention"]
    assert "retention has taken 5 records from 10 on" in plan["refusals"][0]["found"]
    declared.run("offsets", "restore", "lines", *stated(declared, 10, 10, 0), "--yes", code=REFUSED)
    assert current(declared).number == 1
    declared.run("offsets", "restore", "lines", *stated(declared, 10, 10, 0), "--yes", "--accept-loss")
    assert current(declared).start == at(declared, 15, 10, 0)


def test_a_restore_that_was_agreed_to_is_not_done_to_a_pipeline_that_went_on(declared: Declared) -> None:
    script = in_process(declared, "plan = restores.plan(TargetKind.EARLIEST, '')",
                        "print('planned', flush=True)", "input()",
                        "restores.apply(plan.decision, Owner(OwnerKind.SHELL))")
    until_said(script, "planned")
    declared.processed(3, 35, 30, 3, before=(30, 30, 3))
    said = script.communicate("\n", timeout=120)[1]
    assert "follows changed" in said
    assert current(declared).number == 1


# Commits that silently do nothing

def in_process(declared: Declared, *lines: str) -> subprocess.Popen[str]:
    """A process of its own with `restores`, which says `ready` first; ended by an error as the command line would."""
    body = "\n        ".join(("print('ready', flush=True)", *lines))
    script = f"""
import os, signal, sys
from streamops.actions import restores, snapshots
from streamops.adapters.kafka import consumer_groups
from streamops.adapters.pipelines import restore_history
from streamops.adapters.pipelines.files import declared
from streamops.errors import StreamopsError
from streamops.actions.restores import Restores
from streamops.restoring.targets import TargetKind
from streamops.state import generations
from streamops.state.lease import Owner, OwnerKind

def before(where, name, act):
    there = getattr(where, name)
    def wrapped(*given, **more):
        act()
        return there(*given, **more)
    setattr(where, name, wrapped)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

try:
    with Restores(declared().pipeline("lines"), snapshots.store(), say=print) as restores:
        {body}
except StreamopsError as error:
    sys.exit(f"{{error}}")
"""
    return subprocess.Popen([sys.executable, "-c", script], env=declared.environment(), text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


APPLY = "restores.apply(restores.plan(TargetKind.EARLIEST, '').decision, Owner(OwnerKind.SHELL))"


def test_a_member_that_sneaks_in_before_the_commit_is_caught(declared: Declared) -> None:
    """It comes when nobody looks any more: after everything was observed, just before the group is set."""
    script = in_process(declared, "wait = lambda: (print('now', flush=True), input())",
                        "before(consumer_groups, 'set_to', wait)", APPLY)
    until_said(script, "now")
    with member(declared):
        said = script.communicate("\n", timeout=120)[1]
    assert "was to stand at offset 0" in said
    assert "Kafka said UnknownMemberIdError" in said
    assert script.returncode == 1
    assert current(declared).number == 1
    declared.run("offsets", "restore", "lines", "--to-earliest", "--yes")
    assert current(declared).number == 2


def test_a_member_that_sneaks_in_after_the_commit_is_caught_by_the_last_look(declared: Declared) -> None:
    script = in_process(declared, "wait = lambda: (print('now', flush=True), input())",
                        "before(restore_history, 'write_superseded', wait)", APPLY)
    until_said(script, "now")
    consumer = kafka_python.KafkaConsumer(declared.topic, group_id=declared.group, enable_auto_commit=False,
                                          bootstrap_servers=declared.servers, auto_offset_reset="latest")
    wait_until(lambda: consumer.poll(timeout_ms=100) is not None and bool(consumer.assignment()), "it is a member")
    for each in consumer.assignment():
        consumer.seek_to_end(each)
        consumer.position(each)
    consumer.commit()
    said = script.communicate("\n", timeout=120)[1]
    consumer.close()
    assert "was to stand at offset 0" in said
    declared.run("offsets", "restore", "lines", "--to-earliest", "--yes")  # it finishes what was open
    assert current(declared).number == 2
    assert group(declared) == at(declared, 0, 0, 0)


def test_rights_that_are_missing_are_caught(declared: Declared) -> None:
    """Everybody may see the group, and nobody may commit."""
    pattern = ResourcePattern(ResourceType.GROUP, declared.group)
    with connected(declared.servers) as broker:
        broker.admin.create_acls([ACL("User:*", "*", ACLOperation.DESCRIBE, ACLPermissionType.ALLOW, pattern)])
    said = declared.run("offsets", "restore", "lines", "--to-earliest", "--yes", code=STATE)
    assert f"the group {declared.group} was to stand at offset 0" in said
    assert "Kafka said GroupAuthorizationFailedError" in said
    assert current(declared).number == 1
    assert "Traceback" not in said


# Interruptions

def until_said(script: subprocess.Popen[str], word: str) -> None:
    assert script.stdout is not None
    for line in script.stdout:
        if line.strip() == word:
            return
    assert script.stderr is not None
    raise AssertionError(script.stderr.read())


@pytest.mark.parametrize(("where", "step", "opened"), [
    pytest.param("Restores", "_take_undo_point", 1, id="before the undo point", marks=pytest.mark.long),
    pytest.param("Restores", "_set_group", 1, id="before the group is set", marks=pytest.mark.long),
    pytest.param("restore_history", "write", 1, id="before the generation is opened"),
    pytest.param("restore_history", "write_superseded", 2, id="before the copies", marks=pytest.mark.long),
    pytest.param("Restores", "_read_back", 2, id="before it is read back", marks=pytest.mark.long),
])
def test_a_restore_killed_at_any_step_is_finished_by_a_repeat(
    declared: Declared, where: str, step: str, opened: int
) -> None:
    killed = in_process(declared, f"before({where}, {step!r}, die)", APPLY)
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert current(declared).number == opened
    # The killed one holds the lease, and is silent: whoever comes next watches it for as long as a beat may be late.
    began = time.monotonic()
    declared.run("offsets", "restore", "lines", "--to-earliest", "--yes")
    assert time.monotonic() - began > lease.TTL_S
    assert (current(declared).number, current(declared).start) == (2, at(declared, 0, 0, 0))
    assert list(current(declared).superseded.spans) == [Span(1, 0)]
    assert group(declared) == at(declared, 0, 0, 0)
    declared.run("offsets", "undo", "lines", "--yes")
    assert (current(declared).start, list(current(declared).superseded.spans)) == (
        at(declared, 30, 30, 3), [Span(1, 3), Span(2, 0)])


def test_two_restores_at_once_open_one_generation(declared: Declared) -> None:
    """One is done, the others find the lease taken, or a pipeline that is not as they planned.

    To different places, whatever came before: one that is open already would be read back, and no other opened.
    """
    between = json.dumps({declared.topic: {"0": 10, "1": 10, "2": 1}})
    targets = (("--to-earliest",), ("--to-offsets", between), ("--to-latest",))
    running = [declared.start("offsets", "restore", "lines", *target, "--yes") for target in targets]
    said = [process.communicate(timeout=120) for process in running]
    codes = sorted(process.returncode for process in running)
    assert codes.count(0) >= 1, said
    assert set(codes) <= {0, REFUSED}, said
    # One that began when another had ended has planned from there.
    assert current(declared).number == 1 + codes.count(0), said


def test_a_driver_finds_the_lease_of_a_restore_taken_and_after_it_free(declared: Declared) -> None:
    files = declared.files
    with held(files, "lines", "restore", ME, after=1) as mine:
        said = declared.run("offsets", "restore", "lines", "--to-earliest", "--yes", code=REFUSED)
        assert "a living driver: restore-" in said
        mine.check()
    last = Beat.from_json(files.read(lease.beat_path(2)) or "")
    assert last.state is JobState.STOPPED
    record = drivers.DriverRecord.from_json(files.read(drivers.path(Lease.from_json(
        files.read(lease.path(2)) or "").driver)) or "")
    assert record.stopped_at is not None
    # Nobody is waited for then.
    began = time.monotonic()
    assert living.drivers(files, unreachable(), had_state=True, say=print).drivers == ()
    assert time.monotonic() - began < lease.TTL_S


def unreachable() -> Any:
    from streamops.adapters.spark.master import Cluster, SparkMaster

    return SparkMaster(Cluster(master="", rest=(), ui=()))
