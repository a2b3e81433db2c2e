"""A receiver job under load while every rule of the cleanup works each second, and servers and cleanups are killed.

    STREAMOPS_TEST_CLEAN_S=1200 STREAMOPS_TEST_SEED=7 pytest tests/integration/test_cleaning_under_load.py

runs for 20 minutes, with faults in an order and at moments that the seed repeats. Judged at the sink, by the number in
each record.
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
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamops.cleaning.cleanup import Rule
from streamops.cleaning.quarantined import DIRECTORY
from streamops.stack.stack import Stack

from . import numbered
from .cleaned_load import FORMER, FORMER_TOPIC, PIPELINE, PLACES, TOPIC, Cleaning, Moments, World
from .faults import Killer
from .running import wait_until

Say = Callable[[str], None]

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(3600)]

LOAD_S = float(os.environ.get("STREAMOPS_TEST_CLEAN_S", "90"))
SEED = int(os.environ.get("STREAMOPS_TEST_SEED", "0")) or random.randrange(1, 10**6)
RATE = 1000
#: Files in a generation's batch log: two hundred entries at most, one for each further hundred, and its head.
OF_A_GENERATION = 220
#: What happens to the job, in rounds; the last four leave something for a rule.
FAULTS = ("executor", "worker", "broker", "driver", "generation", "writing", "attempt", "deployment")
#: By which fault a rule has something to take.
LEFT_BY = {
    "generation": "generation", "checkpoint_file": "writing", "output_leftover": "attempt", "_temporary": "attempt",
    "code": "deployment", "write_ahead_log": "driver", "batch_log": "roll-up", "event_log": "driver",
    "work_folder": "driver", "consumer_group": "driver", "recovery_point": "driver"}
#: Rules whose things go for good, and have no way back.
FOR_GOOD = {Rule.QUARANTINE.value, Rule.RECOVERY_POINT.value}


class Load:
    """The faults, one after the other, each until batches go on."""

    def __init__(self, world: World, cleaning: Cleaning, chance: random.Random, say: Say) -> None:
        self.world, self.cleaning, self.chance, self.say = world, cleaning, chance, say
        self.killer, self.moments = Killer(world.stack, PIPELINE), Moments(world)
        self.counts: Counter[str] = Counter()
        self.sizes: list[Counter[str]] = []

    def fault(self, what: str) -> None:
        time.sleep(self.chance.uniform(1.0, 4.0))
        for _ in range(2):  # the older one is past retention when the next cleanup comes
            self.world.run("offsets", "snapshot", PIPELINE, check=False)
        self.inflict(what)
        before, at_s = self.world.covered(), time.monotonic()
        self.killer.heal(what)
        wait_until(lambda: self.world.covered() > before, f"seed {SEED}: batches after {what}")
        self.counts[what] += 1
        self.sizes.append(self.world.sizes())
        self.say(f"{what:10s} batches after {time.monotonic() - at_s:5.1f} s; taken {dict(self.cleaning.taken)}; "
                 f"files {dict(self.sizes[-1])}")

    def inflict(self, what: str) -> None:
        if what == "generation":
            self.world.another_spark()
            self.killer.driver()
        elif what == "writing":
            assert self.moments.while_state_is_written(), "the driver was caught while it wrote"
        elif what == "attempt":
            assert self.moments.while_output_is_written(), "the driver was caught while a task wrote"
        elif what == "roll-up":
            # Of the second hundred on, the first goes into one file, and cleanup wants a recovery point beyond it.
            wait_until(lambda: self.moments.batches() > 130, f"seed {SEED}: a generation has enough batches")
            self.world.run("offsets", "snapshot", PIPELINE, check=False)
            assert self.moments.while_it_rolls_up(), "the driver was caught while it rolled up"
        elif what == "deployment":
            self.world.run("stop", PIPELINE, "--yes", "--within", "20")
            self.cleaning.passes()
            self.world.deploy()
            self.world.run("start", PIPELINE, "--yes")
        else:
            getattr(self.killer, what)()

    def rounds(self) -> Iterator[str]:
        while True:
            yield from self.chance.sample(FAULTS, len(FAULTS))


def test_nothing_is_lost_or_doubled_while_everything_is_cleaned(
    kafka: str, spark_cluster: Stack, text: Path, tmp_path: Path, say: Say,
) -> None:
    chance, world = random.Random(SEED), World(spark_cluster, tmp_path)
    world.run("db", "upgrade")
    world.run("topics", "apply", "--yes")
    former = world.start("submit", FORMER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    world.run("submit", PIPELINE)
    assert former.wait(timeout=300) == 0
    formerly = json.loads(world.run("feed", "--topic", FORMER_TOPIC, str(text), "--json"))["acknowledged"]
    wait_until(lambda: world.covered(FORMER) == formerly, "the pipeline that is to be an orphan has worked")
    world.run("stop", FORMER, "--yes")

    cleaning = Cleaning(world, random.Random(SEED + 1))
    load = Load(world, cleaning, chance, say)
    thread = threading.Thread(target=cleaning.run)
    with (tmp_path / "fed.json").open("w") as fed:
        feeder = world.start("feed", "--topic", TOPIC, str(text), "--rate", str(RATE), "--repeat", "0",
                             "--number", "prefix", "--json", stdout=fed, stderr=subprocess.DEVNULL)
        thread.start()
        try:
            ends_s, rounds = time.monotonic() + LOAD_S, load.rounds()
            while time.monotonic() < ends_s or len(load.sizes) < len(FAULTS) or not cleaning.taken["quarantine"]:
                load.fault(next(rounds))
            under_load = list(load.sizes)
            # From here on nothing is purged, so that each rule has something to be brought back.
            world.declare(former=False, quarantine_d=7)
            cleaning.passes()  # one that has begun may still purge
            cleaning.lately.clear()
            for what in ("generation", "writing", "attempt", "deployment", "roll-up"):
                load.fault(what)
            cleaning.passes()
            for _ in range(12):  # a driver that came back, or Spark, may have been quicker than the cleanup
                if not (missing := sorted(cleaning.missing(cleaning.lately) & set(LEFT_BY))):
                    break
                load.fault(LEFT_BY[missing[0]])
                cleaning.passes()
        finally:
            cleaning.over.set()
            thread.join()
            feeder.send_signal(signal.SIGINT)
            assert feeder.wait(timeout=120) == 0
    acknowledged = json.loads((tmp_path / "fed.json").read_text())["acknowledged"]
    wait_until(lambda: world.covered() >= acknowledged, f"seed {SEED}: every acknowledged line is in a batch")
    found = world.verdict(acknowledged)
    say(f"seed {SEED}: {acknowledged:,} records, faults {dict(load.counts)}, {cleaning.runs} cleanups of which "
        f"{cleaning.killed} killed: {found}")
    for rule, count in sorted(cleaning.taken.items()):
        say(f"taken {rule:16s} {count:6,d}  {cleaning.examples.get(rule, '')}")
    assert found == numbered.EXACT, f"seed {SEED}"
    assert cleaning.errors == []
    assert cleaning.missing(cleaning.taken) == set(), "each rule has taken something"
    assert (cleaning.robbed, bool(cleaning.watched)) == ([], True), "event logs of what lives stay"
    require_bounded(load.sizes, "checkpoint", "plans")
    assert max(each["batch_log"] / each["generations"] for each in load.sizes) <= OF_A_GENERATION
    require_bounded(under_load, ".quarantine", "shared quarantines")
    everything_comes_back(world, formerly, text, say)


def require_bounded(sizes: list[Counter[str]], *parts: str) -> None:
    """The second half of the load has no more than the first one, give or take one fault's material."""
    half = sizes[: len(sizes) // 2 + 1]
    for part in parts:
        assert max(each[part] for each in sizes[len(half):]) <= max(each[part] for each in half) + 300, part


def everything_comes_back(world: World, formerly: int, text: Path, say: Say) -> None:
    """Each thing in quarantine is restored, and both pipelines go on from it, each record once."""
    world.run("stop", PIPELINE, "--yes", "--within", "20")
    held = world.lines("clean", "list", *PLACES)
    by_rule = Counter(each["rule"] for each in held)
    say(f"in quarantine at the end: {dict(by_rule)}")
    assert set(by_rule) == {rule.value for rule in Rule} - FOR_GOOD
    for place in sorted({each["place"] for each in held}):
        world.run("clean", "restore", place)
    assert world.lines("clean", "list", *PLACES) == []
    where = {"events": world.events, "work": world.work, "code": world.root / "home" / "code",
             PIPELINE: world.state(), f"orphans:{FORMER}": world.state(FORMER)}
    for each in held:
        place = where[each["place"]]
        assert each["kind"] == "group" or (place / each["path"]).exists(), f"{each['path']} is back"
        assert not any(path.is_file() for path in (place / DIRECTORY).glob("*/files/**/*"))

    world.declare(quarantine_d=7)
    killer = Killer(world.stack, PIPELINE)
    for pipeline, topic, again in ((PIPELINE, TOPIC, False), (PIPELINE, TOPIC, True), (FORMER, FORMER_TOPIC, False)):
        if again:  # the second start begins with the logs that the first one left
            killer.driver()
        else:
            world.run("start", pipeline, "--yes")
        before = world.covered(pipeline)
        more = json.loads(world.run("feed", "--topic", topic, str(text), "--json"))["acknowledged"]
        wait_until(lambda pipeline=pipeline, wanted=before + more: world.covered(pipeline) >= wanted, "the job goes on")
    for pipeline in (PIPELINE, FORMER):
        world.run("verify", pipeline)
        entries = world.entries(pipeline)
        assert sum(entry.rows for entry in entries) == sum(entry.span for entry in entries), "each record is one row"
        world.run("stop", pipeline, "--yes", "--within", "20")
    assert world.covered(FORMER) == 2 * formerly
    assert {entry.generation for entry in world.entries(FORMER)} == {1}, "it went on from its own checkpoint"
