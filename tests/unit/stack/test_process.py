"""Servers as processes: found again, never confused with a stranger, ended with all they started. Real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from streamops.stack import process
from streamops.stack.process import Folder, Server

SLEEP = "import time; time.sleep(60)"
#: Starts a child in a session of its own, as Airflow's tasks and Spark's drivers may, and waits.
WITH_CHILD = (
    "import subprocess, sys, time;"
    f"subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True); time.sleep(60)"
)
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


def server(code: str, name: str = "sleeper", **given: float) -> Server:
    return Server(
        name=name,
        command=(sys.executable, "-c", code),
        environment=dict(os.environ),
        probe=lambda _started: "fine",
        stop_timeout_s=given.get("stop_timeout_s", 5.0),
    )


def wait_for(condition: Callable[[], object]) -> None:
    """Also for an environment: it reads as empty for an instant while a process starts."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path, stack_id=f"test-{os.getpid()}-{tmp_path.name}")
    yield made
    process.end(process.members(made), 0)


def test_it_is_found_again_by_its_pid_file(folder: Folder) -> None:
    started = process.start(server(SLEEP), folder)
    assert process.running("sleeper", folder) == started
    assert os.getpgid(started.pid) == started.pid, "it leads a group of its own"


def test_a_pid_file_that_means_a_stranger_is_not_believed(folder: Folder) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", SLEEP])
    wait_for(psutil.Process(stranger.pid).environ)
    try:
        record = {"pid": stranger.pid, "started": psutil.Process(stranger.pid).create_time() - 3600}
        folder.pid_file("sleeper").parent.mkdir(parents=True)
        folder.pid_file("sleeper").write_text(json.dumps(record))
        assert process.running("sleeper", folder) is None
        assert process.stop(server(SLEEP), folder) == []
        assert stranger.poll() is None, "the stranger lives"
        # The same second, but without the stack's mark: a stranger still.
        record["started"] += 3600
        folder.pid_file("sleeper").write_text(json.dumps(record))
        assert process.running("sleeper", folder) is None
        process.stop(server(SLEEP), folder)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1}', '{"pid": 999999999, "started": 1}'])
def test_a_damaged_pid_file_means_nobody(folder: Folder, text: str) -> None:
    folder.pid_file("sleeper").parent.mkdir(parents=True)
    folder.pid_file("sleeper").write_text(text)
    assert process.running("sleeper", folder) is None


def test_stopping_ends_what_it_started_in_another_session(folder: Folder) -> None:
    process.start(server(WITH_CHILD), folder)
    wait_for(lambda: len(process.members(folder, "sleeper")) == 2)
    assert process.stop(server(WITH_CHILD), folder) == []
    assert process.members(folder) == []
    assert not folder.pid_file("sleeper").exists()


def test_what_outlives_a_killed_server_is_found(folder: Folder) -> None:
    started = process.start(server(WITH_CHILD), folder)
    wait_for(lambda: len(process.members(folder, "sleeper")) == 2)
    started.send_signal(signal.SIGKILL)
    wait_for(lambda: process.running("sleeper", folder) is None)
    assert len(process.members(folder, "sleeper")) == 1
    assert process.stop(server(WITH_CHILD), folder) == []
    assert process.members(folder) == []


def test_one_that_ignores_sigterm_is_killed(folder: Folder) -> None:
    process.start(server(DEAF), folder)
    wait_for(lambda: "deaf" in folder.log("sleeper").read_text())
    assert process.stop(server(DEAF, stop_timeout_s=0.3), folder) == []
    assert process.members(folder) == []


def test_members_of_one_server_are_not_those_of_another(folder: Folder) -> None:
    one = process.start(server(SLEEP, "one"), folder)
    two = process.start(server(SLEEP, "two"), folder)
    wait_for(lambda: len(process.members(folder)) == 2)
    assert process.members(folder, "one") == [one]
    process.stop(server(SLEEP, "one"), folder)
    assert process.running("two", folder) == two


def test_a_process_is_its_sessions_whatever_mark_it_was_given(folder: Folder) -> None:
    """A Spark driver gets the environment of the Airflow task that submitted it, and is the worker's all the same."""
    given = {process.SERVER_MARK: "scheduler"}
    driver = (
        "import os, subprocess, sys, time;"
        f"subprocess.Popen([sys.executable, '-c', {SLEEP!r}], env={{**os.environ, **{given!r}}}); time.sleep(60)"
    )
    worker = process.start(server(driver, "worker"), folder)
    process.start(server(SLEEP, "scheduler"), folder)
    wait_for(lambda: len(process.members(folder)) == 3)
    assert len(process.members(folder, "scheduler")) == 1
    assert process.stop(server(SLEEP, "scheduler"), folder) == []
    assert len(process.members(folder, "worker")) == 2, "Airflow that stops stops no job"
    worker.send_signal(signal.SIGKILL)
    wait_for(lambda: process.running("worker", folder) is None)
    assert len(process.members(folder, "worker")) == 1, "also when the worker is gone"
    process.stop(server(driver, "worker"), folder)
    assert process.members(folder) == []


def test_another_stacks_processes_are_not_ours(folder: Folder, tmp_path: Path) -> None:
    started = process.start(server(SLEEP), folder)
    wait_for(started.environ)
    assert process.members(Folder(tmp_path, stack_id="another")) == []
    assert process.running("sleeper", Folder(tmp_path, stack_id="another")) is None


def test_a_large_log_is_set_aside(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_LOG_LIMIT_BYTES", 10)
    folder.log("sleeper").parent.mkdir(parents=True)
    folder.log("sleeper").write_text("much too long")
    process.start(server(SLEEP), folder)
    assert folder.log("sleeper").with_suffix(".log.1").read_text() == "much too long"
