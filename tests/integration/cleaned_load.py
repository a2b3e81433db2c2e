"""A receiver pipeline for which every rule of the cleanup is soon due, cleanups, and what leaves things behind."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from streamops.adapters.connections import Connection, connection
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.spark.master import Cluster, SparkMaster
from streamops.cleaning.cleanup import Rule
from streamops.cleaning.quarantined import DIRECTORY
from streamops.drilling.local import LocalProcesses
from streamops.stack.stack import Stack
from streamops.state import batch_log, generations

from . import numbered
from .conftest import command, environment
from .running import wait_until

PIPELINE, TOPIC = "cleaned_receiver", "cleaned"
#: A pipeline that ran before, and is declared no more.
FORMER, FORMER_TOPIC = "formerly_cleaned", "formerly_cleaned"
PLACES = (PIPELINE, "code", "work", "events", "orphans")

#: Days. Leftovers wait longer than any write takes, so that a file which is being written stays.
SOON_D, LEFTOVER_H = 40 / 86400, 5 / 3600


class World:
    """The pipelines file, state, code and event logs of these tests alone, on the run's servers."""

    def __init__(self, stack: Stack, root: Path) -> None:
        self.stack, self.root = stack, root
        self.events, self.work = root / "events", stack.settings.data / "spark" / "work"
        given = environment(stack)
        home = root / "home"
        home.mkdir()
        (home / "jars").symlink_to(Path(given["STREAMOPS_HOME"]) / "jars")  # the receiver is compiled there
        shutil.copytree(given["STREAMOPS_JOBS"], root / "jobs")
        self.events.mkdir()
        storage = {"conn_type": "generic", "extra": {"url": f"file://{root}/streams"}}
        self.environment = {
            **given, "STREAMOPS_PIPELINES": str(root / "pipelines.yaml"), "STREAMOPS_HOME": str(home),
            "STREAMOPS_JOBS": str(root / "jobs"), "AIRFLOW_CONN_STREAMOPS_STORAGE": json.dumps(storage)}
        self.master = SparkMaster(Cluster.of(connection("spark_default", stack.environment())))
        self.declare()

    def declare(self, *, former: bool = True, quarantine_d: float = SOON_D) -> None:
        """Write the pipelines file, whole, as somebody would who edits it while everything runs."""
        ages = f"quarantine_d: {quarantine_d:.6f}, min_age_h: 0, leftover_h: {LEFTOVER_H:.6f}"
        orphaned = (
            f"  {FORMER}: {{approach: direct, topics: [{FORMER_TOPIC}], transform: identity, sink: {{type: parquet}},\n"
            "    interval_s: 1, schedules: {snapshot: null, cleanup: null}, run: manual}\n")
        text = (
            "version: 1\n"
            "topics:\n"
            f"  {TOPIC}: {{partitions: 2, replication: 1}}\n"
            f"  {FORMER_TOPIC}: {{partitions: 1, replication: 1}}\n"
            "defaults:\n"
            f"  cleanup: {{{ages}, code_d: 0, spark_d: 0, orphan_d: 0, rules: {{orphan: true}}}}\n"
            "pipelines:\n"
            f"  {PIPELINE}:\n"
            f"    approach: receiver\n    topics: [{TOPIC}]\n    transform: identity\n    sink: {{type: parquet}}\n"
            "    interval_s: 0.5\n    run: manual\n"
            # 45 s: an older generation goes by a point of it, which shows that the topic is still the same one.
            "    points: {all_for_d: 0.0005, hourly_for_d: 0, daily_for_d: 0}\n"
            "    schedules: {snapshot: null, cleanup: null}\n"
            "    resources:\n      executor_cores: 2\n      conf:\n"
            # A segment a second in place of one a minute, so that a start has several.
            "        spark.streaming.receiver.writeAheadLog.rollingIntervalSecs: 1\n"
            "        spark.eventLog.enabled: true\n"
            "        spark.eventLog.rolling.enabled: true\n"
            "        spark.eventLog.rolling.maxFileSize: 10m\n"  # the least that Spark takes
            f"        spark.eventLog.dir: file://{self.events}\n"
            f"{orphaned if former else ''}")
        aside = self.root / ".pipelines.yaml"
        aside.write_text(text)
        aside.replace(self.root / "pipelines.yaml")

    def run(self, *arguments: str, check: bool = True) -> str:
        ended = subprocess.run(command(*arguments), env=self.environment, text=True, capture_output=True, timeout=300)
        assert not check or ended.returncode == 0, f"streamops {' '.join(arguments)}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        """What a command with --json prints, without heads and sums."""
        found = [json.loads(line) for line in self.run(*arguments, "--json").splitlines() if line.startswith("{")]
        return [line for line in found if "path" in line]

    def start(self, *arguments: str, **given: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(command(*arguments), env=self.environment, text=True, **given)

    def files(self, pipeline: str = PIPELINE) -> StateFiles:
        return StateFiles.at(Connection("storage", "generic", extra={"url": f"file://{self.root}/streams"}), pipeline)

    def state(self, pipeline: str = PIPELINE) -> Path:
        return self.root / "streams" / pipeline

    def deploy(self) -> None:
        """Other code: the next driver that somebody starts is of it."""
        with (self.root / "jobs" / "transforms" / "identity.py").open("a") as stream:
            stream.write(f"\n# deployed at {time.time_ns()}\n")

    def another_spark(self) -> None:
        """The logs of the start that is at work say that another Spark wrote them: the next one opens a generation."""
        for path in self.state().glob("checkpoint/*/*/written_by.json"):
            path.write_text('{"spark": "3.5.0", "chunks": 1}')

    def sizes(self) -> Counter[str]:
        """How many files there are, by the folder of the state directory, and in the quarantine of each place."""
        found: Counter[str] = Counter()
        for folder, _, names in os.walk(self.state()):
            top = Path(folder).relative_to(self.state()).parts[:1]
            found[f"{top[0] if top else 'state'}"] += len(names)
        for place in (self.events, self.work, self.root / "home" / "code", self.state(FORMER)):
            found["shared quarantines"] += sum(len(names) for _, _, names in os.walk(place / DIRECTORY))
        return found

    # Of the sink

    def entries(self, pipeline: str = PIPELINE) -> list[batch_log.Entry]:
        """Those of all generations. None is superseded here: a new one begins where the last one ended."""
        files = self.files(pipeline)
        current = generations.current(files)
        return [] if current is None else [
            entry for number in range(1, current.number + 1) for entry in batch_log.entries(files, number)]

    def covered(self, pipeline: str = PIPELINE) -> int:
        return sum(entry.span for entry in self.entries(pipeline))

    def verdict(self, acknowledged: int) -> str:
        """What the sink holds, against what was sent: each record begins with its number, from 1."""
        return numbered.verdict(self.files(PIPELINE), self.entries(), acknowledged)


@dataclass
class Cleaning:
    """Cleanups, each in a process of its own, one after the other, about every second; some are killed."""

    world: World
    chance: random.Random
    taken: Counter[str] = field(default_factory=Counter)
    #: The same since somebody last began it anew.
    lately: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    runs: int = 0
    killed: int = 0
    errors: list[str] = field(default_factory=list)
    #: Event logs of applications that lived, before and after, and files of them that were gone.
    watched: int = 0
    robbed: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.over.is_set():
            living, before = self.world.master.living() or frozenset(), self._of_events()
            self._once()
            still = living & (self.world.master.living() or frozenset())
            used = {path for path in before if any(app in path for app in still)}
            self.watched += len(used)
            self.robbed += sorted(used - self._of_events())
            self.over.wait(1.0)

    def _once(self) -> None:
        process = self.world.start("clean", "apply", *PLACES, "--yes", "--json",
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        dies = self.chance.random() < 0.2
        try:
            out, err = process.communicate(timeout=self.chance.uniform(0.5, 4.0) if dies else 120)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            out, err = process.communicate()
            self.killed += 1
        self.runs += 1
        for line in out.splitlines():
            item: dict[str, Any] = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
            if item.get("proof"):
                self._count(item)
        if process.returncode not in (0, -signal.SIGKILL):
            self.errors.append(f"{process.returncode}: {err[-1500:]}")

    def _count(self, item: dict[str, Any]) -> None:
        self.examples.setdefault(item["rule"], item["path"])
        for name in (item["rule"], *(["_temporary"] if "/_temporary/" in item["path"] else [])):
            self.taken[name] += 1
            self.lately[name] += 1

    def _of_events(self) -> set[str]:
        place = self.world.events
        return {str(path.relative_to(place)) for path in place.rglob("*")
                if path.is_file() and DIRECTORY not in path.parts}

    def missing(self, taken: Counter[str]) -> set[str]:
        """Rules that have taken nothing."""
        return ({rule.value for rule in Rule} | {"_temporary"}) - set(taken)

    def passes(self, times: int = 2) -> None:
        """Wait until so many cleanups have begun and ended."""
        until = self.runs + times
        wait_until(lambda: self.runs >= until, "cleanups go on")


class Moments:
    """Kills the driver, Python and all, in the very moment in which something is on the disk."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._local = LocalProcesses(world.stack)

    def while_state_is_written(self) -> bool:
        """A temporary file beside plans, leases, batch log."""
        folders = [self._world.state() / part for part in (
            f"batch_log/{self._number:06d}", f"plans/{self._number:06d}", "lease")]
        return self._kill_when(lambda: next(_named(folders, ".tmp"), None) is not None)

    def while_output_is_written(self) -> bool:
        """An attempt of a task writes rows into `_temporary`."""
        aside = self._world.state() / "output" / "_aside"
        return self._kill_when(lambda: any(
            names for folder, _, names in os.walk(aside) if "_temporary" in folder))

    def while_it_rolls_up(self) -> bool:
        """A hundred entries are in a roll-up, and still beside it."""
        folder = [self._world.state() / f"batch_log/{self._number:06d}"]
        known = set(_named(folder, ".jsonl"))
        return self._kill_when(lambda: not known.issuperset(_named(folder, ".jsonl")), limit_s=240)

    def batches(self) -> int:
        """How many the current generation has."""
        head = batch_log.read_head(self._world.files(), self._number)
        return head.batch + 1 if head is not None else 0

    @property
    def _number(self) -> int:
        current = generations.current(self._world.files())
        assert current is not None
        return current.number

    def _kill_when(self, holds: Callable[[], bool], limit_s: float = 60.0) -> bool:
        """Whether it was caught: it stands still first, and is killed only when it still holds then."""
        ids = [one.pid for each in self._local.drivers(PIPELINE) for java in [psutil.Process(each["pid"])]
               for one in [java, *java.children(recursive=True)]]
        deadline_s = time.monotonic() + limit_s
        while ids and time.monotonic() < deadline_s:
            if holds():
                _signal(ids, signal.SIGSTOP)
                caught = holds()
                _signal(ids, signal.SIGKILL if caught else signal.SIGCONT)
                if caught:
                    return True
        return False


def _named(folders: list[Path], end: str) -> Iterator[str]:
    """Names in some folders, quickly: what is looked for is there for a millisecond."""
    for folder in folders:
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            yield from (entry.name for entry in entries if entry.name.endswith(end))


def _signal(ids: list[int], number: int) -> None:
    for each in ids:
        with suppress(ProcessLookupError):
            os.kill(each, number)
