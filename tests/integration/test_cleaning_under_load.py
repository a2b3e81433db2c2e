"""A receiver job under load while every rule of the cleanup works each second, and driver and cleanup are killed.

    STREAMOPS_TEST_CLEAN_S=1200 STREAMOPS_TEST_SEED=7 pytest tests/integration/test_cleaning_under_load.py

runs for 20 minutes, with kills at moments that the seed repeats. Judged at the sink, by the number in each record.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from streamops.adapters.files.state_files import StateFiles
from streamops.cleaning.quarantined import DIRECTORY
from streamops.stack.stack import Stack
from streamops.state import batch_log, generations

from .conftest import Streamops, command, environment
from .faults import Killer
from .running import state_of, wait_until

Say = Callable[[str], None]

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(3600)]

PIPELINE, TOPIC = "cleaned_receiver", "cleaned"
LOAD_S = float(os.environ.get("STREAMOPS_TEST_CLEAN_S", "90"))
SEED = int(os.environ.get("STREAMOPS_TEST_SEED", "0")) or random.randrange(1, 10**6)
RATE = 1000


def entries(files: StateFiles) -> list[batch_log.Entry]:
    """Those of all generations. None is superseded here: a new one begins where the last one ended."""
    current = generations.current(files)
    return [] if current is None else [
        entry for number in range(1, current.number + 1) for entry in batch_log.entries(files, number)]


def covered(files: StateFiles) -> int:
    return sum(entry.span for entry in entries(files))


def verdict(files: StateFiles, acknowledged: int) -> str:
    """What the sink holds, against what was sent: each record begins with its number, from 1."""
    found: Counter[int] = Counter()
    for entry in entries(files):
        if entry.output is None:
            continue
        for name in files.names(f"output/{entry.output}"):
            if name.endswith(".parquet"):
                opened = files.open(f"output/{entry.output}/{name}")
                assert opened is not None
                with opened:
                    values = pq.read_table(opened, columns=["value"])["value"].to_pylist()
                found.update(int(value.split(b" ", 1)[0]) for value in values)
    lost = [number for number in range(1, acknowledged + 1) if number not in found]
    doubled = [number for number, times in found.items() if times > 1]
    strange = [number for number in found if number > acknowledged]
    return f"lost {len(lost)} {lost[:5]}, doubled {len(doubled)} {doubled[:5]}, unknown {len(strange)}"


@dataclass
class Cleaning:
    """Cleanups, each in a process of its own, one after the other, about every second; some are killed."""

    stack: Stack
    chance: random.Random
    taken: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    killed: int = 0
    errors: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.over.is_set():
            process = subprocess.Popen(
                command("clean", "apply", PIPELINE, "code", "work", "events", "--yes", "--json"),
                env=environment(self.stack), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            dies = self.chance.random() < 0.2
            try:
                out, err = process.communicate(timeout=self.chance.uniform(0.5, 3.0) if dies else 120)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                out, err = process.communicate()
                self.killed += 1
            self.runs += 1
            for line in out.splitlines():
                item: dict[str, Any] = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
                if item.get("proof"):
                    self.taken[item["rule"]] += 1
            if process.returncode not in (0, -signal.SIGKILL):
                self.errors.append(f"{process.returncode}: {err[-1500:]}")
            self.over.wait(1.0)


def checkpoint_files(stack: Stack) -> int:
    return sum(1 for path in (stack.settings.streams / PIPELINE / "checkpoint").rglob("*") if path.is_file())


def test_nothing_is_lost_or_doubled_while_everything_is_cleaned(
    kafka: str, spark_cluster: Stack, streamops: Streamops, background: Callable[..., subprocess.Popen[str]],
    text: Path, tmp_path: Path, say: Say,
) -> None:
    stack, chance = spark_cluster, random.Random(SEED)
    files, killer = state_of(stack, PIPELINE), Killer(spark_cluster, PIPELINE)
    streamops("db", "upgrade")
    streamops("topics", "apply", "--yes", "--topic", TOPIC)
    streamops("submit", PIPELINE)
    cleaning = Cleaning(stack, random.Random(SEED + 1))
    thread = threading.Thread(target=cleaning.run)
    sizes, kills, ends_s = [], 0, time.monotonic() + LOAD_S
    with (tmp_path / "fed.json").open("w") as fed:
        feeder = background("feed", "--topic", TOPIC, str(text), "--rate", str(RATE), "--repeat", "0",
                            "--number", "prefix", "--json", stdout=fed, stderr=subprocess.DEVNULL)
        thread.start()
        try:
            while time.monotonic() < ends_s:
                streamops("offsets", "snapshot", PIPELINE, check=False)
                time.sleep(chance.uniform(4.0, 10.0))
                before = covered(files)
                if kills % 3 == 1:
                    another_spark(stack)
                killer.driver()
                kills += 1
                wait_until(lambda before=before: covered(files) > before, f"seed {SEED}: batches after kill {kills}")
                sizes.append(checkpoint_files(stack))
        finally:
            cleaning.over.set()
            thread.join()
        feeder.send_signal(signal.SIGINT)
        assert feeder.wait(timeout=120) == 0
    acknowledged = json.loads((tmp_path / "fed.json").read_text())["acknowledged"]
    wait_until(lambda: covered(files) >= acknowledged, f"seed {SEED}: every acknowledged line is in a batch")
    found = verdict(files, acknowledged)
    say(f"seed {SEED}: {acknowledged:,} records, {kills} kills of the driver, {cleaning.runs} cleanups of which "
        f"{cleaning.killed} killed; taken: {dict(cleaning.taken)}; files below checkpoint: {sizes}: {found}")
    assert found == "lost 0 [], doubled 0 [], unknown 0", f"seed {SEED}"
    assert cleaning.errors == []
    assert cleaning.taken["generation"], "an older generation was cleaned"
    assert max(sizes[len(sizes) // 2:]) <= max(sizes[: len(sizes) // 2 + 1]) + 20, "the state directory is bounded"

    work = [json.loads(line) for line in streamops("clean", "plan", "work", "--json").stdout.splitlines()]
    assert {item["reason"] for item in work if "path" in item} <= {"young", "in_use"}, "the master says who lives"

    # Everything comes back, and the job goes on from it.
    streamops("stop", PIPELINE, "--yes", "--within", "10")
    held = [json.loads(line) for line in streamops("clean", "list", PIPELINE, "--json").stdout.splitlines()]
    streamops("clean", "restore", PIPELINE)
    assert not any(path.is_file() for path in (stack.settings.streams / PIPELINE / DIRECTORY).glob("*/files/**/*"))
    say(f"{len(held):,} things are back at their places")
    for again in range(2):  # the second start begins with the logs that the first one left
        if again:
            killer.driver()
        else:
            streamops("start", PIPELINE, "--yes")
        before = covered(files)
        more = json.loads(streamops("feed", "--topic", TOPIC, str(text), "--json").stdout)["acknowledged"]
        wait_until(lambda before=before, more=more: covered(files) >= before + more, "the job goes on")
    streamops("verify", PIPELINE)
    assert sum(entry.rows for entry in entries(files)) == covered(files), "each record is one row"
    streamops("stop", PIPELINE, "--yes", "--within", "10")


def another_spark(stack: Stack) -> None:
    """The logs of the start that is at work say that another Spark wrote them: the next start opens a generation."""
    for path in (stack.settings.streams / PIPELINE / "checkpoint").glob("*/*/written_by.json"):
        path.write_text('{"spark": "3.5.0", "chunks": 1}')
