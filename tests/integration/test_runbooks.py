"""Each runbook against its real fault: through Airflow's API, and at a shell with Airflow down.

One pipeline runs through all of it, and what came out of it is counted at the end.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streamops.adapters.spark.master import Cluster, SparkMaster
from streamops.errors import AlarmError
from streamops.running.driver_status import Standing
from streamops.stack.stack import Stack
from streamops.state import batch_log, evidence

from .conftest import command, environment
from .faults import Killer
from .running import covered, state_of, wait_until

if TYPE_CHECKING:
    from tests.conftest import Say

    from .conftest import Airflow, Streamops

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PIPELINE, TOPIC = "called_out", "called"
#: What runs for that long is not healthy: the transform of this pipeline hangs for an hour.
STUCK_S = 8


class OnCall:
    """The pipeline, its faults, and the runbooks by both ways."""

    def __init__(self, stack: Stack, streamops: Streamops, say: Say, folder: Path) -> None:
        self.stack, self.streamops, self.say, self.folder = stack, streamops, say, folder
        self.files = state_of(stack, PIPELINE)
        self.sent = 0
        self.began_s = time.monotonic()
        self.master = SparkMaster(Cluster("", (f"http://127.0.0.1:{stack.settings.spark_rest_port}",), ()))

    def feed(self, *lines: str) -> None:
        self.streamops("feed", "--topic", TOPIC, input="".join(f"{line}\n" for line in lines))
        self.sent += len(lines)

    @contextmanager
    def feeding(self, seconds: int, per_s: int) -> Iterator[None]:
        """Records that come all the while, faster than the slow transform takes them."""
        lines = self.folder / "lines"
        lines.write_text("one two three\n" * seconds * per_s)
        process = subprocess.Popen(command("feed", "--topic", TOPIC, "--rate", str(per_s), str(lines)),
                                   env=environment(self.stack), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.sent += seconds * per_s
        yield
        assert process.wait(timeout=120) == 0

    def driver(self) -> str:
        """The one that lives."""
        [living] = [each.driver for each in evidence.known_drivers(self.files)
                    if self.master.look(each.driver).standing is Standing.LIVING]
        return living

    def epoch(self) -> int:
        held = evidence.holder(self.files)
        assert held is not None
        return held.epoch

    def hang(self, name: str) -> int:
        """Let a batch hang; its number."""
        self.feed(f"hang:{self.folder / name}")
        wait_until((self.folder / name).exists, "the transform hangs")
        time.sleep(STUCK_S)
        head = batch_log.read_head(self.files, 1)
        assert head is not None
        return head.batch + 1

    def logged(self, batch: int) -> bool:
        return self.files.read(batch_log.entry_path(1, batch)) is not None

    def shell(self, runbook: str, *options: str, code: int = 0) -> dict[str, Any]:
        """What the command says in JSON, with the exit status that is expected."""
        began_s = time.monotonic()
        ran = self.streamops("runbook", runbook, PIPELINE, "--yes", "--json", *options, check=False)
        assert ran.returncode == code, f"{ran.returncode}: {ran.stdout}{ran.stderr}"
        assert "Traceback" not in ran.stderr
        print(ran.stderr)
        found: dict[str, Any] = json.loads(ran.stdout)
        recommended = found["recommendation"]
        self._told(f"streamops runbook {runbook}", f"{recommended['what']}, because {recommended['reason']}",
                   found["outcome"] or found["error"] or "-", began_s)
        return found

    def _told(self, what: str, recommended: str, outcome: str, began_s: float) -> None:
        self.say(f"{what}: {recommended[:200]} -> {outcome[:200]} "
                 f"({time.monotonic() - began_s:.0f} s, {time.monotonic() - self.began_s:.0f} s in all)")

    def dag(self, api: Airflow, runbook: str, state: str = "success", mend: Callable[[], None] | None = None,
            **params: Any) -> str:
        """The log of the runbook's tasks once its run ends as expected; `mend` is called when it has looked."""
        began_s = time.monotonic()
        dag = f"runbook_{runbook}"
        run = api.trigger(dag, pipeline=PIPELINE, **params)
        if params.get("approval", True) and state == "success":
            approve(api, dag, run)
        if mend is not None:
            wait_until(lambda: api.task(dag, run, "look")["state"] == "success", "it has looked")
            mend()
        ended = api.wait_for_run(dag, run, timeout_s=240)
        log = self.logs(api, dag, run)
        print(log)
        assert ended == state, log
        recommended = [line for line in log.splitlines() if line.startswith(("Recommended: ", "because "))]
        self._told(f"DAG {dag}", " ".join(recommended[:2]), log.splitlines()[-1], began_s)
        return log

    def logs(self, api: Airflow, dag: str, run: str) -> str:
        said = []
        for task in ("look", "act", "verify"):
            tried = api.task(dag, run, task)["try_number"]
            if tried:
                path = f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{tried}"
                lines = [str(line["event"]) for line in api.call("GET", path)["content"]]
                said += [line for line in lines if not line.startswith(("::", "Pushing xcom"))]
        return "\n".join(said)


def approve(api: Airflow, dag: str, run: str) -> None:
    """As a person does under Required Actions."""
    wait_until(lambda: api.task(dag, run, "approve")["state"] == "awaiting_input", f"{dag} asks for approval")
    time.sleep(3)  # Airflow 3.3 fails a task that is answered in its first second
    api.call("PATCH", f"/dags/{dag}/dagRuns/{run}/taskInstances/approve/-1/hitlDetails",
             json={"chosen_options": ["Approve"], "params_input": {}})


