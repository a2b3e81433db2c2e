"""The real servers of the test run: each is started once, when the first test asks for it, beside any demo.

Every port is free at the moment of asking and every file lies in a folder of pytest's, so a stack that is up is neither
used nor disturbed.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from streamops.adapters.connections import Connection, connection
from streamops.settings import Settings
from streamops.stack import class_archive
from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack

Say = Callable[[str], None]

JOBS = Path(__file__).parents[1] / "jobs"

# Hypothesis fails an example that takes more than 200 ms; no test may depend on how busy the machine is.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")


def pytest_configure() -> None:
    """A shell without job control lets background commands ignore SIGINT, and so would what the tests interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    """As the process exits libraries log to a stream that Airflow took from pytest, and that is closed by then."""
    logging.raiseExceptions = False


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Say:
    """Prints a line past pytest's capture: progress of what takes long, and figures that a reader wants to see."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def print_now(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n    {line}", end="", flush=True)

    return print_now


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, say: Say) -> Iterator[Stack]:
    """The run's stack, with no server up yet. Ask for `kafka`, `hdfs`, `spark_cluster`, `airflow` to have some."""
    data = tmp_path_factory.mktemp("stack")
    declared = (Path(__file__).parent / "pipelines.yaml").read_text("utf-8")
    (data / "pipelines.yaml").write_text(declared.replace("{data}", str(data)), "utf-8")
    os.environ["STREAMOPS_PIPELINES"] = str(data / "pipelines.yaml")
    # The jobs with a team's own transforms among them, as a deployment has them.
    shutil.copytree(JOBS, data / "jobs", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    shutil.copytree(Path(__file__).parent / "transforms", data / "jobs" / "transforms", dirs_exist_ok=True)
    os.environ["STREAMOPS_JOBS"] = str(data / "jobs")
    # The tests start JVMs by the hundred, which live for a minute each and whose time is the processor's: a driver's
    # start with its first batch takes half of it without the optimising compiler.
    os.environ["JAVA_TOOL_OPTIONS"] = f"{os.environ.get('JAVA_TOOL_OPTIONS', '')} -XX:TieredStopAtLevel=1".strip()
    made = Stack(StackSettings.on_free_ports(data, spark_worker_cores=8), say)
    yield made
    began = time.monotonic()
    made.down()
    say(f"stack down after {time.monotonic() - began:.1f} s")


@pytest.fixture(scope="session")
def kafka(stack: Stack) -> str:
    """Bootstrap servers of a broker that is up."""
    stack.up(["kafka"])
    return stack.settings.bootstrap_servers


@pytest.fixture(scope="session")
def hdfs(stack: Stack) -> Connection:
    """The storage connection of a NameNode and a DataNode that are up: `hdfs.extra["url"]` is where to write."""
    stack.up(["hdfs"])
    return connection("streamops_hdfs", stack.environment())


@pytest.fixture(scope="session")
def archived_classes(stack: Stack, say: Say) -> None:
    """Made by set-up; here where the receiver was changed since. To be asked for before what starts drivers."""
    class_archive.ensure(Settings.load(), say)


@pytest.fixture(scope="session")
def spark_cluster(stack: Stack, archived_classes: None) -> Stack:
    """The stack with a Spark master and worker."""
    stack.up(["spark-master", "spark-worker"])
    return stack


@pytest.fixture(scope="session")
def airflow(stack: Stack, archived_classes: None) -> Stack:
    """The stack with everything up."""
    stack.up()
    return stack
