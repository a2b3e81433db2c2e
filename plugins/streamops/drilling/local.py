"""Faults on processes of this machine: the servers of the embedded stack, and what they started."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx
import psutil

from streamops.adapters.connections import connection
from streamops.adapters.kafka.broker import Broker
from streamops.adapters.spark.master import Cluster, SparkMaster
from streamops.declared.pipeline import Pipeline
from streamops.drilling.backend import Victim, there_is_none
from streamops.drills.faults import OF_THE_JOB, Target
from streamops.errors import RefusedError, UnavailableError
from streamops.stack import airflow_database, process, spark_cluster, zookeeper
from streamops.stack.stack import Stack

#: The stack's servers by what they are; `broker` and `leader` are chosen among several.
_SERVERS = {
    Target.WORKER: "spark-worker",
    Target.MASTER: spark_cluster.MASTER,
    Target.ZOOKEEPER: zookeeper.NAME,
    Target.DATANODE: "hdfs-datanode",
    Target.NAMENODE: "hdfs-namenode",
    Target.SCHEDULER: "airflow-scheduler",
    Target.TRIGGERER: "airflow-triggerer",
    Target.DATABASE: airflow_database.NAME,
    Target.NETWORK: "broker-proxy",
}
_OTHERWISE = "The embedded stack has no such server; other backends may: streamops drill run --backend …"
_WITH = {
    Target.ZOOKEEPER: "With it: streamops stack down, then streamops stack up --masters 2",
    Target.DATABASE: "Airflow's database is a file here. With a server: streamops stack down, then "
                     "streamops stack up --postgresql",
    Target.AIRFLOW_WORKER: "Airflow runs tasks in processes of its scheduler here: drill that one (--fault scheduler)",
}
#: A process of many gigabytes takes a second to be torn down.
_GONE_S = 30.0
_POLL_S = 0.02
#: psutil derives start times from the boot time, which moves a little when the clock is adjusted.
_START_TOLERANCE_S = 2.0
#: A receiver's driver first processes what it has received; the worker kills it after 40 s (stack/spark_cluster.py).
_END_S = 45.0
#: Airflow's processes write a heartbeat every five seconds.
_NOTICED_S = 12.0


class LocalProcesses:
    """The embedded stack. A victim is `{"pid": 4711, "started": 1700000000.0, "server": "kafka-1"}`.

    `server` is None for a driver or an executor, of which Spark makes new ones.
    """

    name = "local"
    #: Past the proxy: connections of jobs, and those that lead to the same brokers without it.
    around: ClassVar[dict[str, str]] = {"kafka_proxied": "kafka_default"}

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def aim(self, target: Target, pipeline: Pipeline, chance: random.Random) -> list[Victim]:
        if target in OF_THE_JOB:
            return [_victim(one) for one in self._of_the_job(target, pipeline, chance)]
        if target is Target.NETWORK:
            self._require_proxied(pipeline)
        return [self.server(self._server(target, pipeline, chance))]

    def whole(self, victims: Sequence[Victim]) -> list[Victim]:
        """With what they started: the Python beside a JVM would beat the lease while its JVM stands still."""
        found = {each["pid"]: each for each in victims}
        for one in (child for each in _living(victims) for child in _started_by(each)):
            found.setdefault(one.pid, _victim(one))
        return list(found.values())

    def kill(self, victims: Sequence[Victim]) -> None:
        """Returns when they are gone: a process that is ending still looks like one that needs no reviving."""
        for found in _living(victims):
            _signal(found, signal.SIGKILL)
        deadline_s = time.monotonic() + _GONE_S
        while (left := _living(victims)) and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)
        if left:
            raise UnavailableError(f"process {left[0].pid} lives {_GONE_S:g} s after SIGKILL",
                                   "The kernel holds it, mostly for a disk that does not answer.")

    def end(self, victims: Sequence[Victim]) -> None:
        if servers := _servers(victims):
            self._stack.down(servers)
        told = _living([each for each in victims if each["server"] is None])
        for found in told:
            _signal(found, signal.SIGTERM)
        psutil.wait_procs(told, timeout=_END_S)

    def pause(self, victims: Sequence[Victim]) -> None:
        for found in _living(victims):
            _signal(found, signal.SIGSTOP)

    def resume(self, victims: Sequence[Victim]) -> None:
        for found in _living(victims):
            _signal(found, signal.SIGCONT)

    def revive(self, victims: Sequence[Victim]) -> None:
        if servers := _servers(victims):
            self._stack.up(servers)
        if zookeeper.NAME in servers:
            self._stack.up([spark_cluster.MASTER])  # the one in charge has ended when it lost ZooKeeper
        if airflow_database.NAME in servers:
            self._bring_airflow_back()

    def _bring_airflow_back(self) -> None:
        """What asked the database while it was away may end of that, up to some heartbeats later."""
        names = [server.name for server in self._stack.selected(["airflow"])]
        until_s = time.monotonic() + _NOTICED_S
        while time.monotonic() < until_s:
            if any(self._stack.pid(name) is None for name in names):
                self._stack.up(["airflow"])
            time.sleep(1)

    def server(self, name: str) -> Victim:
        """A server of the stack, by its full name. Raises RefusedError where it does not run."""
        pid = self._stack.pid(name)
        if pid is None:
            raise RefusedError(f"{name} does not run", f"Start it: streamops stack up {name}")
        return _victim(psutil.Process(pid), name)

    def drivers(self, pipeline: str) -> list[Victim]:
        """The JVMs of a pipeline's drivers."""
        return [_victim(one) for one in self._drivers(pipeline)]

    def executors(self) -> list[Victim]:
        """Every executor on this stack, whoever's it is; also one whose driver is gone."""
        return [_victim(one) for one in self._java("CoarseGrainedExecutorBackend", "--app-id")]

    def processes_of_the_job(self, pipeline: Pipeline) -> list[Victim]:
        """Driver and executors, with what they started."""
        drivers = self._drivers(pipeline.name)
        found = {one.pid: one for each in [*drivers, *self._executors(drivers)]
                 for one in [each, *_started_by(each)]}
        return [_victim(one) for one in found.values()]

    def _server(self, target: Target, pipeline: Pipeline, chance: random.Random) -> str:
        brokers = [server.name for server in self._stack.selected(["kafka"])]
        if target is Target.BROKER:
            return chance.choice(brokers)
        if target is Target.LEADER:
            return f"kafka-{_leader(pipeline, chance)}"
        if target is Target.MASTER and self._stack.settings.spark_masters > 1:
            if (master := spark_cluster.in_charge(self._stack.settings)) is None:
                raise RefusedError("no master is in charge, or two say that they are",
                                   "Wait some seconds; see `streamops stack status`.")
            return master
        if _SERVERS.get(target) not in {server.name for server in self._stack.servers}:
            raise there_is_none(self.name, target, _WITH.get(target, _OTHERWISE))
        return _SERVERS[target]

    def _require_proxied(self, pipeline: Pipeline) -> None:
        servers = str(connection(pipeline.connections.kafka).extra.get("bootstrap.servers", ""))
        if servers != self._stack.settings.proxied_servers:
            raise RefusedError(
                f"{pipeline.name} does not read Kafka through the stack's proxy, so its network cannot be cut alone",
                "Start the proxy (`streamops stack up broker-proxy`) and let the pipeline read through it: "
                "connections: {kafka: kafka_proxied}")

    def _of_the_job(self, target: Target, pipeline: Pipeline, chance: random.Random) -> list[psutil.Process]:
        drivers = self._drivers(pipeline.name)
        if not drivers:
            raise there_is_none(self.name, Target.DRIVER, f"See `streamops status {pipeline.name}`.")
        if target is Target.DRIVER:
            return drivers
        executors = sorted(self._executors(drivers), key=lambda one: one.pid)
        if target is Target.RECEIVER:
            holding = _ids_with_receivers(pipeline)
            executors = [one for one in executors if _option(one, "--executor-id") in holding] or executors
        if not executors:
            raise there_is_none(self.name, target, f"{pipeline.name} waits for one: streamops status {pipeline.name}")
        return [chance.choice(executors)]

    def _drivers(self, pipeline: str) -> list[psutil.Process]:
        return list(self._java("DriverWrapper", f'"pipeline":"{pipeline}"'))

    def _executors(self, drivers: Sequence[psutil.Process]) -> list[psutil.Process]:
        """Those that answer to one of these drivers: they name its port, on which it listens."""
        ports = {str(listening.laddr.port) for driver in drivers for listening in _listening(driver)}
        return [one for one in self._java("CoarseGrainedExecutorBackend", "--driver-url")
                if (_option(one, "--driver-url") or "").rpartition(":")[2] in ports]

    def _java(self, main_class: str, argument: str) -> Iterator[psutil.Process]:
        for one in process.members(self._stack.folder):
            with suppress(psutil.Error):
                line = " ".join(one.cmdline())
                if main_class in line and argument in line and "java" in one.name():
                    yield one