@pytest.fixture(scope="module")
def on_call(stack: Stack, streamops: Streamops, airflow_api: Airflow, say: Say,
            tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnCall]:
    """The pipeline, running under Airflow, with recovery points and a thousand records processed."""
    stack.up(["airflow"])  # an earlier module may have ended with it down
    made = OnCall(stack, streamops, say, tmp_path_factory.mktemp("called"))
    made.feed(*["to be or not"] * 1000)
    streamops("start", PIPELINE, "--yes")
    wait_until(lambda: covered(made.files) == made.sent, "the first records are processed")
    made.began_s = time.monotonic()
    yield made
    stack.up(["kafka"])
    streamops("stop", PIPELINE, "--yes", "--within", "3", check=False)


def test_nothing_is_done_to_what_is_well(on_call: OnCall) -> None:
    driver = on_call.driver()
    found = on_call.shell("driver_lost")
    assert found["recommendation"]["kind"] == "nothing"
    assert "lives and shows life" in found["recommendation"]["reason"]
    assert on_call.driver() == driver


def test_driver_lost_by_the_api_with_an_approval(on_call: OnCall, airflow_api: Airflow) -> None:
    lost, epoch = on_call.driver(), on_call.epoch()
    [run] = [each["dag_run_id"] for each in airflow_api.runs(f"stream_{PIPELINE}") if each["state"] == "running"]
    airflow_api.call("PATCH", f"/dags/stream_{PIPELINE}/dagRuns/{run}", json={"state": "failed"})
    wait_until(lambda: on_call.master.look(lost).standing is not Standing.LIVING, "the driver is killed")
    on_call.feed(*["gone and come"] * 500)
    log = on_call.dag(airflow_api, "driver_lost")
    assert "no driver lives" in log
    assert on_call.driver() != lost
    assert on_call.epoch() > epoch


@pytest.mark.long
def test_driver_lost_with_airflow_down(on_call: OnCall) -> None:
    on_call.stack.down(["airflow"])
    epoch = on_call.epoch()
    on_call.feed(*["killed at work"] * 300)
    Killer(on_call.stack, PIPELINE).driver()  # kill -9, and Spark relaunches it by itself, maybe before anybody looks
    on_call.shell("driver_lost")
    assert on_call.epoch() > epoch

    lost = on_call.driver()
    on_call.master.kill_and_wait(lost, 90)
    on_call.feed(*["killed for good"] * 300)
    found = on_call.shell("driver_lost")
    assert found["recommendation"]["what"] == f"start {PIPELINE}"
    assert "Airflow does not answer" in found["evidence"]["airflow_away"]
    assert on_call.driver() != lost


def test_broker_down_with_airflow_down(on_call: OnCall) -> None:
    on_call.stack.down(["airflow", "kafka"])
    waiting = subprocess.Popen(command("runbook", "broker_down", PIPELINE, "--yes"), env=environment(on_call.stack),
                               text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    time.sleep(14)
    on_call.stack.up(["kafka"])
    said, _ = waiting.communicate(timeout=240)
    print(said)
    assert waiting.returncode == 0, said
    assert "streamops stack up kafka" in said


def test_a_slow_transform_with_airflow_down(on_call: OnCall) -> None:
    on_call.feed(f"slow:{time.time() + 25:.0f}")
    with on_call.feeding(20, 500):
        time.sleep(4)
        found = on_call.shell("lag_growing", code=AlarmError.exit_code)
    assert found["recommendation"]["what"] == "give it more cores, or make the transform faster"
    assert found["evidence"]["rates"]["came_per_s"] > found["evidence"]["rates"]["processed_per_s"]


def test_stuck_batch_with_airflow_down(on_call: OnCall) -> None:
    wait_until(lambda: covered(on_call.files) == on_call.sent, "it has caught up")
    batch = on_call.hang("at a shell")
    found = on_call.shell("stuck_batch", "--longer-than", str(STUCK_S), "--stop-within", "2")
    assert found["recommendation"]["data"]["batch"] == batch
    assert on_call.logged(batch)


@pytest.mark.long
def test_a_slow_transform_by_the_api(on_call: OnCall, airflow_api: Airflow) -> None:
    on_call.stack.up(["airflow"])
    on_call.feed(f"slow:{time.time() + 35:.0f}")
    with on_call.feeding(30, 500):
        time.sleep(5)
        log = on_call.dag(airflow_api, "lag_growing", state="failed")
    assert "give it more cores, or make the transform faster" in log
    assert "Retention reaches unprocessed records in" in log


def test_broker_down_by_the_api(on_call: OnCall, airflow_api: Airflow) -> None:
    on_call.stack.up(["airflow"])
    driver = on_call.driver()
    on_call.stack.down(["kafka"])
    log = on_call.dag(airflow_api, "broker_down", mend=lambda: on_call.stack.up(["kafka"]), approval=False)
    assert "no Kafka broker answers" in log
    assert (on_call.driver() == driver) is ("restarting the driver" not in log), "one that goes on is left alone"


@pytest.mark.long
def test_stuck_batch_by_the_api(on_call: OnCall, airflow_api: Airflow) -> None:
    driver = on_call.driver()
    wait_until(lambda: covered(on_call.files) == on_call.sent, "it has caught up")
    batch = on_call.hang("in Airflow")
    log = on_call.dag(airflow_api, "stuck_batch", approval=False, longer_than_s=STUCK_S, stop_within_s=2)
    assert f"batch {batch}, which was stuck, is in the batch log with the same offset ranges" in log
    assert on_call.driver() != driver


def test_nothing_is_lost_or_doubled(on_call: OnCall) -> None:
    found = on_call.shell("lag_growing")
    assert found["recommendation"]["kind"] in ("wait", "nothing")
    wait_until(lambda: covered(on_call.files) == on_call.sent, "all that was sent is processed")
    on_call.streamops("verify", PIPELINE)
