"""Faults on purpose in tests: the product's own, on the run's stack (streamops.drilling.local)."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from streamops.drilling.backend import Victim
from streamops.drilling.local import LocalProcesses
from streamops.stack import process
from streamops.stack.stack import Stack


class Killer:
    """Ends servers with SIGKILL in the middle of batches, and starts again what nothing else would."""

    def __init__(self, stack: Stack, pipeline: str) -> None:
        self._stack = stack
        self._pipeline = pipeline
        self._local = LocalProcesses(stack)

    def driver(self) -> None:
        self._kill(self._local.drivers(self._pipeline))

    def executor(self) -> None:
        self._kill(self._local.executors())

    def worker(self) -> None:
        self._kill([self._local.server("spark-worker")])

    def broker(self) -> None:
        self._kill([self._local.server("kafka-1")])

    def airflow(self) -> None:
        """All of it: servers, tasks, and whatever else they have started."""
        for server in self._stack.selected(["airflow"]):
            self._kill([{"pid": one.pid, "started": one.create_time(), "server": None}
                        for one in process.members(self._stack.folder, server.name)])

    def datanode(self) -> None:
        self._kill([self._local.server("hdfs-datanode")])

    def one_executor(self, chance: random.Random) -> None:
        """The executor that holds a receiver, or one of those that do."""
        self._kill([chance.choice(self._local.executors())])

    def between_store_and_commit(self, chance: random.Random) -> None:
        """Executors die with chunks stored and not committed: a broker that is paused answers no commit."""
        with self._paused([self._local.server("kafka-1")]):
            time.sleep(chance.uniform(1.0, 2.0))
            self._kill(self._local.executors())

    def pause_executor(self, chance: random.Random, seconds: float) -> None:
        """An executor stands still and then goes on, as if nothing had happened."""
        with self._paused([chance.choice(self._local.executors())]):
            time.sleep(seconds)

    @contextmanager
    def paused_driver(self) -> Iterator[None]:
        """The driver hangs: it neither works nor ends when it is asked to."""
        victims = self._local.drivers(self._pipeline)
        assert victims, "there is no driver"
        with self._paused(victims):
            yield

    def heal(self, what: str) -> None:
        servers = {"worker": "spark-worker", "broker": "kafka", "airflow": "airflow", "datanode": "hdfs"}
        if what in servers:
            self._stack.up([servers[what]])

    @contextmanager
    def _paused(self, victims: Sequence[Victim]) -> Iterator[None]:
        self._local.pause(victims)
        try:
            yield
        finally:
            self._local.resume(victims)

    def _kill(self, victims: Sequence[Victim]) -> None:
        assert victims, "there is nothing to kill"
        self._local.kill(victims)
