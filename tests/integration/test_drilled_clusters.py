"""Drills on servers that have a stand-in (two Spark masters with a ZooKeeper, three brokers), and on PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from streamops.adapters.connections import connection
from streamops.adapters.spark.master import Cluster, SparkMaster
from streamops.drills.drill import Drill
from streamops.running.driver_status import Standing
from streamops.stack import spark_cluster
from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack
from streamops.state import evidence

from .conftest import command
from .running import state_of, wait_until
from .test_drills import CANARY, LIMIT_S, REPETITIONS, SEED, WANTED, require_exact, table
from .test_postgresql import let_others_in

if TYPE_CHECKING:
    import pathlib

Say = Callable[[str], None]

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(6 * 3600)]

MASTERS = ("master:kill", "master:lose", "master:pause", "master:restart", "zookeeper:kill", "zookeeper:lose",
           "zookeeper:pause", "zookeeper:restart")
BROKERS = ("broker:kill", "broker:lose", "broker:pause", "broker:restart", "leader:kill", "leader:lose", "leader:pause")
DATABASES = ("database:kill", "database:lose", "database:pause", "database:restart")
#: A leader that is gone, or stands still, is missed after 5 s (`broker.session.timeout.ms`); whoever waits for its
#: answer asks the next one after 10 s at most. Well below the 20 s for which it is away.
LONGEST_GAP_S = 15.0


class Clusters:
    """The stack, and the command line on it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.environment = {**os.environ, **stack.environment()}

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run(command(*arguments), env=self.environment, text=True, capture_output=True,
                             timeout=LIMIT_S, check=False)
        assert ran.returncode == code, f"streamops {' '.join(arguments)}: {ran.returncode}: {ran.stdout}{ran.stderr}"
        return ran

    def drilled(self, pipeline: str, fault: str, say: Say) -> Drill:
        ran = self.run("drill", "run", pipeline, "--fault", fault, "-n", str(REPETITIONS), "--seed", str(SEED), "--yes",
                       "--json")
        say("\n    ".join(line[:300] for line in ran.stderr.splitlines()[-4:]))
        return Drill.from_json(ran.stdout.splitlines()[0])

    def drill_each(self, pipeline: str, faults: tuple[str, ...], say: Say) -> list[Drill]:
        done = [self.drilled(pipeline, each, say) for each in faults if not WANTED or each in WANTED]
        say(table(done))
        for each in done:
            require_exact(each)
        return done

    def status(self, pipeline: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", pipeline, "--json").stdout)["pipelines"][0]
        return found

    @property
    def in_charge(self) -> str:
        def found() -> bool:
            return spark_cluster.in_charge(self.stack.settings) is not None

        wait_until(found, "a master is in charge")
        name = spark_cluster.in_charge(self.stack.settings)
        assert name is not None
        return name


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory, archived_classes: None, say: Say) -> Iterator[Clusters]:
    """Three brokers, two masters, a ZooKeeper, a worker, and Airflow on PostgreSQL, with a canary of each approach."""
    folder: pathlib.Path = tmp_path_factory.mktemp("clusters")
    entries = "".join(CANARY.format(name=f"stood_in_{approach}", approach=approach, cores=2, kafka="kafka_default",
                                    interval_s=1, start_timeout_s=180) for approach in ("direct", "receiver"))
    (folder / "pipelines.yaml").write_text(
        "version: 1\ntopics: {canary: {partitions: 3, replication: 3, configs: {min.insync.replicas: 2}}}\n"
        f"pipelines:\n{entries}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMOPS_PIPELINES", str(folder / "pipelines.yaml"))
        let_others_in(folder)
        made = Stack(StackSettings.on_free_ports(folder / "stack", kafka_brokers=3, kafka_heap_mb=256, spark_masters=2,
                                                 airflow_postgresql=True), say)
        try:
            made.up()
            found = Clusters(made)
            found.run("topics", "apply", "--yes")
            yield found
        finally:
            made.down()


