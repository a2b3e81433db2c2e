"""The local backend without a stack: what it aims at, and what its signals do to plain processes."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from streamops.declared import pipelines
from streamops.drilling.backend import Victim
from streamops.drilling.local import LocalProcesses, lives
from streamops.drills.faults import Target
from streamops.errors import RefusedError
from streamops.settings import project_root
from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack

PIPELINE = pipelines.load(project_root() / "dags" / "pipelines.yaml").pipeline("canary_direct")


@pytest.fixture
def local(tmp_path: Path) -> LocalProcesses:
    return LocalProcesses(Stack(StackSettings(data=tmp_path, kafka_brokers=3)))


@pytest.fixture
def victim() -> Iterator[Victim]:
    with subprocess.Popen(["sleep", "60"]) as running:
        yield {"pid": running.pid, "started": psutil.Process(running.pid).create_time(), "server": None}
        running.kill()


def wait_until(holds: Callable[[], bool]) -> None:
    """The kernel carries a signal out soon, and not at once."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_of_three_brokers_is_chosen_by_chance(local: LocalProcesses) -> None:
    chosen = [local._server(Target.BROKER, PIPELINE, random.Random(seed)) for seed in range(20)]
    assert set(chosen) == {"kafka-1", "kafka-2", "kafka-3"}
    assert chosen[7] == local._server(Target.BROKER, PIPELINE, random.Random(7))


@pytest.mark.parametrize(("target", "instead"), [
    (Target.ZOOKEEPER, "streamops stack up --masters 2"),
    (Target.DATABASE, "streamops stack up --postgresql"),
    (Target.AIRFLOW_WORKER, "--fault scheduler"),
])
def test_what_the_stack_has_not_is_refused(local: LocalProcesses, target: Target, instead: str) -> None:
    with pytest.raises(RefusedError, match=f"no {target.replace('_', ' ')}") as refused:
        local.aim(target, PIPELINE, random.Random(7))
    assert instead in str(refused.value)


def test_what_does_not_run_is_refused_with_the_command_that_starts_it(local: LocalProcesses) -> None:
    with pytest.raises(RefusedError, match="streamops stack up spark-master"):
        local.aim(Target.MASTER, PIPELINE, random.Random(7))
    with pytest.raises(RefusedError, match="there is no driver"):
        local.aim(Target.EXECUTOR, PIPELINE, random.Random(7))


def test_a_network_is_cut_only_where_the_job_reads_through_the_proxy(
    local: LocalProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", json.dumps(
        {"conn_type": "kafka", "extra": {"bootstrap.servers": "127.0.0.1:9092"}}))
    with pytest.raises(RefusedError, match="does not read Kafka through the stack's proxy") as refused:
        local.aim(Target.NETWORK, PIPELINE, random.Random(7))
    assert "kafka_proxied" in str(refused.value)


def test_victims_stand_still_go_on_and_end(local: LocalProcesses, victim: Victim) -> None:
    found = psutil.Process(victim["pid"])
    local.pause([victim])
    wait_until(lambda: found.status() == psutil.STATUS_STOPPED)
    local.resume([victim])
    wait_until(lambda: found.status() != psutil.STATUS_STOPPED)
    local.revive([victim])
    local.kill([victim])
    assert not lives(victim["pid"], victim["started"]), "gone when it returns: what is reviving must find it so"
    found.wait(timeout=10)
    for again in (local.pause, local.resume, local.kill, local.end, local.revive):
        again([victim])


def test_a_number_that_another_process_has_by_now_is_no_victim(local: LocalProcesses, victim: Victim) -> None:
    other = {**victim, "started": victim["started"] - 60}
    local.kill([other])
    assert lives(victim["pid"], victim["started"])
    assert not lives(victim["pid"], other["started"])
