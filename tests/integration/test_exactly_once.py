"""Real text through the whole stack, counted to the last word: in peace, and while everything is killed.

    STREAMOPS_TEST_KILLS=10 STREAMOPS_TEST_SEED=7 pytest tests/integration/test_exactly_once.py

runs more kills than the five of `make test`, one of each kind, in an order that the seed repeats.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streamops.adapters.pipelines.drivers import PipelineDrivers
from streamops.adapters.spark.shell_submission import submit
from streamops.running.driver_status import Standing
from streamops.stack.stack import Stack
from streamops.state import batch_log
from streamops.state import drivers as records
from streamops.state.drivers import DriverRecord
from streamops.state.lease import Owner, OwnerKind

from .faults import Killer
from .running import covered, head, lines_of, started, state_of, stopped, wait_until, words

if TYPE_CHECKING:
    from .conftest import Airflow, Streamops

Say = Callable[[str], None]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

KILLS = int(os.environ.get("STREAMOPS_TEST_KILLS", "5"))
SEED = int(os.environ.get("STREAMOPS_TEST_SEED", "0")) or random.randrange(1, 10**6)


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
