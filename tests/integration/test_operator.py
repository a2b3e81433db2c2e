"""What happens to a driver when somebody, or something, acts on its Airflow task: each line of docs/airflow.md.

The tests go on from one another with as few drivers as they can, because each start takes half a minute. Left out:
a task that is killed between submitting a driver and storing its id, a gap of milliseconds; test_takeover.py has it.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from streamops.adapters.connections import Connection
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.spark.master import Cluster, SparkMaster
from streamops.running.driver_status import Standing
from streamops.stack import process
from streamops.stack.stack import Stack
from streamops.state import evidence

if TYPE_CHECKING:
    from .conftest import Airflow, Streamops

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PIPELINE, DAG = "operated_direct", "stream_operated_direct"

#: A driver's start takes 25 s on two idle cores; these are for cores that are not idle.
START_S, STOP_S = 240, 40


class Operated:
    """The pipeline of these tests: its newest run, and its drivers as the Spark master sees them."""

    def __init__(self, api: Airflow, stack: Stack) -> None:
        self.api, self.stack = api, stack
        self.run = ""
        settings = stack.settings
        self.master = SparkMaster(Cluster(
            "", (f"http://127.0.0.1:{settings.spark_rest_port}",), (f"http://127.0.0.1:{settings.spark_master_ui_port}",)))
        storage = Connection("storage", extra={"url": settings.streams.as_uri()})
        self.files = StateFiles.at(storage, PIPELINE)

    def trigger(self) -> None:
        self.run = self.api.trigger(DAG)

    def task(self) -> dict[str, Any]:
        return self.api.task(DAG, self.run)

    def mark(self, state: str) -> None:
        self.api.call("PATCH", f"/dags/{DAG}/dagRuns/{self.run}/taskInstances/driver", json={"new_state": state})

    def clear(self) -> None:
        wanted = {"dag_run_id": self.run, "task_ids": ["driver"], "only_failed": False, "dry_run": False}
        self.api.call("POST", f"/dags/{DAG}/clearTaskInstances", json={**wanted, "reset_dag_runs": True})
        self.until(lambda: self.task()["state"] == "running", "the cleared task runs", START_S)

    def mark_run(self, state: str) -> None:
        self.api.call("PATCH", f"/dags/{DAG}/dagRuns/{self.run}", json={"state": state})

    def delete_run(self) -> None:
        self.api.call("DELETE", f"/dags/{DAG}/dagRuns/{self.run}")

    def drivers(self) -> list[str]:
        """Every driver that ever started, oldest first."""
        return [each.driver for each in evidence.known_drivers(self.files)]

    def at_master(self) -> set[str]:
        """Every driver that the master knows to be alive, from the moment of its submission."""
        page = httpx.get(f"http://127.0.0.1:{self.stack.settings.spark_master_ui_port}/json/")
        return {each["id"] for each in page.json()["activedrivers"]}

    def living(self) -> list[str]:
        return [each for each in self.drivers() if self.master.look(each).standing is Standing.LIVING]

    def deferred(self) -> str:
        """The one driver that lives, once the task waits for its end."""
        self.until(lambda: self.task()["state"] == "deferred", "the task is deferred", START_S)
        [driver] = self.living()
        return driver

    def followed(self) -> str:
        """As `deferred`, once the triggerer has the trigger for sure: Airflow forgets to kill before that."""
        driver = self.deferred()
        time.sleep(3)
        return driver

    def ended(self, driver: str) -> None:
        self.until(lambda: driver not in self.living(), f"{driver} has ended", STOP_S)

    def until(self, holds: Callable[[], bool], what: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < deadline, f"{what}: not within {timeout_s:.0f} s; the task is {self.task()}"
            time.sleep(0.3)


@pytest.fixture(scope="module")
def operated(airflow_api: Airflow, airflow: Stack, hdfs: Connection) -> Iterator[Operated]:
    """The pipeline with a run whose task is deferred, the only driver of this stack that these tests look at.

    HDFS is up because a pipeline keeps its state there, and the reconciliation asks every pipeline.
    """
    job = Operated(airflow_api, airflow)
    job.trigger()
    yield job
    with suppress(AssertionError):
        airflow_api.call("PATCH", f"/dags/{DAG}/dagRuns/{job.run}", json={"state": "failed"})
    for driver in job.living():
        job.master.kill_and_wait(driver)


def kill(*servers: str, stack: Stack) -> None:
    """SIGKILL for servers and everything that they have started."""
    for server in servers:
        pid = stack.pid(server)
        assert pid is not None
        # A worker's drivers are processes of its own; they are to find out for themselves.
        members = [psutil.Process(pid)] if server.startswith("spark") else process.members(stack.folder, server)
        for member in members:
            with suppress(psutil.NoSuchProcess):
                member.send_signal(signal.SIGKILL)
        psutil.wait_procs(members, timeout=10)  # the kernel takes its time to close their ports


def test_the_task_waits_for_the_first_batch_and_then_holds_no_process(operated: Operated) -> None:
    driver = operated.deferred()
    assert evidence.proof_of_start(operated.files, driver) is not None
    scheduler = process.members(operated.stack.folder, "airflow-scheduler")
    assert not [one for one in scheduler if "java" in one.name()], "spark-submit, or its driver, is the scheduler's"


def test_the_submitter_gives_nothing_of_airflow_to_spark(operated: Operated) -> None:
    """Spark hands the environment of spark-submit on to the driver, and its master writes that to the disk."""
    operated.deferred()
    written = [path.read_bytes() for path in (operated.stack.settings.data / "spark" / "recovery").rglob("driver_*")]
    assert written
    key = operated.stack.credentials.fernet_key.encode()
    assert not [file for file in written if key in file or b"AIRFLOW" in file]


def test_pausing_the_dag_and_stopping_or_killing_airflow_leave_the_driver_alone(operated: Operated) -> None:
    driver = operated.followed()
    operated.api.pause(DAG)
    operated.stack.down(["airflow-triggerer"])
    assert operated.living() == [driver], "a triggerer that is stopped must not stop what it follows"
    kill("airflow-api", "airflow-scheduler", "airflow-dag-processor", stack=operated.stack)
    operated.stack.up(["airflow"])
    operated.api.unpause(DAG)
    assert operated.deferred() == driver
    assert operated.drivers() == [driver], "a second driver was submitted"
    assert operated.task()["try_number"] == 1
    with pytest.raises(AssertionError, match="cannot be deleted in running state"):
        operated.delete_run()


@pytest.mark.long
def test_a_master_that_is_away_for_a_while_is_no_failure(operated: Operated) -> None:
    driver = operated.deferred()
    kill("spark-master", stack=operated.stack)
    time.sleep(8)  # more than one look of the trigger
    operated.stack.up(["spark-master"])
    time.sleep(8)
    assert operated.deferred() == driver
    assert operated.task()["try_number"] == 1


@pytest.mark.long
def test_a_driver_that_lost_its_worker_is_followed_under_its_new_id(operated: Operated) -> None:
    driver = operated.deferred()
    kill("spark-worker", stack=operated.stack)
    operated.stack.up(["spark-worker"])
    operated.until(lambda: operated.task()["state"] != "deferred", "the lost worker is noticed", START_S)
    assert operated.deferred() != driver
    assert operated.task()["try_number"] == 1, "Spark submits the driver again by itself"


@pytest.mark.long
def test_a_driver_that_the_master_has_forgotten_is_submitted_anew(operated: Operated) -> None:
    driver = operated.followed()
    operated.stack.down(["spark-master"])
    shutil.rmtree(operated.stack.settings.data / "spark" / "recovery")
    operated.stack.up(["spark-master"])
    operated.until(lambda: operated.task()["try_number"] == 2, "the next try begins", START_S)
    assert operated.deferred() != driver


def test_clearing_a_deferred_task_replaces_the_driver(operated: Operated) -> None:
    driver = operated.followed()
    operated.clear()
    assert operated.deferred() != driver
    assert operated.master.look(driver).state == "KILLED"


def test_marking_a_task_success_ends_the_driver_and_clearing_it_then_starts_another(
    operated: Operated, streamops: Streamops
) -> None:
    driver = operated.followed()
    operated.mark("success")
    operated.ended(driver)
    operated.clear()
    another = operated.deferred()
    assert another != driver

    # At once: Airflow 3.3 does not kill what is not yet with the triggerer, so that the driver is left behind.
    operated.mark("failed")
    assert operated.api.wait_for_run(DAG, operated.run) == "failed"
    operated.delete_run()
    streamops("drivers", "reconcile", "--apply")
    assert operated.living() == []
    assert another in streamops("drivers", "list", "--all").stdout


@pytest.mark.parametrize("act", [
    pytest.param(lambda operated: operated.mark("failed"), id="the task marked failed"),
    pytest.param(lambda operated: operated.mark_run("failed"), id="the run marked failed",
                 marks=pytest.mark.long),
])
def test_a_task_that_is_still_starting_its_driver_ends_it(
    operated: Operated, streamops: Streamops, act: Callable[[Operated], None]
) -> None:
    before = operated.at_master()
    operated.trigger()
    operated.until(lambda: operated.at_master() > before, "the master has the driver", START_S)
    [driver] = operated.at_master() - before
    act(operated)
    operated.until(lambda: operated.master.look(driver).standing is not Standing.LIVING, f"{driver} has ended", STOP_S)
    assert "stop " not in streamops("drivers", "reconcile").stdout, "nothing was left for the reconciliation"
