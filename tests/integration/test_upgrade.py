"""One pipeline, under load: an upgrade that is rolled back, one that is killed and given again, and hand-overs.

The tests go on from one another, because each start takes half a minute.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streamops.errors import RolledBackError
from streamops.stack.stack import Stack
from streamops.state import batch_log, evidence, generations, releases
from streamops.state.lease import OwnerKind
from streamops.state.offsets import advance, seams
from streamops.state.releases import Stage

from .conftest import command, environment
from .running import lines_of, state_of, wait_until, words

if TYPE_CHECKING:
    from .conftest import Airflow, Streamops

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

NAME, TOPIC = "upgraded", "upgraded"
DAG = f"stream_{NAME}"
RATE = 500

#: A transform that somebody deploys.
FAILS = """
def transform(frame, batch):
    raise ValueError("a column that is not there")
"""


class Upgraded:
    """The pipeline, what is deployed for it, and the load on its topic."""

    def __init__(
        self, stack: Stack, streamops: Streamops, text: Path, start: Callable[..., subprocess.Popen[str]]
    ) -> None:
        self.stack, self._streamops, self._text = stack, streamops, text
        self.files = state_of(stack, NAME)
        self._feeding = start("feed", "--topic", TOPIC, "--rate", str(RATE), "--repeat", "0", str(text), "--json",
                              stdout=subprocess.PIPE)

    def deploy(self, code: str, transform: str) -> None:
        """New code among the jobs, and the transform that pipelines.yaml names."""
        (self.stack.settings.data / "jobs" / "transforms" / "upgraded.py").write_text(code, "utf-8")
        self._declare("transform", transform)

    def _declare(self, key: str, value: str) -> None:
        file = self.stack.settings.data / "pipelines.yaml"
        before, mine = file.read_text("utf-8").split(f"  {NAME}:\n", 1)
        file.write_text(f"{before}  {NAME}:\n" + re.sub(rf"{key}: \S+", f"{key}: {value}", mine, count=1), "utf-8")

    def declare(self, api: Airflow, approach: str) -> None:
        """Another approach in pipelines.yaml, also for Airflow, which reads that file every few seconds."""
        self._declare("approach", approach)
        wait_until(lambda: f"submit_{approach}_jobs" in api.call("GET", f"/dags/{DAG}")["fileloc"], "Airflow knows it")

    def upgrade(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._streamops("upgrade", NAME, "--yes", *options, check=check)

    def status(self) -> dict[str, Any]:
        [shown] = json.loads(self._streamops("status", NAME, "--json").stdout)["pipelines"]
        return dict(shown)

    def processed(self) -> int:
        """Offsets that the batch log of all generations covers."""
        number = generations.current(self.files)
        return sum(entry.span for each in range(1, number.number + 1 if number else 1)
                   for entry in batch_log.entries(self.files, each))

    def goes_on(self) -> None:
        before = self.processed()
        wait_until(lambda: self.processed() > before + RATE, "it goes on under load")

    def end_of_load(self) -> int:
        """How many records there are in the topic."""
        self._feeding.send_signal(signal.SIGINT)
        out, _ = self._feeding.communicate(timeout=60)
        told = json.loads(out)
        assert told["acknowledged"] == told["sent"]
        return int(told["sent"])

    def expected(self, sent: int) -> Counter[str]:
        lines = lines_of(self._text)
        whole, rest = divmod(sent, len(lines))
        counted = words(iter(lines[:rest]))
        for word, number in words(iter(lines)).items() if whole else ():
            counted[word] += whole * number
        return counted

    def counts(self) -> Counter[str]:
        return Counter(json.loads(self._streamops("counts", NAME, "--json").stdout))


@pytest.fixture(scope="module")
def job(airflow_api: Airflow, stack: Stack, streamops: Streamops, text: Path) -> Iterator[Upgraded]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **given: Any) -> subprocess.Popen[str]:
        started.append(subprocess.Popen(command(*arguments), env=environment(stack), text=True, **given))
        return started[-1]

    made = Upgraded(stack, streamops, text, start)
    streamops("start", NAME, "--yes")
    yield made
    streamops("stop", NAME, "--yes", "--within", "20", check=False)
    for process in started:
        process.kill()
        process.wait()


def test_a_version_that_fails_is_rolled_back_by_itself(
    job: Upgraded, airflow_api: Airflow, say: Callable[[str], None]
) -> None:
    healthy = job.status()["version"]
    job.deploy(FAILS, "upgraded:transform")
    began = time.monotonic()
    failed = job.upgrade(check=False)
    took_s = time.monotonic() - began
    assert failed.returncode == RolledBackError.exit_code, failed.stderr
    assert "a column that is not there" in failed.stderr, "the driver's own error"
    assert f"{healthy} logged a batch again" in failed.stderr
    say(f"rolled back by itself: {took_s:.1f} s in all; " + next(
        line for line in failed.stderr.splitlines() if "logged a batch again" in line))

    status = job.status()
    assert status["state"] in ("running", "idle")
    assert status["version"] == healthy
    assert "a column that is not there" in status["release"]
    held = evidence.holder(job.files)
    assert held is not None
    assert held.owner.kind is OwnerKind.AIRFLOW, "Airflow's own task started the healthy one, with the other deployed"
    log = str(airflow_api.call("GET", f"/dags/{DAG}/dagRuns/{held.owner.run_id}/taskInstances/driver/logs/1"))
    assert "not what is deployed is started" in log
    entries = list(batch_log.entries(job.files, 1))
    known = {each.driver: each.record for each in evidence.known_drivers(job.files)}
    assert {each.version for entry in entries if (each := known[entry.driver])} == {healthy}, "the other logged nothing"
    assert seams({}, ((entry.batch, entry.ranges) for entry in entries)) == []
    job.goes_on()


@pytest.mark.long
def test_an_upgrade_that_is_killed_goes_on_when_it_is_given_again(job: Upgraded, stack: Stack) -> None:
    job.deploy(FAILS.replace("a column", "corrected: a column"), "word_count")
    healthy = job.status()["version"]
    killed = subprocess.Popen(command("upgrade", NAME, "--yes"), env=environment(stack), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    wait_until(lambda: (release := releases.standing(job.files)) is not None and release.stage is Stage.TRIAL,
               "the new version is on trial")
    killed.kill()
    killed.wait()
    done = job.upgrade()
    assert "works: batch" in done.stderr
    status = job.status()
    assert status["version"] != healthy
    assert status["release"] is None
    release = releases.standing(job.files)
    assert release is not None
    assert (release.stage, release.version) == (Stage.DONE, status["version"])
    assert "is done" not in job.upgrade().stderr, "what is deployed runs: nothing is to be done"


def test_handed_over_under_load_both_ways_without_hole_or_overlap(
    job: Upgraded, airflow_api: Airflow, streamops: Streamops, say: Callable[[str], None]
) -> None:
    job.deploy(FAILS, "word_count")  # the transform that failed is no longer the pipeline's
    for number, approach in ((2, "receiver"), (3, "direct")):
        job.declare(airflow_api, approach)
        began = time.monotonic()
        done = job.upgrade()
        say(f"handed over to {approach} in {time.monotonic() - began:.1f} s")
        assert f"to {approach}: the new job opens a generation" in done.stdout
        current = generations.current(job.files)
        assert current is not None
        assert (current.number, current.approach) == (number, approach)
        before = batch_log.read_head(job.files, number - 1)
        assert before is not None
        assert current.start == advance({}, before.ranges), "it begins where the other one ended"
        job.goes_on()

    sent = job.end_of_load()
    wait_until(lambda: job.processed() == sent, f"each of {sent} records is processed, and none twice")
    streamops("verify", NAME)
    assert job.counts() == job.expected(sent)
    say(f"{sent:,} records through three generations, counted to the last word")
