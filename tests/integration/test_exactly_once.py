"""Real text through the whole stack, counted to the last word: in peace, and while everything is killed.

    STREAMOPS_TEST_KILLS=50 STREAMOPS_TEST_SEED=7 pytest tests/integration/test_exactly_once.py

runs more kills than the ten of `make test`, in an order that the seed repeats.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from streamops import batch_log
from streamops import drivers as records
from streamops.adapters.connections import Connection
from streamops.adapters.pipeline_drivers import PipelineDrivers
from streamops.adapters.shell_submission import submit
from streamops.adapters.state_files import StateFiles
from streamops.batch_log import Entry
from streamops.driver_status import Standing
from streamops.drivers import DriverRecord
from streamops.lease import Owner, OwnerKind
from streamops.stack import process
from streamops.stack.stack import Stack

if TYPE_CHECKING:
    from .conftest import Airflow, Streamops

Say = Callable[[str], None]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

KILLS = int(os.environ.get("STREAMOPS_TEST_KILLS", "10"))
LIMIT_S = 300.0
SEED = int(os.environ.get("STREAMOPS_TEST_SEED", "0")) or random.randrange(1, 10**6)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real text of more than 100,000 lines, on any machine: the source of Python's own standard library."""
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    content = b"".join(source.read_bytes() for source in sources)
    content.decode("utf-8")
    lines = content.split(b"\n")[:120_000]
    assert len(lines) >= 100_000
    path = tmp_path_factory.mktemp("text") / "text"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def words(lines: Iterator[bytes]) -> Counter[str]:
    """An independent count: words are what splitting at single spaces gives, empty ones left out."""
    return Counter(word for line in lines for word in line.decode("utf-8").split(" ") if word)


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().removesuffix(b"\n").split(b"\n")


def state_of(stack: Stack, pipeline: str) -> StateFiles:
    storage = Connection("streamops_storage", "generic", extra={"url": stack.settings.streams.as_uri()})
    return StateFiles.at(storage, pipeline)


def covered(files: StateFiles) -> int:
    return sum(entry.span for entry in batch_log.entries(files, 1))


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """The limit only ends a test that hangs: how long something takes depends on what else the machine does."""
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {LIMIT_S:.0f} s"
        time.sleep(0.2)


def started(api: Airflow, files: StateFiles, dag: str) -> None:
    """Let the pipeline's DAG run, and wait until its task is deferred behind a driver with a batch."""
    api.unpause(dag)

    def deferred() -> bool:
        runs = api.runs(dag)
        return bool(runs) and api.task(dag, runs[-1]["dag_run_id"])["state"] == "deferred"

    wait_until(deferred, f"{dag} is deferred")
    assert batch_log.read_head(files, 1) is not None


def stopped(api: Airflow, dag: str) -> None:
    """Pause the DAG and mark its running run as failed, which ends the driver."""
    api.pause(dag)
    for run in api.runs(dag):
        if run["state"] in ("running", "queued"):
            api.call("PATCH", f"/dags/{dag}/dagRuns/{run['dag_run_id']}", json={"state": "failed"})


def test_a_hundred_thousand_lines_are_counted_to_the_last_word(
    airflow_api: Airflow, stack: Stack, streamops: Streamops, text: Path, say: Say
) -> None:
    files = state_of(stack, "lines_direct")
    started(airflow_api, files, "stream_lines_direct")
    fed = json.loads(streamops("feed", "--topic", "lines", str(text), "--json").stdout)
    lines = lines_of(text)
    assert fed["acknowledged"] == len(lines) >= 100_000
    wait_until(lambda: covered(files) == len(lines), "every line is in a batch")
    expected = words(iter(lines))
    assert json.loads(streamops("counts", "lines_direct", "--json").stdout) == expected
    streamops("verify", "lines_direct")
    say(f"{len(lines):,} lines, {expected.total():,} words, {len(expected):,} different ones: all equal")