def identity() -> tuple[int, float]:
    """This process, as an open fault names it: its number, and when it started."""
    me = psutil.Process()
    return me.pid, me.create_time()


def lives(pid: int, started: float) -> bool:
    """Whether the process of that number is the one that started then, and has not ended."""
    try:
        found = psutil.Process(pid)
        same = abs(found.create_time() - started) <= _START_TOLERANCE_S
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def living(victim: Victim) -> psutil.Process | None:
    """The process that a victim means; None when it is gone."""
    return psutil.Process(victim["pid"]) if lives(victim["pid"], victim["started"]) else None


def _living(victims: Sequence[Victim]) -> list[psutil.Process]:
    return [found for each in victims if (found := living(each)) is not None]


def _victim(found: psutil.Process, server: str | None = None) -> Victim:
    return {"pid": found.pid, "started": found.create_time(), "server": server}


def _servers(victims: Sequence[Victim]) -> list[str]:
    return [each["server"] for each in victims if each["server"] is not None]


def _signal(found: psutil.Process, number: int) -> None:
    if found.pid == os.getpid():
        return
    with suppress(psutil.NoSuchProcess):
        found.send_signal(number)


def _started_by(found: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return list(found.children(recursive=True))
    return []


def _listening(found: psutil.Process) -> list[Any]:
    with suppress(psutil.Error):
        connections = found.net_connections("tcp")
        return [each for each in connections if each.status == psutil.CONN_LISTEN and each.laddr]
    return []


def _option(found: psutil.Process, name: str) -> str | None:
    with suppress(psutil.Error, ValueError, IndexError):
        line = found.cmdline()
        return line[line.index(name) + 1]
    return None


def _leader(pipeline: Pipeline, chance: random.Random) -> int:
    """The number of the broker that leads a partition of the pipeline's."""
    with Broker.connect(connection(pipeline.connections.kafka)) as broker:
        return broker.leader(chance.choice(broker.partitions(pipeline.topics)))


def _ids_with_receivers(pipeline: Pipeline) -> set[str]:
    """The executors that hold a receiver, by the word of the driver's own page; empty where it does not say."""
    master = SparkMaster(Cluster.of(connection(pipeline.connections.spark)))
    page = master.application_page(f"streamops {pipeline.name}")
    if page is None:
        return set()
    root = f"{urlsplit(page).scheme}://{urlsplit(page).netloc}/api/v1/applications"
    with suppress(httpx.HTTPError, ValueError, KeyError, IndexError), httpx.Client(timeout=5, trust_env=False) as http:
        app = http.get(root).json()[0]["id"]
        receivers = http.get(f"{root}/{app}/streaming/receivers").json()
        return {str(each["executorId"]) for each in receivers if each.get("isActive", True)}
    return set()
