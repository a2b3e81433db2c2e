"""Pipelines started, stopped, restarted, paused and resumed: through Airflow, beside it, and while it is down.

The tests go on from one another with as few drivers as they can, because each start takes half a minute.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streamops.adapters.spark.master import Cluster, SparkMaster
from streamops.errors import ConfigurationError, RefusedError
from streamops.running.driver_status import Standing
from streamops.stack.stack import Stack
from streamops.state import evidence, orders
from streamops.state.lease import OwnerKind

from .conftest import command, environment
from .faults import Killer
from .running import covered, head, lines_of, state_of, wait_until

if TYPE_CHECKING:
    from .conftest import Airflow, Streamops

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

LINES = 5000


class Cycled:
    """One pipeline of these tests: its files, its drivers as the Spark master has them, its DAG."""

    def __init__(self, name: str, stack: Stack, streamops: Streamops) -> None:
        self.name, self.dag, self.stack, self._streamops = name, f"stream_{name}", stack, streamops
        self.files = state_of(stack, name)
        settings = stack.settings
        self._master = SparkMaster(Cluster("", (f"http://127.0.0.1:{settings.spark_rest_port}",), ()))

    def do(self, action: str, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._streamops(action, self.name, "--yes", *options, check=check)

    def drivers(self) -> list[str]:
        """Every driver that ever started, oldest first."""
        return [each.driver for each in evidence.known_drivers(self.files)]

    def living(self) -> list[str]:
        return [each for each in self.drivers() if self._master.look(each).standing is Standing.LIVING]

    def state(self, driver: str) -> str | None:
        return self._master.look(driver).state

    def kind(self) -> OwnerKind:
        held = evidence.holder(self.files)
        assert held is not None
        return held.owner.kind

    def stop_kind(self, driver: str) -> str | None:
        said = evidence.record(self.files, driver)
        return said.stop_kind if said is not None else None

    def status(self) -> dict[str, Any]:
        [shown] = json.loads(self._streamops("status", self.name, "--json").stdout)["pipelines"]
        return dict(shown)

    def sound(self) -> None:
        self._streamops("verify", self.name)


@pytest.fixture
def cycled(stack: Stack, streamops: Streamops) -> Callable[[str], Cycled]:
    return lambda name: Cycled(name, stack, streamops)


class Feed:
    """What was sent to the topic of these tests, by all of them together."""

    def __init__(self, text: Path, streamops: Streamops, folder: Path) -> None:
        self.sent = 0
        self._streamops = streamops
        self._part = folder / "part"
        self._part.write_bytes(b"\n".join(lines_of(text)[:LINES]) + b"\n")

    def send(self) -> None:
        self._streamops("feed", "--topic", "cycled", str(self._part))
        self.sent += LINES


@pytest.fixture(scope="module")
def feed(text: Path, streamops: Streamops, tmp_path_factory: pytest.TempPathFactory) -> Feed:
    return Feed(text, streamops, tmp_path_factory.mktemp("feed"))


@pytest.fixture(scope="module", autouse=True)
def nothing_left(streamops: Streamops) -> Iterator[None]:
    yield
    streamops("stop", "cycled_manual", "cycled_always", "cycled_receiver", "--yes", "--within", "5", check=False)


def test_a_wrong_name_is_refused_with_the_nearest_one(stack: Stack, streamops: Streamops) -> None:
    refused = streamops("stop", "cycled_manuel", "--yes", check=False)
    assert refused.returncode == ConfigurationError.exit_code
    assert "Did you mean `cycled_manual`?" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_through_airflow(airflow_api: Airflow, cycled: Callable[[str], Cycled], feed: Feed) -> None:
    api, job = airflow_api, cycled("cycled_manual")
    feed.send()
    job.do("start")
    [first] = job.living()
    assert job.kind() is OwnerKind.AIRFLOW
    assert "is done" not in job.do("start").stderr, "a start of what runs does nothing"

    job.do("stop", "--why", "new certificates")
    assert job.state(first) == "FINISHED", "it ended itself, with its batch"
    assert job.stop_kind(first) == "stop_ordered"
    assert {each["state"] for each in api.runs(job.dag)} == {"success"}
    status = job.status()
    assert status["state"] == "stopped"
    assert "new certificates" in status["reason"]

    run = api.trigger(job.dag)
    assert api.wait_for_run(job.dag, run) == "failed", "a run that a person triggers is refused"
    assert job.drivers() == [first]

    job.do("start")
    [second] = job.living()
    job.do("restart")
    [third] = job.living()
    assert len({first, second, third}) == 3
    assert job.state(second) == "FINISHED"
    wait_until(lambda: covered(job.files) == feed.sent, "all that was sent is processed")
    job.sound()


@pytest.mark.long
def test_a_driver_that_hangs_is_killed(airflow_api: Airflow, cycled: Callable[[str], Cycled], stack: Stack) -> None:
    job = cycled("cycled_manual")
    job.do("start")
    [driver] = job.living()
    with Killer(stack, job.name).paused_driver():
        stopped = job.do("stop", "--within", "4")
    assert "has not ended within 4 s" in stopped.stderr
    assert job.state(driver) == "KILLED"
    assert job.living() == []
    assert job.status()["state"] == "stopped"


def test_a_pause_outlives_airflow_and_refuses_whoever_comes(
    airflow_api: Airflow, cycled: Callable[[str], Cycled], stack: Stack, feed: Feed
) -> None:
    api, job = airflow_api, cycled("cycled_manual")
    before = job.drivers()
    job.do("pause", "--why", "the sink moves")
    stack.down(["airflow"])
    stack.up(["airflow"])
    run = api.trigger(job.dag)
    assert api.wait_for_run(job.dag, run) == "failed"
    log = str(api.call("GET", f"/dags/{job.dag}/dagRuns/{run}/taskInstances/driver/logs/1"))
    assert "the sink moves" in log
    assert "streamops resume cycled_manual" in log
    refused = job.do("start", check=False)
    assert refused.returncode == RefusedError.exit_code
    assert "the sink moves" in refused.stderr
    assert job.drivers() == before

    feed.send()
    job.do("resume")
    wait_until(lambda: covered(job.files) == feed.sent, "it goes on where it was")
    job.sound()
    job.do("stop")


@pytest.mark.long
def test_with_airflow_down_a_stop_holds_when_it_is_back(
    airflow_api: Airflow, cycled: Callable[[str], Cycled], stack: Stack, feed: Feed
) -> None:
    api, job = airflow_api, cycled("cycled_always")
    job.do("start")
    [driver] = job.living()
    # Before that, what is not over of the task goes down with Airflow, which then tries it once more.
    wait_until(lambda: api.task(job.dag, api.runs(job.dag)[0]["dag_run_id"])["state"] == "deferred", "it is followed")
    stack.down(["airflow"])
    stopped = job.do("stop")
    assert "Airflow does not answer" in stopped.stdout
    assert job.state(driver) == "FINISHED"
    stack.up(["airflow"])

    def waits() -> bool:
        runs = api.runs(job.dag)
        return len(runs) == 2 and api.task(job.dag, runs[1]["dag_run_id"])["state"] == "up_for_reschedule"

    wait_until(waits, "the next run waits for a start")
    assert job.drivers() == [driver], "nothing was started"
    assert api.runs(job.dag)[0]["state"] == "success", "the run whose driver was stopped is over"

    feed.send()
    job.do("start")
    assert len(job.living()) == 1
    assert len(api.runs(job.dag)) == 2, "the run that waited goes on"
    wait_until(lambda: covered(job.files) == feed.sent, "all that was sent is processed")
    job.sound()

    failed = api.runs(job.dag)[1]["dag_run_id"]
    api.call("PATCH", f"/dags/{job.dag}/dagRuns/{failed}", json={"state": "failed"})

    def backs_off() -> bool:
        runs = api.runs(job.dag)
        return len(runs) == 3 and api.task(job.dag, runs[2]["dag_run_id"])["state"] == "up_for_reschedule"

    wait_until(backs_off, "the run after one that failed early waits before it starts a driver")
    job.do("stop")
    assert api.call("GET", f"/dags/{job.dag}")["is_paused"], "no run comes that would only wait"


def test_with_airflow_down_receivers_process_what_they_received(
    spark_cluster: Stack, cycled: Callable[[str], Cycled], stack: Stack, feed: Feed, airflow_api: Airflow
) -> None:
    job = cycled("cycled_receiver")
    stack.down(["airflow"])
    # Two who start it at once are one driver that commits.
    both = [subprocess.Popen(command("start", job.name, "--yes"), env=environment(stack), text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
    said = [one.communicate(timeout=300)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    wait_until(lambda: len(job.living()) == 1, "the second driver has found the lease taken")
    [driver] = job.living()
    assert job.kind() is OwnerKind.START
    feed.send()
    wait_until(lambda: head(job.files).span > 0, "it processes what is sent")
    feed.send()

    # Whoever gave the order is killed at once; the order stands, and giving it again finds it carried out.
    giver = subprocess.Popen(command("stop", job.name, "--yes"), env=environment(stack), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    wait_until(lambda: (order := orders.standing(job.files)) is not None and order.stops, "the order is given")
    giver.kill()
    giver.wait()
    job.do("stop")
    assert job.state(driver) == "FINISHED"
    assert job.stop_kind(driver) == "stop_ordered"
    held = evidence.holder(job.files)
    assert held is not None
    processed = covered(job.files)
    again = job.do("stop")
    assert "nothing is to be done" in again.stdout
    time.sleep(1)
    assert covered(job.files) == processed

    job.do("start")
    wait_until(lambda: covered(job.files) == feed.sent, "what was not received yet is, exactly once")
    job.sound()
    [another] = job.living()
    stack.up(["airflow"])
    job.do("start")  # hands it to Airflow
    wait_until(lambda: any(airflow_api.task(job.dag, each["dag_run_id"])["state"] == "deferred"
                           for each in airflow_api.runs(job.dag)), "its run follows the driver")
    assert job.living() == [another], "Airflow goes on with the driver that was started while it was down"


def test_the_dag_does_the_same(airflow_api: Airflow, cycled: Callable[[str], Cycled]) -> None:
    job = cycled("cycled_receiver")
    run = airflow_api.trigger("lifecycle", pipelines=[job.name], action="pause", why="by the form")
    assert airflow_api.wait_for_run("lifecycle", run) == "success"
    assert job.living() == []
    assert job.status()["state"] == "paused"
    assert "admin in Airflow" in job.status()["reason"]
    assert "by the form" in job.status()["reason"]
    with pytest.raises(AssertionError, match="400"):
        airflow_api.trigger("lifecycle", pipelines=["no_such"], action="stop")
    refused = airflow_api.trigger("lifecycle", pipelines=[job.name], action="start")
    assert airflow_api.wait_for_run("lifecycle", refused) == "failed"
