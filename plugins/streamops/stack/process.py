"""One server as a process: started in a session of its own, found again, ended with everything it started.

Two things find a server's processes again, each of which alone would not do:

* its pid file holds the pid and the time that process started, so that a stale file never ends a stranger who got
  the same pid;
* environment variables that every descendant inherits name the stack and the server, so that what outlives its
  parent (Spark drivers after `kill -9` of the worker, Airflow tasks after `kill -9` of the scheduler) is found too.

Only these are ever signalled, one by one, and psutil compares start times again before each signal.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

#: Set in the environment of every process of a stack.
STACK_MARK = "STREAMOPS_STACK_ID"
SERVER_MARK = "STREAMOPS_STACK_SERVER"

#: psutil derives start times from the boot time, which moves a little when the clock is adjusted.
_START_TOLERANCE_S = 2.0
#: A log beyond this is set aside (one generation) when its server starts; servers hold their log open while they run.
_LOG_LIMIT_BYTES = 20 * 2**20

#: Says in a few words that a server is healthy, or raises UnavailableError. The argument is when its process started,
#: in seconds since the epoch, so that what an earlier process left behind (a heartbeat) is not taken for health.
Probe = Callable[[float], str]


@dataclass(frozen=True)
class Server:
    """What it takes to run one server, as data and two functions."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    probe: Probe
    #: Name of the setting that holds a port -> the port.
    ports: Mapping[str, int] = field(default_factory=dict)
    #: What must be done before the process starts (a data folder formatted, a database migrated).
    prepare: Callable[[], None] = lambda: None
    #: How long its own process may take to end after SIGTERM; then, or when it has ended, whatever is left is killed.
    stop_timeout_s: float = 20.0
    #: How long what it started may take to end after a SIGTERM of its own, once the server has ended.
    leftovers_timeout_s: float = 0.0
    #: Not started by a plain `up`, but healed by it once it has been started.
    optional: bool = False
    #: Others connect to it in their `prepare`, so it is healthy before they start.
    before_others: bool = False
    #: What tells its own process to end.
    stop_signal: signal.Signals = signal.SIGTERM
    #: Who runs it; None is whoever runs the stack.
    user: str | None = None


@dataclass(frozen=True)
class Folder:
    """Where a stack keeps its pid files and logs, and the identity that its processes carry."""

    path: Path
    stack_id: str

    def pid_file(self, name: str) -> Path:
        return self.path / "run" / f"{name}.json"

    def log(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.log"


def start(server: Server, folder: Folder) -> psutil.Process:
    """Start the server's process, detached from this one. Its output goes to its log."""
    log = folder.log(server.name)
    for parent in (log.parent, folder.pid_file(server.name).parent):
        parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    environment = {**server.environment, STACK_MARK: folder.stack_id, SERVER_MARK: server.name}
    with log.open("ab") as output:
        process = subprocess.Popen(
            server.command,
            env=environment,
            cwd=folder.path,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **as_user(server.user),
        )
    # Nobody waits for it; without this, Python warns when the object goes away before the process does.
    process.returncode = 0
    started = psutil.Process(process.pid)
    record = {"pid": started.pid, "started": started.create_time(), "command": server.command[0]}
    draft = folder.pid_file(server.name).with_suffix(".tmp")
    draft.write_text(json.dumps(record), "utf-8")
    draft.replace(folder.pid_file(server.name))
    return started


def as_user(name: str | None) -> dict[str, Any]:
    """Arguments of subprocess' for a process that another user runs, with that one's rights and no more."""
    if name is None:
        return {}
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}


def running(name: str, folder: Folder) -> psutil.Process | None:
    """The server's own process, if it is the one that the pid file means and is alive."""
    try:
        record = json.loads(folder.pid_file(name).read_text("utf-8"))
        process = psutil.Process(int(record["pid"]))
        if abs(process.create_time() - float(record["started"])) > _START_TOLERANCE_S or not _alive(process):
            return None
    except (OSError, ValueError, KeyError, TypeError, psutil.NoSuchProcess):
        return None
    marks = _marks(process)
    return process if marks is None or marks == (folder.stack_id, name) else None


