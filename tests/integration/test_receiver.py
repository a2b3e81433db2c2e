"""The receiver job on the whole stack, its state on a real HDFS: exact in peace, and while everything fails.

    STREAMOPS_TEST_FAULTS=27 STREAMOPS_TEST_SEED=7 pytest tests/integration/test_receiver.py

runs more faults than `make test`, which inflicts some kinds once, and `make test-all`, which inflicts each once; in an
order and at moments that the seed repeats.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kafka import KafkaAdminClient, KafkaConsumer

from streamops.adapters.connections import Connection
from streamops.adapters.files.state_files import StateFiles
from streamops.stack.stack import Stack
from streamops.state import batch_log

from . import numbered
from .faults import Killer
from .running import covered, head, lines_of, started, stopped, wait_until, words

if TYPE_CHECKING:
    from .conftest import Airflow, Streamops

Say = Callable[[str], None]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]

KINDS = (
    "driver", "one_executor", "between_store_and_commit", "worker", "broker", "datanode", "airflow", "rebalance",
    "pause",
)
#: What `make test` inflicts: a loss of each part that receives, stores or commits.
SOME_KINDS = ("driver", "between_store_and_commit", "broker", "rebalance")
#: What takes an executor's memory, and so what was received, when no log holds it.
UNLOGGED_KINDS = ("one_executor", "between_store_and_commit")
FAULTS = int(os.environ.get("STREAMOPS_TEST_FAULTS", "0"))
SEED = int(os.environ.get("STREAMOPS_TEST_SEED", "0")) or random.randrange(1, 10**6)
#: Longer than the session time-out of a receiver's consumer, 15 s (jobs/receiver/ReceiverSettings.scala).
PAUSE_S = 18.0


@pytest.mark.long
def test_a_hundred_thousand_lines_are_counted_to_the_last_word_by_receivers(
    airflow_api: Airflow, hdfs: Connection, streamops: Streamops, text: Path, say: Say
) -> None:
    """Two receivers, four partitions, write-ahead log and output on HDFS."""
    files = StateFiles.at(hdfs, "lines_receiver")
    started(airflow_api, files, "stream_lines_receiver")
    fed = json.loads(streamops("feed", "--topic", "received", str(text), "--json").stdout)
    lines = lines_of(text)
    assert fed["acknowledged"] == len(lines) >= 100_000
    wait_until(lambda: covered(files) == len(lines), "every line is in a batch")
    expected = words(iter(lines))
    assert json.loads(streamops("counts", "lines_receiver", "--json").stdout) == expected
    streamops("verify", "lines_receiver")
    assert {len(entry.ranges) for entry in batch_log.entries(files, 1)} == {4}
    stopped(airflow_api, "stream_lines_receiver")
    say(f"{len(lines):,} lines, {expected.total():,} words, {len(expected):,} different ones: all equal")


@pytest.mark.parametrize(
    ("pipeline", "kinds"),
    [
        pytest.param("chaos_receiver", KINDS if FAULTS else SOME_KINDS, id="with the write-ahead log"),
        pytest.param("chaos_unlogged", KINDS if FAULTS else UNLOGGED_KINDS, id="without it",
                     marks=pytest.mark.long),
    ],
)
def test_nothing_is_lost_or_doubled_while_everything_fails(
    pipeline: str,
    kinds: tuple[str, ...],
    airflow_api: Airflow,
    hdfs: Connection,
    stack: Stack,
    streamops: Streamops,
    background: Callable[..., subprocess.Popen[str]],
    text: Path,
    tmp_path: Path,
    say: Say,
) -> None:
    chance = random.Random(SEED)
    dag, killer = f"stream_{pipeline}", Killer(stack, pipeline)
    files, topic, faults = StateFiles.at(hdfs, pipeline), f"received_{pipeline}", FAULTS or len(kinds)
    run = airflow_api.trigger(dag)
    wait_until(lambda: airflow_api.task(dag, run)["state"] == "deferred", f"{dag} is deferred")
    with (tmp_path / "fed.json").open("w") as fed:
        feeder = background("feed", "--topic", topic, str(text), "--rate", "1000", "--repeat", "0",
                            "--number", "prefix", "--json", stdout=fed, stderr=subprocess.DEVNULL)
        order = [kind for _ in range(-(-faults // len(kinds))) for kind in chance.sample(kinds, len(kinds))][:faults]
        for number, what in enumerate(order, 1):
            time.sleep(chance.uniform(1.0, 4.0))
            before, at_s = head(files), time.monotonic()
            inflict(what, killer, chance, stack, pipeline)
            if what != "airflow":  # without it the job goes on as if nothing had happened
                killer.heal(what)
            wanted = before.batch + 2
            wait_until(
                lambda wanted=wanted: progressed(files, wanted), f"seed {SEED}, fault {number}: batches after {what}"
            )
            say(f"fault {number:2d} of {faults}: {what:24s} two batches on after {time.monotonic() - at_s:5.1f} s")
            killer.heal(what)
        feeder.send_signal(signal.SIGINT)
        assert feeder.wait(timeout=120) == 0
    acknowledged = json.loads((tmp_path / "fed.json").read_text())["acknowledged"]
    wait_until(lambda: covered(files) >= acknowledged, f"seed {SEED}: every acknowledged line is in a batch")
    found = numbered.verdict(files, batch_log.entries(files, 1), acknowledged)
    say(f"seed {SEED}: {acknowledged:,} records over {faults} faults: {found}")
    assert found == numbered.EXACT, f"seed {SEED}"
    say(streamops("verify", pipeline).stdout)
    entries = list(batch_log.entries(files, 1))
    assert [entry.epoch for entry in entries] == sorted(entry.epoch for entry in entries)
    assert airflow_api.runs(dag)[-1]["state"] == "running", f"seed {SEED}"
    stopped(airflow_api, dag)


def progressed(files: StateFiles, batch: int) -> bool:
    """Whether the log has come to a batch. HDFS may be away meanwhile."""
    try:
        return head(files).batch >= batch
    except Exception:  # noqa: BLE001  whatever a server that is down does to a reader
        return False


def inflict(what: str, killer: Killer, chance: random.Random, stack: Stack, pipeline: str) -> None:
    if what == "rebalance":
        rebalance(stack, pipeline)
    elif what == "pause":
        killer.pause_executor(chance, PAUSE_S)
    elif what in ("one_executor", "between_store_and_commit"):
        getattr(killer, what)(chance)
    else:
        getattr(killer, what)()


def rebalance(stack: Stack, pipeline: str) -> None:
    """Three guests join the receivers' group one after the other, are given partitions, and leave."""
    bootstrap = stack.settings.bootstrap_servers
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    groups: list[str] = []
    deadline = time.monotonic() + 60
    # Batches after a fault may be those of recovered blocks, before the receivers are back.
    while not groups:
        assert time.monotonic() < deadline, "the receivers are in no group"
        stable = [group["group_id"] for group in admin.list_groups(states_filter=["Stable"])]
        groups = sorted(
            (name for name in stable if name.startswith(f"{pipeline}.")),
            key=lambda name: [int(part) for part in name.split(".")[1:]],
        )
    admin.close()
    for _ in range(3):
        guest = KafkaConsumer(f"received_{pipeline}", bootstrap_servers=bootstrap, group_id=groups[-1],
                              enable_auto_commit=False, auto_offset_reset="latest")
        deadline = time.monotonic() + 60
        while not guest.assignment():
            guest.poll(100)
            assert time.monotonic() < deadline, "the guest is given no partition"
        guest.close()
