"""Faults on purpose: servers and processes of the run's stack, ended or paused in the middle of batches."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from streamops.stack import process
from streamops.stack.stack import Stack


class Killer:
    """Ends servers with SIGKILL in the middle of batches, and starts again what nothing else would."""

    def __init__(self, stack: Stack, pipeline: str) -> None:
        self._stack = stack
        self._pipeline = pipeline

    def driver(self) -> None:
        self._kill(self._spark_processes("DriverWrapper", f'"pipeline":"{self._pipeline}"'))

    def executor(self) -> None:
        self._kill(self._executors())

    def worker(self) -> None:
        self._kill_server("spark-worker")

    def broker(self) -> None:
        self._kill_server("kafka-1")

    def airflow(self) -> None:
        """All of it: servers, tasks, and whatever else they have started."""
        for server in self._stack.selected(["airflow"]):
            self._kill(process.members(self._stack.folder, server.name))

    def datanode(self) -> None:
        self._kill_server("hdfs-datanode")

    def one_executor(self, chance: random.Random) -> None:
        """The executor that holds a receiver, or one of those that do."""
        self._kill([chance.choice(self._executors())])

    def between_store_and_commit(self, chance: random.Random) -> None:
        """Executors die with chunks stored and not committed: a broker that is paused answers no commit."""
        with self.paused_broker():
            time.sleep(chance.uniform(1.0, 2.0))
            self._kill(self._executors())

    def pause_executor(self, chance: random.Random, seconds: float) -> None:
        """An executor stands still and then goes on, as if nothing had happened."""
        victim = chance.choice(self._executors())
        victim.send_signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            with suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGCONT)

    @contextmanager
    def paused_driver(self) -> Iterator[None]:
        """The driver hangs: it neither works nor ends when it is asked to."""
        victims = self._spark_processes("DriverWrapper", f'"pipeline":"{self._pipeline}"')
        assert victims, "there is no driver"
        for victim in victims:
            victim.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for victim in victims:
                with suppress(psutil.NoSuchProcess):
                    victim.send_signal(signal.SIGCONT)

    @contextmanager
    def paused_broker(self) -> Iterator[None]:
        pid = self._stack.pid("kafka-1")
        assert pid is not None, "the broker does not run"
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def heal(self, what: str) -> None:
        servers = {"worker": "spark-worker", "broker": "kafka", "airflow": "airflow", "datanode": "hdfs"}
        if what in servers:
            self._stack.up([servers[what]])

    def _executors(self) -> list[psutil.Process]:
        return self._spark_processes("CoarseGrainedExecutorBackend", "--app-id")

    def _kill_server(self, name: str) -> None:
        pid = self._stack.pid(name)
        assert pid is not None, f"{name} does not run"
        self._kill([psutil.Process(pid)])

    def _spark_processes(self, main_class: str, argument: str) -> list[psutil.Process]:
        found = []
        for one in process.members(self._stack.folder):
            with suppress(psutil.Error):
                line = " ".join(one.cmdline())
                if main_class in line and argument in line and "java" in one.name():
                    found.append(one)
        return found

    @staticmethod
    def _kill(victims: list[psutil.Process]) -> None:
        assert victims, "there is nothing to kill"
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGKILL)