def members(folder: Folder, name: str | None = None) -> list[psutil.Process]:
    """Living processes of this stack, or of one of its servers, except the calling process and its ancestors.

    A server's are those in its session; of those that made a session of their own, the ones with its mark; and while
    its own process lives, the ones in that one's group. The session goes before the mark because spark-submit hands
    its environment to the driver: a driver that an Airflow task asked for carries the scheduler's mark, and is the
    worker's.
    """
    found = []
    leader = running(name, folder) if name else None
    sessions = _sessions(folder)
    me = psutil.Process()
    mine = {me.pid, *(parent.pid for parent in me.parents())}
    for process in psutil.process_iter():
        if process.pid in mine:
            continue
        marks = _marks(process)
        marked = marks is not None and marks[0] == folder.stack_id
        if marked and marks and name is not None:
            marked = sessions.get(_session_of(process), marks[1]) == name
        if (marked or _in_group_of(leader, process)) and _alive(process):
            found.append(process)
    return found


def end(
    processes: Iterable[psutil.Process], timeout_s: float, asked: signal.Signals = signal.SIGTERM
) -> list[psutil.Process]:
    """SIGTERM to each, SIGKILL to those alive after `timeout_s` (0: at once). Returns what outlived even that."""
    alive = [process for process in processes if _alive(process)]
    for signal_number, patience_s in ((asked, timeout_s), (signal.SIGKILL, 10.0)):
        if not patience_s:
            continue
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.send_signal(signal_number)
        deadline = time.monotonic() + patience_s
        while (alive := [process for process in alive if _alive(process)]) and time.monotonic() < deadline:
            time.sleep(0.05)
        if not alive:
            break
    return alive


def stop(server: Server, folder: Folder) -> list[psutil.Process]:
    """End a server and everything it started. Returns what outlived SIGKILL.

    The signal goes to the server's own process only, which knows best how to end its children. An Airflow task that got
    a SIGTERM would run its `on_kill` and take a Spark driver down with it, and an Airflow that stops never stops a job.
    """
    leader = running(server.name, folder)
    started = members(folder, server.name)
    survivors = end([leader] if leader else [], server.stop_timeout_s, server.stop_signal)
    # Twice: the second look finds what was started while the first round ended.
    survivors += end({*started, *members(folder, server.name)}, server.leftovers_timeout_s)
    survivors += end(members(folder, server.name), 0)
    folder.pid_file(server.name).unlink(missing_ok=True)
    return [survivor for survivor in survivors if _alive(survivor)]


def _alive(process: psutil.Process) -> bool:
    """Whether it runs. A child of this process that has ended is reaped; anybody else's zombie counts as ended."""
    with contextlib.suppress(ChildProcessError, OSError):
        os.waitpid(process.pid, os.WNOHANG)
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _marks(process: psutil.Process) -> tuple[str, str] | None:
    """Stack and server that the process was started for; None when its environment cannot be read.

    It reads as empty, too, for an instant while a process starts and when one has ended.
    """
    try:
        environment = process.environ()
    except (psutil.Error, OSError):
        return None
    if not environment:
        return None
    return environment.get(STACK_MARK, ""), environment.get(SERVER_MARK, "")


def _sessions(folder: Folder) -> dict[int, str]:
    """The session that each server leads or led -> the server. No other gets that number while a member is alive."""
    found = {}
    for path in (folder.path / "run").glob("*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found[int(json.loads(path.read_text("utf-8"))["pid"])] = path.stem
    return found


def _session_of(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except OSError:
        return 0


def _in_group_of(leader: psutil.Process | None, process: psutil.Process) -> bool:
    if leader is None:
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        return os.getpgid(process.pid) == leader.pid
    return False
