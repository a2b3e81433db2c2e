"""Drills on the whole stack: what `streamops drill run` and the DAG `drill_recovery` do to pipelines, and find out.

    STREAMOPS_TEST_DRILLS=10 STREAMOPS_TEST_SEED=7 pytest tests/integration/test_drills.py -k "matrix or cut or hdfs"

repeats each fault of the matrix that often (`make drills`, with test_drilled_clusters.py), at moments that the seed
repeats;
STREAMOPS_TEST_FAULT_NAMES=driver:kill,executor:kill inflicts only these.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from streamops.adapters.connections import Connection
from streamops.drills.drill import Drill, DrillState
from streamops.drills.faults import FAULTS
from streamops.drills.verdict import Kind, Outcome
from streamops.stack import process
from streamops.stack.stack import Stack
from streamops.state import batch_log

from . import broken_jobs
from .conftest import command, environment
from .running import state_of, wait_until

if TYPE_CHECKING:
    from .conftest import Airflow, Streamops

Say = Callable[[str], None]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(6 * 3600)]

SEED = int(os.environ.get("STREAMOPS_TEST_SEED", "0")) or random.randrange(1, 10**6)
REPETITIONS = int(os.environ.get("STREAMOPS_TEST_DRILLS", "1"))
#: What `make test` inflicts on the direct canary.
SOME = ("driver", "executor", "broker", "scheduler")
#: Ends one command that hangs, and no other.
LIMIT_S = 2 * 3600
#: What a loaded machine with two cores may need beyond the objectives, which `make drills` holds it to.
PATIENCE_S = 90.0


def drilled(streamops: Streamops, say: Say, *arguments: str, code: int = 0) -> list[Drill]:
    """The drills of one command, as they are stored."""
    ran = streamops("drill", "run", *arguments, "--seed", str(SEED), "--yes", "--json", check=False)
    for line in ran.stderr.splitlines():
        say(line[:400])
    assert ran.returncode == code, f"seed {SEED}: {ran.returncode}: {ran.stdout}{ran.stderr}"
    return [Drill.from_json(line) for line in ran.stdout.splitlines()]


def options(faults: tuple[str, ...]) -> list[str]:
    return [part for fault in faults for part in ("--fault", fault)]


def require_exact(drill: Drill) -> None:
    assert drill.verdict is not None, drill.error
    assert drill.verdict.outcome is Outcome.EXACT, drill.verdict.describe()
    assert drill.state is DrillState.PASSED, drill.error
    total = drill.verdict.total
    assert total.delivered >= total.acknowledged > 100, drill.verdict.describe()


def table(drills: list[Drill]) -> str:
    """Lost, doubled, reordered of each drill's records, and the times of each of its faults."""
    lines = [f"{'pipeline':18s}{'fault':22s}{'runs':>5s}{'lost':>6s}{'doubled':>9s}{'reordered':>11s}"
             f"{'detected':>10s}{'first batch':>13s}{'worst':>8s}{'caught up':>11s}{'longest gap':>13s}"]
    for drill in drills:
        assert drill.verdict is not None
        counts = [drill.verdict.count(kind) for kind in (Kind.LOST, Kind.DOUBLED, Kind.REORDERED)]
        for fault in sorted({f"{each.kind}:{each.mode}" for each in drill.faults}):
            times = [each.times for each in drill.faults if f"{each.kind}:{each.mode}" == fault]
            figures = [[value for one in times if (value := getattr(one, name)) is not None] for name in (
                "detected_s", "first_batch_s", "caught_up_s", "longest_gap_s")]
            detected, first, caught, gap = (f"{median(each):.1f}" if each else "-" for each in figures)
            lines.append(f"{drill.pipeline:18s}{fault:22s}{len(times):5d}{counts[0]:6d}{counts[1]:9d}{counts[2]:11d}"
                         f"{detected:>10s}{first:>13s}{max(figures[1], default=0):8.1f}{caught:>11s}{gap:>13s}")
    return "\n".join(lines)


def test_the_direct_canary_comes_back_from_each_fault_with_every_record(
    airflow_api: Airflow, stack: Stack, streamops: Streamops, say: Say
) -> None:
    """Driver, executor, broker, and Airflow's scheduler, whose loss interrupts nothing."""
    (drill,) = drilled(streamops, say, "canary_direct", *options(SOME))
    say(table([drill]))
    require_exact(drill)
    assert {each.kind for each in drill.faults} == set(SOME)
    for fault in drill.faults:
        assert fault.inflicted_at is not None, fault.kind
        assert fault.healed_at is not None, fault.kind
        assert fault.times.first_batch_s is not None, fault.kind
        assert fault.times.first_batch_s < PATIENCE_S, fault.kind
    airflow = next(each for each in drill.faults if each.kind == "scheduler")
    assert airflow.times.longest_gap_s is not None
    assert airflow.times.longest_gap_s < 10, "the job goes on as if nothing had happened"
    assert "nothing was left" in streamops("drill", "heal").stdout
    # It was started for the drill, and is stopped again.
    assert json.loads(streamops("status", "canary_direct", "--json").stdout)["pipelines"][0]["state"] == "stopped"


