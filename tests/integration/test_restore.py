"""Jobs on the whole stack, killed with everything that they know and restored from a point: counts to the last word."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streamops.adapters.files.state_files import StateFiles
from streamops.points.recovery_points import RecoveryPoint
from streamops.stack.stack import Stack
from streamops.state import batch_log, generations
from streamops.state.batch_log import OUTPUT

from .faults import Killer
from .running import head, lines_of, state_of, wait_until, words

if TYPE_CHECKING:
    from .conftest import Airflow, Streamops

Say = Callable[[str], None]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

DIRECT, RECEIVER = PIPELINES = ("restored_direct", "restored_receiver")
RUNBOOK = "runbook_restore_offsets"


class Restored:
    """The two pipelines of this test, run by their DAGs."""

    def __init__(self, api: Airflow, stack: Stack, streamops: Streamops) -> None:
        self.api, self.stack, self.streamops = api, stack, streamops

    def start(self, name: str) -> None:
        self.api.trigger(f"stream_{name}")

    def wait_until_running(self, name: str) -> None:
        wait_until(lambda: self.api.task(f"stream_{name}", self.newest(name))["state"] == "deferred", f"{name} runs")

    def newest(self, name: str) -> str:
        return str(self.api.runs(f"stream_{name}")[-1]["dag_run_id"])

    def stop(self, name: str) -> None:
        self.streamops("stop", name, "--yes")

    def living(self) -> list[str]:
        """Drivers of these pipelines that the Spark master runs."""
        found = json.loads(self.streamops("drivers", "list", "--json", check=False).stdout)  # HDFS is not up
        return [each["driver"] for each in found if each["pipeline"] in PIPELINES]

    def files(self, name: str) -> StateFiles:
        return state_of(self.stack, name)

    def processed(self, name: str) -> int:
        """Offsets below the position of the current generation, over all partitions, which begin with offset 0."""
        files = self.files(name)
        current = generations.current(files)
        if current is None:
            return 0
        last = batch_log.read_head(files, current.number)
        return sum({**current.start, **({each.topic_partition: each.until for each in last.ranges} if last else {})
                    }.values())

    def point(self) -> dict[str, int]:
        taken = json.loads(self.streamops("offsets", "snapshot", *PIPELINES, "--json", check=False).stdout)
        return {each["pipeline"]: each["point"] for each in taken}

    def restore(self, name: str, *target: str) -> None:
        """Repeated while whoever was killed still counts as living: a receiver's session, a driver's beat."""
        said: list[str] = []

        def done() -> bool:
            ran = self.streamops("offsets", "restore", name, *target, "--yes", check=False)
            said.append(ran.stdout + ran.stderr)
            assert ran.returncode in (0, 3), said[-1]
            assert ran.returncode == 0 or "Refused: a living" in said[-1], said[-1]
            return ran.returncode == 0

        wait_until(done, f"{name} is restored")

    def runbook(self, approve: bool = False, **given: Any) -> str:
        """How a run of the runbook ends."""
        run = self.api.trigger(RUNBOOK, approval=approve, **given)
        if approve:
            wait_until(lambda: self.api.task(RUNBOOK, run, "approve")["state"] == "awaiting_input", "a person is asked")
            time.sleep(4)  # the scheduler must have seen that it waits
            path = f"/dags/{RUNBOOK}/dagRuns/{run}/taskInstances/approve/-1/hitlDetails"
            self.api.call("PATCH", path, json={"chosen_options": ["Approve"], "params_input": {}})
        return self.api.wait_for_run(RUNBOOK, run, timeout_s=300)

    def counts(self, name: str) -> dict[str, int]:
        found: dict[str, int] = json.loads(self.streamops("counts", name, "--json").stdout)
        return found


def test_counts_are_exact_after_everything_was_killed_and_the_state_deleted(
    airflow_api: Airflow, stack: Stack, streamops: Streamops, background: Callable[..., subprocess.Popen[str]],
    text: Path, tmp_path: Path, say: Say,
) -> None:
    restored = Restored(airflow_api, stack, streamops)
    chance = random.Random()
    for name in PIPELINES:
        restored.start(name)
    with (tmp_path / "fed.json").open("w") as fed:
        feeder = background("feed", "--topic", "restored", str(text), "--rate", "800", "--repeat", "0", "--json",
                            stdout=fed, stderr=subprocess.DEVNULL)
        for name in PIPELINES:
            wait_until(lambda name=name: restored.processed(name) > 0, f"{name} processes what is fed")
            restored.wait_until_running(name)
        time.sleep(chance.uniform(0, 3))
        points = restored.point()
        at_point = {name: RecoveryPoint.from_json(streamops("offsets", "show", str(points[name]), "--json").stdout)
                    for name in PIPELINES}
        for name in PIPELINES:  # batches come after the point, which will be superseded
            last = at_point[name].last_batch or 0
            wait_until(lambda name=name, last=last: head(restored.files(name)).batch > last + 2, f"{name} goes on")
        for name in PIPELINES:
            Killer(stack, name).driver()
        Killer(stack, DIRECT).executor()
        Killer(stack, DIRECT).broker()
        for name in PIPELINES:
            restored.stop(name)
        wait_until(lambda: not restored.living(), "no driver is started again")
        Killer(stack, DIRECT).worker()
        killed_at = {name: restored.processed(name) for name in PIPELINES}
        stack.up(["kafka", "spark-worker"])
        for name in PIPELINES:
            delete_state(restored.files(name))
        # Both start it, and wait for its first batch: the command, and the runbook, which asks a person.
        restored.restore(RECEIVER, "--to-point", str(points[RECEIVER]), "--start")
        ended = restored.runbook(approve=True, pipeline=DIRECT, target="point", point=str(points[DIRECT]))
        assert ended == "success"
        restored.wait_until_running(RECEIVER)
        feeder.send_signal(signal.SIGINT)
        assert feeder.wait(timeout=120) == 0
    acknowledged = json.loads((tmp_path / "fed.json").read_text())["acknowledged"]
    expected = words(islice(cycle(lines_of(text)), acknowledged))
    for name in PIPELINES:
        wait_until(lambda name=name: restored.processed(name) >= acknowledged, f"{name} has caught up")
        assert restored.counts(name) == expected
        said = streamops("verify", name).stdout
        current = generations.current(restored.files(name))
        assert current is not None
        assert current.start == at_point[name].processed
        superseded = killed_at[name] - sum(at_point[name].processed.values())
        assert superseded > 0
        say(f"{name}: {acknowledged:,} lines, {expected.total():,} words exact; {superseded:,} records were processed "
            f"after the point and are superseded. {said.strip()}")
        assert "no batch log that could be gone back to" in streamops("offsets", "undo", name, check=False).stderr

    restored.stop(DIRECT)
    restored.stop(RECEIVER)


def delete_state(files: StateFiles) -> None:
    """All but the output: what is in the sink is not the job's state."""
    for path in Path(files.url.removeprefix("file://")).iterdir():
        if path.name != OUTPUT:
            with suppress(FileNotFoundError):
                shutil.rmtree(path)
