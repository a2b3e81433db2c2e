"""The embedded stack as one thing: up, down, status."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import psutil

from streamops.adapters.connections import parse
from streamops.errors import ConfigurationError, RefusedError, StateError, StreamopsError, UnavailableError
from streamops.stack import (
    airflow_database,
    airflow_servers,
    environment,
    hdfs,
    jars,
    kafka_brokers,
    ports,
    probes,
    process,
    spark_cluster,
)
from streamops.stack.credentials import Credentials, write_private
from streamops.stack.process import Folder, Server
from streamops.stack.settings import StackSettings
from streamops.stack.starting import EndedMeanwhile, Starter

Say = Callable[[str], None]
State = Literal["healthy", "unhealthy", "dead", "stopped"]

#: The demo's live input: what the stack's own servers log, no faster than a page can show.
_FEED = ("--topic", "lines", "--follow-stack-logs", "--rate", "500")
#: Less free disk than this and Kafka or SQLite soon fails in ways that name anything but the disk.
_LEAST_FREE_MB = 500


@dataclass(frozen=True)
class ServerStatus:
    """One server as seen now.

    `healthy`: its process runs and its probe passes. `unhealthy`: it runs, and the probe does not pass (yet).
    `dead`: it was started and its process is gone. `stopped`: it is not meant to run.
    """

    name: str
    state: State
    detail: str
    pid: int | None = None
    uptime_s: float | None = None
    #: Memory of the server and everything it started. On Linux, a page that several processes share is split among
    #: them (PSS); elsewhere it counts for each.
    memory_bytes: int | None = None


class Stack:
    """The servers of one data folder.

    Every method may be called again, from several processes at once, and after a crash of anything.
    """

    def __init__(self, settings: StackSettings | None = None, say: Say = lambda _line: None) -> None:
        """`say` gets a line of progress whenever something happens that takes long."""
        self.settings = settings or StackSettings.load()
        self._say = say

    # What the stack consists of

    @cached_property
    def folder(self) -> Folder:
        """Pid files, logs, and the identity in the environment of every process of this stack."""
        path = self.settings.data / "id"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".id.{uuid.uuid4().hex}")
            draft.write_text(uuid.uuid4().hex, "utf-8")
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(draft)  # unlike a rename, this never replaces an identity that processes already carry
            draft.unlink()
        return Folder(self.settings.data, path.read_text("utf-8"))

    @cached_property
    def credentials(self) -> Credentials:
        """Airflow's keys and password."""
        return Credentials.load_or_make(self.settings.data)

    @cached_property
    def servers(self) -> list[Server]:
        """Every server, in the order in which a person thinks of them."""
        variables = environment.of_servers(self.settings, self.credentials)
        return [
            *kafka_brokers.servers(self.settings, variables),
            *spark_cluster.servers(self.settings, variables),
            *airflow_database.servers(self.settings, variables, self.credentials.password),
            *airflow_servers.servers(self.settings, variables),
            *hdfs.servers(self.settings, variables),
            kafka_brokers.proxy(self.settings, variables),
            Server(
                name="feeder",
                command=(sys.executable, "-m", "streamops.cli.main", "feed", *_FEED),
                environment=variables,
                probe=probes.alive,
                optional=True,
            ),
        ]

    @property
    def airflow_url(self) -> str:
        """Where Airflow's page and API are."""
        return self.settings.airflow_url

    @property
    def password(self) -> str:
        """Password of Airflow's user `admin`."""
        return self.credentials.password

    def environment(self) -> dict[str, str]:
        """Variables for a client of this stack, to be put over its own: AIRFLOW_CONN_…, AIRFLOW__…, STREAMOPS_…."""
        return environment.of_client(self.settings, self.credentials)

    def pid(self, server: str) -> int | None:
        """The server's own process; None when it does not run. `server` is a full name, such as `kafka-1`."""
        found = process.running(server, self.folder)
        return found.pid if found else None

    def selected(self, names: Collection[str] | None) -> list[Server]:
        """Servers by name or part of it: `kafka` is every broker, `worker` is `spark-worker`. None is all.

        Raises ConfigurationError for a name that fits none.
        """
        if not names:
            return self.servers
        for name in names:
            if not any(_fits(server.name, name) for server in self.servers):
                known = ", ".join(server.name for server in self.servers)
                raise ConfigurationError(f"No server is called {name!r}.", f"The stack's servers are: {known}")
        return [server for server in self.servers if any(_fits(server.name, name) for name in names)]

    # What can be done with it

    def up(self, servers: Collection[str] | None = None) -> None:
        """Start what does not run and wait until every probe passes.

        Raises ConfigurationError (a port is taken), RefusedError (other servers run with other settings), StartFailed.
        """
        wanted = [
            server
            for server in self.selected(servers)
            if servers or not server.optional or self.folder.pid_file(server.name).exists()
        ]
        with self._alone():
            for prefix, group in (("kafka", "broker"), ("hdfs", "hdfs")):
                if any(server.name.startswith(prefix) for server in wanted):
                    jars.ensure(group, self.settings.jars, self._say)
            if any(server.name.startswith("airflow") for server in wanted):
                self._upgrade_database()
            for last_try in (False, False, True):
                missing = [server for server in wanted if process.running(server.name, self.folder) is None]
                if missing:
                    self._before_start(missing)
                try:
                    for together in _start_order(wanted):
                        Starter(self.folder, self.settings.start_timeout_s, self._say).run(together)
                    break
                except EndedMeanwhile as error:
                    # Killed so shortly before that its process was still to be seen: it is missing now.
                    if last_try:
                        raise
                    self._say(error.found.splitlines()[0])

    def down(self, servers: Collection[str] | None = None) -> None:
        """End servers and everything they started. Raises StateError naming processes that could not be ended."""
        if not self.settings.data.exists():
            return
        with self._alone():
            chosen = self.selected(servers)
            survivors: list[psutil.Process] = []
            for group in _stop_order(chosen):
                survivors += self._stop(group)
            if not servers:
                # What lost its mark of a server but not that of the stack, or started while the others ended.
                survivors += process.end(process.members(self.folder), timeout_s=0)
                self.settings.running_file.unlink(missing_ok=True)
            if survivors:
                pids = ", ".join(str(survivor.pid) for survivor in survivors)
                raise StateError(f"These processes outlived SIGKILL: {pids}.", "They hang in the kernel: reboot.")

    def status(self) -> list[ServerStatus]:
        """Every server, probed now, all at the same time. Optional ones that are stopped are left out."""
        with ThreadPoolExecutor(max_workers=len(self.servers)) as pool:
            found = list(pool.map(self._status, self.servers))
        optional = {server.name for server in self.servers if server.optional}
        return [status for status in found if status.state != "stopped" or status.name not in optional]

    # How

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the stack's lock: two `up`, or an `up` and a `down`, run one after the other."""
        self.settings.data.mkdir(parents=True, exist_ok=True)
        with (self.settings.data / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say("another `streamops stack` command is at work on this stack; waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _upgrade_database(self) -> None:
        """Bring our own database to what the code works with, before a task of Airflow's can ask for it."""
        from streamops.adapters.database.session import Database
        from streamops.adapters.database.upgrade import upgrade

        connections = environment.connections(self.settings, self.credentials)
        database = Database.of(parse("streamops_db", connections["AIRFLOW_CONN_STREAMOPS_DB"]))
        before, after = upgrade(database)
        if before != after:
            self._say(f"our database is at version {after} (from {before or 'empty'})")

    def _before_start(self, missing: Sequence[Server]) -> None:
        free_mb = shutil.disk_usage(self.settings.data).free // 2**20
        if free_mb < _LEAST_FREE_MB:
            raise StreamopsError(
                f"The disk is full: {free_mb} MB free at {self.settings.data}.",
                f"Free at least {_LEAST_FREE_MB} MB, or choose another folder: STREAMOPS_STACK_DATA=…",
            )
        self._refuse_other_settings(missing)
        for server in missing:
            leftovers = process.members(self.folder, server.name)
            if leftovers:
                # They hold its port, or wait for ever for a parent that is gone.
                self._say(f"{server.name}: ending {len(leftovers)} process(es) that an earlier one left behind")
                process.end(leftovers, timeout_s=server.leftovers_timeout_s)
        for server in missing:
            ports.require_free(server)
        self.settings.streams.mkdir(parents=True, exist_ok=True)
        environment.write_env_file(self.settings, self.credentials)
        # The URL of Airflow's database may hold a password.
        write_private(self.settings.running_file, self.settings.model_dump_json(indent=2))

    def _refuse_other_settings(self, missing: Sequence[Server]) -> None:
        names = {server.name for server in missing}
        others = [server.name for server in self.servers if server.name not in names and self.pid(server.name)]
        before = self.settings.running()
        now = json.loads(self.settings.model_dump_json())
        changed = sorted(name for name in before if name in now and before[name] != now[name])
        if others and changed:
            differences = ", ".join(
                name if name.endswith("database") else f"{name} ({before[name]} → {now[name]})" for name in changed
            )
            raise RefusedError(
                f"{', '.join(others)} still run with other settings: {differences}.",
                "Stop them first: streamops stack down",
            )

    def _stop(self, group: Sequence[Server]) -> list[psutil.Process]:
        names = [server.name for server in group if process.members(self.folder, server.name)]
        if names:
            self._say(f"stopping {', '.join(names)}")
        with ThreadPoolExecutor(max_workers=len(group)) as pool:
            found = pool.map(partial(process.stop, folder=self.folder), group)
            return [survivor for survivors in found for survivor in survivors]

    def _status(self, server: Server) -> ServerStatus:
        running = process.running(server.name, self.folder)
        if running is None:
            dead = self.folder.pid_file(server.name).exists()
            detail = "its process is gone; `streamops stack up` starts it again" if dead else ""
            return ServerStatus(server.name, "dead" if dead else "stopped", detail)
        try:
            started = running.create_time()
            memory = sum(_memory_bytes(member) for member in process.members(self.folder, server.name))
            state, detail = self._probe(server, started)
        except psutil.NoSuchProcess:
            return ServerStatus(server.name, "dead", "its process ended just now")
        return ServerStatus(server.name, state, detail, running.pid, time.time() - started, memory)

    def _probe(self, server: Server, started: float) -> tuple[State, str]:
        try:
            return "healthy", server.probe(started)
        except UnavailableError as error:
            return "unhealthy", error.found


def _fits(server: str, name: str) -> bool:
    return server == name or server.startswith(f"{name}-") or server.endswith(f"-{name}")


def _start_order(servers: Sequence[Server]) -> list[list[Server]]:
    """Groups to start one after the other, each as soon as the one before it is healthy."""
    groups = [[server for server in servers if server.before_others is before] for before in (True, False)]
    return [group for group in groups if group]


def _stop_order(servers: Sequence[Server]) -> list[list[Server]]:
    """Groups to stop one after the other: who uses comes before who is used.

    The master goes before the worker: so it records nothing about drivers that end with the worker, and when it is
    back, it launches the supervised ones again (under new ids, as after the loss of a worker).
    """
    order = (("feeder", "airflow-api", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"),
             (airflow_database.NAME,), ("spark-master",), ("spark-worker",), ("broker-proxy", "kafka", "hdfs-datanode"),
             ("hdfs-name", "zookeeper"))
    groups = [[server for server in servers if server.name.startswith(prefixes)] for prefixes in order]
    return [group for group in groups if group]


def _memory_bytes(member: psutil.Process) -> int:
    try:
        full = member.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    except (psutil.Error, OSError):
        return 0