@pytest.mark.long
def test_a_drill_that_is_killed_leaves_a_fault_that_the_next_one_heals(
    airflow_api: Airflow, stack: Stack, streamops: Streamops, background: Callable[..., subprocess.Popen[str]], say: Say
) -> None:
    """Paused executors would stand still for ever: nothing but the record of the fault knows of them."""
    killed = background("drill", "run", "canary_direct", "--fault", "executor:pause", "--yes",
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = stack.settings.data / "drills" / "open"
    wait_until(lambda: bool(list(journal.glob("*.json"))), "a fault is written down")
    (record,) = (json.loads(path.read_text()) for path in journal.glob("*.json"))
    wait_until(lambda: standing_still(stack) == {each["pid"] for each in record["aim"]["victims"]}, "it stands still")
    refused = streamops("drill", "run", "canary_direct", "--yes", check=False)
    assert refused.returncode == 3
    assert f"another drill is at work: process {killed.pid}" in refused.stderr
    killed.send_signal(signal.SIGKILL)
    killed.wait(timeout=30)
    assert standing_still(stack), "nobody has healed it"

    (drill,) = drilled(streamops, say, "canary_direct", "--fault", "executor")
    require_exact(drill)
    assert not standing_still(stack)
    assert not list(journal.glob("*.json"))
    # The killed one is in the database too, with its end.
    before = json.loads(streamops("drill", "show", str((drill.number or 0) - 1), "--json").stdout)
    assert before["state"] == "ended"
    assert before["faults"][0]["healed_at"] is not None
    # It had started the canary, which is stopped again.
    assert json.loads(streamops("status", "canary_direct", "--json").stdout)["pipelines"][0]["state"] == "stopped"


def standing_still(stack: Stack) -> set[int]:
    """Processes of the stack that are stopped by a signal."""
    return {one.pid for one in process.members(stack.folder) if one.status() == "stopped"}


@pytest.mark.long
def test_cancelling_the_task_heals_at_once(
    airflow_api: Airflow, stack: Stack, streamops: Streamops, say: Say
) -> None:
    """By Airflow's API, as the page does it: mark the task as failed."""
    run = airflow_api.trigger("drill_recovery", pipelines=["canary_direct"], faults=["driver:pause"])
    wait_until(lambda: bool(standing_still(stack)), "the driver stands still")
    began = time.monotonic()
    airflow_api.call("PATCH", f"/dags/drill_recovery/dagRuns/{run}/taskInstances/drill", json={"new_state": "failed"})
    wait_until(lambda: not standing_still(stack), "it goes on")
    healed_s = time.monotonic() - began
    say(f"healed {healed_s:.1f} s after the task was marked as failed")
    assert airflow_api.wait_for_run("drill_recovery", run) == "failed"
    # Paused for 18 s: who waits for that has not healed at once. Airflow's own beat tells the task, every 5 s or so.
    assert healed_s < 15
    streamops("drill", "heal")
    wait_until(lambda: json.loads(streamops("status", "canary_direct", "--json").stdout)["pipelines"][0]["state"]
               == "stopped", "the canary is stopped")


@pytest.mark.long
def test_production_is_refused_unless_it_allows_drills_and_a_person_approves(
    airflow_api: Airflow, stack: Stack, streamops: Streamops, background: Callable[..., subprocess.Popen[str]],
    tmp_path: Any, say: Say
) -> None:
    """`produced` allows drills, `lines_direct` does not. A drill leaves no trace in its topic and its output."""
    refused = streamops("drill", "run", "lines_direct", "--yes", check=False)
    assert refused.returncode == 3
    assert "drills: {allowed: true}" in refused.stderr
    unasked = streamops("drill", "run", "produced", check=False, stdin=subprocess.DEVNULL)
    assert unasked.returncode == 1, "without an answer nothing is inflicted"

    streamops("start", "produced", "--yes")
    text = tmp_path / "text"
    text.write_text("".join(f"line {number}\n" for number in range(1000)))
    with (tmp_path / "fed.json").open("w") as fed:
        feeder = background("feed", "--topic", "produced", str(text), "--rate", "50", "--repeat", "0", "--json",
                            stdout=fed, stderr=subprocess.DEVNULL)
        run = airflow_api.trigger("drill_recovery", pipelines=["produced"], faults=["executor"])
        wait_until(lambda: airflow_api.task("drill_recovery", run, "approve")["state"] == "awaiting_input",
                   "a person is asked")
        time.sleep(4)  # the scheduler must have seen that it waits
        path = f"/dags/drill_recovery/dagRuns/{run}/taskInstances/approve/-1/hitlDetails"
        assert "PRODUCTION" in airflow_api.call("GET", path)["body"]
        airflow_api.call("PATCH", path, json={"chosen_options": ["Approve"], "params_input": {}})
        assert airflow_api.wait_for_run("drill_recovery", run, timeout_s=300) == "success"
        feeder.send_signal(signal.SIGINT)
        assert feeder.wait(timeout=60) == 0
    acknowledged = json.loads((tmp_path / "fed.json").read_text())["acknowledged"]
    files = state_of(stack, "produced")
    wait_until(lambda: sum(entry.rows for entry in batch_log.entries(files, 1)) >= acknowledged, "all is processed")
    assert sum(entry.rows for entry in batch_log.entries(files, 1)) == acknowledged, "the feeder's records, no other"
    shown = json.loads(streamops("drill", "list", "produced", "--json").stdout)
    say(json.dumps(shown)[:300])
    drill = Drill.from_json(streamops("drill", "show", str(shown[0]["number"]), "--json").stdout)
    assert drill.state is DrillState.PASSED
    assert drill.ledger is None
    assert drill.verdict is not None
    assert drill.verdict.log is not None
    assert drill.verdict.log.sound
    streamops("stop", "produced", "--yes")


class Apart:
    """Pipelines in a file of their own, which Airflow does not know: they are started from the shell."""

    def __init__(self, stack: Stack, folder: Any, entries: str) -> None:
        self.file = folder / "pipelines.yaml"
        self.file.write_text("version: 1\ntopics: {canary: {partitions: 2, replication: 1}}\npipelines:\n" + entries)
        self._environment = {**os.environ, **stack.environment(), "STREAMOPS_PIPELINES": str(self.file)}
        self._environment.pop("AIRFLOW_CONN_STREAMOPS_AIRFLOW")

    def run(self, *arguments: str, say: Say, code: int = 0, **variables: str) -> list[Drill]:
        ran = subprocess.run(command("drill", "run", *arguments, "--seed", str(SEED), "--yes", "--json"),
                             env={**self._environment, **variables}, text=True, capture_output=True, timeout=LIMIT_S,
                             check=False)
        for line in ran.stderr.splitlines():
            say(line[:400])
        assert ran.returncode == code, f"seed {SEED}: {ran.returncode}: {ran.stdout}{ran.stderr}"
        return [Drill.from_json(line) for line in ran.stdout.splitlines()]


CANARY = """
  {name}:
    approach: {approach}
    topics: [canary]
    transform: identity
    sink: {{type: parquet}}
    interval_s: {interval_s}
    resources: {{executor_cores: {cores}}}
    connections: {{kafka: {kafka}}}
    drills: {{canary: true}}
    start_timeout_s: {start_timeout_s}
    run: manual
"""


@pytest.mark.long
@pytest.mark.parametrize(("name", "kinds"), [
    pytest.param("a_sink_that_appends", {Kind.DOUBLED}, id="a sink that is not idempotent"),
    pytest.param("a_commit_before_the_store", {Kind.LOST}, id="commit before store"),
    pytest.param("a_log_written_too_early", {Kind.LOST}, id="a batch log written too early"),
])
def test_a_broken_job_is_found_out(
    name: str, kinds: set[Kind], airflow_api: Airflow, stack: Stack, tmp_path: Any, say: Say
) -> None:
    jobs = broken_jobs.write(stack.settings.data / "jobs", name, tmp_path / "jobs")
    # In most of each interval the broken job is where a crash shows what is wrong with it.
    apart = Apart(stack, tmp_path, CANARY.format(name=name, approach="direct", cores=1, kafka="kafka_default",
                                                 interval_s=broken_jobs.WINDOW_S + 1, start_timeout_s=60))
    (drill,) = apart.run(name, "--fault", "driver", "-n", "2", say=say, code=7, STREAMOPS_JOBS=str(jobs))
    assert drill.state is DrillState.FAILED
    assert drill.verdict is not None
    say(f"{name}: {drill.verdict.describe()}")
    assert drill.verdict.outcome is Outcome.WRONG
    found = {finding.kind for finding in drill.verdict.findings}
    assert found & kinds, found


#: Each fault that the embedded stack can suffer with its state on this machine's disk, and HDFS's below it.
MATRIX = (
    "driver:kill", "driver:pause", "driver:restart", "executor:kill", "executor:pause", "receiver:kill",
    "receiver:pause", "worker:kill", "worker:pause", "worker:restart", "master:kill", "master:pause", "master:restart",
    "broker:kill", "broker:pause", "broker:restart", "leader:kill", "scheduler:kill", "scheduler:pause",
    "triggerer:kill", "state:disk_full", "checkpoint:corrupt", "wal:tear", "offsets:reset", "second_driver:submit",
)
ON_HDFS = ("datanode:kill", "datanode:pause", "namenode:kill", "namenode:pause")
NETWORK = ("network:cut", "network:refuse")
WANTED = tuple(filter(None, os.environ.get("STREAMOPS_TEST_FAULT_NAMES", "").split(",")))
#: Seconds until the second batch after a fault, in the median (issue and objectives: docs/drills.md).
MEDIANS_S = {"driver:kill": 12.0, "executor:kill": 5.0}
#: Fewer say nothing of a median.
ENOUGH = 10


def each_fault(drill: Callable[[str], Drill], faults: tuple[str, ...], approach: str, say: Say) -> list[Drill]:
    """One drill a fault, so that one which fails hides no other."""
    wanted = [name for name in faults if approach in FAULTS[name].approaches and (not WANTED or name in WANTED)]
    done = [drill(name) for name in wanted]
    say(table(done))
    return done


def require_all(drills: list[Drill]) -> None:
    """Every record of every drill, and the times that are promised where there are enough of them."""
    assert [each.error for each in drills] == [None] * len(drills)
    for each in drills:
        require_exact(each)
        fault = f"{each.faults[0].kind}:{each.faults[0].mode}"
        times = [one.times.first_batch_s for one in each.faults if one.times.first_batch_s is not None]
        assert len(times) == len(each.faults), fault
        if len(times) >= ENOUGH and fault in MEDIANS_S:
            assert median(times) <= MEDIANS_S[fault], f"{fault}: {sorted(times)}"
        if each.faults[0].kind in ("scheduler", "triggerer"):
            assert all((one.times.longest_gap_s or 99) < 10 for one in each.faults), "Airflow is not needed for a batch"


@pytest.mark.long
@pytest.mark.parametrize("approach", ["direct", "receiver"])
def test_the_matrix_of_faults(
    approach: str, airflow_api: Airflow, stack: Stack, streamops: Streamops, say: Say
) -> None:
    pipeline = f"canary_{approach}"

    def drill(fault: str) -> Drill:
        ran = subprocess.run(command("drill", "run", pipeline, "--fault", fault, "-n", str(REPETITIONS), "--seed",
                                     str(SEED), "--yes", "--json"), env=environment(stack), text=True,
                             capture_output=True, timeout=LIMIT_S, check=False)
        lines = ran.stderr.splitlines()
        say("\n    ".join(line[:300] for line in (lines if ran.returncode else lines[-4:])))
        assert ran.stdout, ran.stderr
        return Drill.from_json(ran.stdout.splitlines()[0])

    # It runs all the while, and each drill finds it running and leaves it so.
    streamops("start", pipeline, "--yes")
    done = each_fault(drill, MATRIX, approach, say)
    streamops("stop", pipeline, "--yes")
    require_all(done)


@pytest.mark.long
@pytest.mark.parametrize("approach", ["direct", "receiver"])
def test_the_network_is_cut_between_job_and_broker(
    approach: str, airflow_api: Airflow, stack: Stack, tmp_path: Any, say: Say
) -> None:
    stack.up(["broker-proxy"])
    name = f"proxied_{approach}"
    apart = Apart(stack, tmp_path, CANARY.format(name=name, approach=approach, cores=2, kafka="kafka_proxied",
                                                 interval_s=1, start_timeout_s=180))
    faults = [part for each in NETWORK for part in ("--fault", each)]
    drills = apart.run(name, *faults, "-n", str(REPETITIONS), say=say)
    say(table(drills))
    require_exact(drills[0])
    assert all(each.times.first_batch_s is not None for each in drills[0].faults)
    stack.down(["broker-proxy"])


@pytest.mark.long
@pytest.mark.parametrize("approach", ["direct", "receiver"])
def test_hdfs_is_lost_below_the_state(
    approach: str, airflow_api: Airflow, hdfs: Connection, stack: Stack, tmp_path: Any, say: Say
) -> None:
    name = f"on_hdfs_{approach}"
    entry = CANARY.format(name=name, approach=approach, cores=2, kafka="kafka_default", interval_s=1,
                          start_timeout_s=180)
    apart = Apart(stack, tmp_path, entry.replace("kafka: kafka_default", "storage: streamops_hdfs"))
    faults = [part for each in ON_HDFS for part in ("--fault", each)]
    drills = apart.run(name, *faults, "-n", str(REPETITIONS), say=say)
    say(table(drills))
    require_exact(drills[0])