def test_a_second_driver_started_by_hand_stops_and_says_why(
    airflow_api: Airflow, stack: Stack, streamops: Streamops, text: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = state_of(stack, "lines_direct")
    started(airflow_api, files, "stream_lines_direct")
    covered_before, first = covered(files), head(files)
    before = json.loads(streamops("counts", "lines_direct", "--json").stdout)
    refused = streamops("submit", "lines_direct", check=False)
    assert refused.returncode == 3
    assert first.driver in refused.stderr

    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    drivers = PipelineDrivers.of("lines_direct")
    # As somebody would who knows nothing of the lease: spark-submit, and nothing else.
    second = submit(drivers.submission(Owner(OwnerKind.SHELL), ()), drivers.cluster.master, say)
    wait_until(lambda: drivers.master.look(second).standing is Standing.ENDED, "the second driver ends")
    text_of_record = files.read(records.path(second))
    assert text_of_record is not None
    record = DriverRecord.from_json(text_of_record)
    assert record.stop_kind == "lease_lost"
    assert first.driver in (record.reason or "")
    say(f"the second driver: {record.reason}")

    streamops("feed", "--topic", "lines", str(text), "--json")
    wait_until(lambda: covered(files) == covered_before + len(lines_of(text)), "the first driver goes on")
    expected = Counter(before) + words(iter(lines_of(text)))
    assert json.loads(streamops("counts", "lines_direct", "--json").stdout) == expected
    streamops("verify", "lines_direct")
    assert {entry.driver for entry in batch_log.entries(files, 1)} == {first.driver}
    stopped(airflow_api, "stream_lines_direct")




class Killer:
    """Ends servers with SIGKILL in the middle of batches, and starts again what nothing else would."""

    def __init__(self, stack: Stack, pipeline: str) -> None:
        self._stack = stack
        self._pipeline = pipeline

    def driver(self) -> None:
        self._kill(self._spark_processes("DriverWrapper", f'"pipeline":"{self._pipeline}"'))

    def executor(self) -> None:
        self._kill(self._spark_processes("CoarseGrainedExecutorBackend", "--app-id"))

    def worker(self) -> None:
        self._kill_server("spark-worker")

    def broker(self) -> None:
        self._kill_server("kafka-1")

    def airflow(self) -> None:
        """All of it: servers, tasks, and whatever else they have started."""
        for server in self._stack.selected(["airflow"]):
            self._kill(process.members(self._stack.folder, server.name))

    def heal(self, what: str) -> None:
        if what in ("worker", "broker", "airflow"):
            self._stack.up([{"worker": "spark-worker", "broker": "kafka", "airflow": "airflow"}[what]])

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


def head(files: StateFiles) -> Entry:
    entry = batch_log.read_head(files, 1)
    assert entry is not None
    return entry


def test_counts_stay_exact_while_everything_is_killed(
    airflow_api: Airflow,
    stack: Stack,
    streamops: Streamops,
    background: Callable[..., subprocess.Popen[str]],
    text: Path,
    tmp_path: Path,
    say: Say,
) -> None:
    chance = random.Random(SEED)
    files, dag, killer = state_of(stack, "chaos_direct"), "stream_chaos_direct", Killer(stack, "chaos_direct")
    with (tmp_path / "fed.json").open("w") as fed:
        feeder = background("feed", "--topic", "chaos", str(text), "--rate", "600", "--repeat", "0", "--json",
                            stdout=fed, stderr=subprocess.DEVNULL)
        started(airflow_api, files, dag)
        kinds = ["driver", "executor", "worker", "broker", "airflow"]
        order = [kind for _ in range(-(-KILLS // len(kinds))) for kind in chance.sample(kinds, len(kinds))][:KILLS]
        for number, what in enumerate(order, 1):
            time.sleep(chance.uniform(1.0, 4.0))
            before, at_s = head(files), time.monotonic()
            getattr(killer, what)()
            if what != "airflow":  # without it the job goes on as if nothing had happened
                killer.heal(what)
            healed_s = time.monotonic() - at_s
            # Two batches on: the first may have been on its way into the log when the kill came.
            wanted = before.batch + 2
            wait_until(lambda wanted=wanted: head(files).batch >= wanted, f"seed {SEED}: a batch after {what}")
            say(
                f"kill {number:2d} of {KILLS}: {what:8s} two batches on after {time.monotonic() - at_s:5.1f} s"
                f" (it was started again within {healed_s:.1f} s)"
            )
            killer.heal(what)
        feeder.send_signal(signal.SIGINT)
        assert feeder.wait(timeout=120) == 0
    acknowledged = json.loads((tmp_path / "fed.json").read_text())["acknowledged"]
    wait_until(lambda: covered(files) >= acknowledged, f"seed {SEED}: every acknowledged line is in a batch")
    expected = words(islice(cycle(lines_of(text)), acknowledged))
    assert json.loads(streamops("counts", "chaos_direct", "--json").stdout) == expected, f"seed {SEED}"
    say(streamops("verify", "chaos_direct").stdout)
    entries = list(batch_log.entries(files, 1))
    assert [entry.epoch for entry in entries] == sorted(entry.epoch for entry in entries)
    run = airflow_api.runs(dag)[-1]
    assert run["state"] == "running", f"seed {SEED}: the run is {run['state']}"
    stopped(airflow_api, dag)
    say(f"seed {SEED}: {acknowledged:,} lines, {expected.total():,} words exact over {KILLS} kills")