@pytest.mark.parametrize("approach", ["direct", "receiver"])
def test_a_standby_takes_over_and_the_job_goes_on(approach: str, clusters: Clusters, say: Say) -> None:
    pipeline = f"stood_in_{approach}"
    clusters.run("start", pipeline, "--yes")
    driver, epoch = clusters.status(pipeline)["driver"], clusters.status(pipeline)["epoch"]
    done = clusters.drill_each(pipeline, MASTERS, say)
    assert all((fault.times.longest_gap_s or 99) < LONGEST_GAP_S for each in done for fault in each.faults)
    after = clusters.status(pipeline)
    assert (after["driver"], after["epoch"]) == (driver, epoch), "neither master nor ZooKeeper is needed for a batch"
    clusters.run("stop", pipeline, "--yes")


@pytest.mark.parametrize("approach", ["direct", "receiver"])
def test_one_broker_of_three_is_lost_and_the_job_goes_on(approach: str, clusters: Clusters, say: Say) -> None:
    pipeline = f"stood_in_{approach}"
    clusters.run("start", pipeline, "--yes")
    done = clusters.drill_each(pipeline, BROKERS, say)
    clusters.run("stop", pipeline, "--yes")
    worst = {each.faults[0].kind + ":" + each.faults[0].mode: max(one.times.longest_gap_s or 99 for one in each.faults)
             for each in done}
    assert max(worst.values(), default=0) < LONGEST_GAP_S, worst


@pytest.mark.parametrize("approach", ["direct", "receiver"])
def test_airflows_database_is_lost_and_no_batch_is_late(approach: str, clusters: Clusters, say: Say) -> None:
    pipeline = f"stood_in_{approach}"
    clusters.run("start", pipeline, "--yes")
    done = clusters.drill_each(pipeline, DATABASES, say)
    assert all((fault.times.longest_gap_s or 99) < 10 for each in done for fault in each.faults)
    wait_until(lambda: all(one.state == "healthy" for one in clusters.stack.status()), "all of Airflow is there again")
    # A stop is written down in Airflow as well, and its task ends.
    clusters.run("stop", pipeline, "--yes")


def test_with_one_master_of_two_everything_works_and_a_standby_is_no_witness(clusters: Clusters, say: Say) -> None:
    """Submission, relaunch, status, stop; and of what a standby says nothing shows that a driver is gone."""
    stack, pipeline = clusters.stack, "stood_in_direct"
    cluster = Cluster.of(connection("spark_default", stack.environment()))
    lost = clusters.in_charge
    stack.down([lost])
    wait_until(lambda: clusters.in_charge != lost, "the standby has taken over")
    clusters.run("start", pipeline, "--yes")
    held = evidence.holder(state_of(stack, pipeline))
    assert held is not None

    # Its driver was submitted to the one master that was there, and knows the other one as well.
    stack.up([lost])
    standby = "spark-master-1" if clusters.in_charge == "spark-master-2" else "spark-master-2"
    number = int(standby[-1]) - 1
    alone = SparkMaster(Cluster(cluster.master, cluster.rest[number:][:1], cluster.ui[number:][:1]))
    assert alone.look(held.driver).standing is Standing.NO_ANSWER
    assert alone.look("driver-19700101000000-0000").standing is Standing.NO_ANSWER
    assert alone.living() is None
    assert alone.kill(held.driver) is False
    assert SparkMaster(cluster).look(held.driver).standing is Standing.LIVING
    assert SparkMaster(cluster).look("driver-19700101000000-0000").standing is Standing.NOT_KNOWN

    stack.down([clusters.in_charge])
    wait_until(lambda: clusters.in_charge == standby, "the other one is in charge")
    # The driver that is started again registers with a master that it was not submitted to.
    drill = clusters.drilled(pipeline, "driver:kill", say)
    require_exact(drill)
    clusters.run("stop", pipeline, "--yes")
    assert SparkMaster(cluster).look(held.driver).standing in (Standing.ENDED, Standing.NOT_KNOWN)
    stack.up()
