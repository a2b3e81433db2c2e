"""Spark standalone out of the pyspark wheel: a master with its REST gateway, and one worker.

The daemons are started as `spark-class` would, without the extra JVM that it starts to find out how.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from streamops.adapters.spark.install import OPENED_MODULES, spark_home
from streamops.errors import UnavailableError
from streamops.stack import hdfs, probes
from streamops.stack.java import java
from streamops.stack.jvm import daemon_options
from streamops.stack.process import Server
from streamops.stack.settings import LOOPBACK, StackSettings

MASTER, WORKER = "spark-master", "spark-worker"


def servers(settings: StackSettings, environment: dict[str, str]) -> list[Server]:
    """The master and the worker."""
    folder = settings.data / "spark"
    environment = {
        **environment,
        # Also where the pages bind; Spark has no setting for that but this variable.
        "SPARK_LOCAL_IP": LOOPBACK,
        "SPARK_PUBLIC_DNS": LOOPBACK,
        "SPARK_HOME": str(spark_home()),
        # spark-class would find it out; without it the worker cannot put an executor's command together.
        "SPARK_SCALA_VERSION": _scala_version(),
        # Drivers and executors inherit these from the worker: the same Python as everything else here.
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        # And this: the settings for clients of the embedded HDFS. The folder is there once HDFS was started.
        "HADOOP_CONF_DIR": str(hdfs.client_configuration(settings)),
    }
    master = Server(
        name=MASTER,
        command=_command(
            settings,
            "master.Master",
            *("--host", LOOPBACK, "--port", str(settings.spark_master_port)),
            *("--webui-port", str(settings.spark_master_ui_port)),
            *("--properties-file", str(folder / "master.conf")),
        ),
        environment=environment,
        probe=probes.spark_master(settings.spark_master_ui_port, settings.spark_rest_port),
        ports={
            "spark_master_port": settings.spark_master_port,
            "spark_master_ui_port": settings.spark_master_ui_port,
            "spark_rest_port": settings.spark_rest_port,
        },
        prepare=lambda: _write(folder / "master.conf", master_properties(settings)),
    )
    worker = Server(
        name=WORKER,
        command=_command(
            settings,
            "worker.Worker",
            *("--host", LOOPBACK, "--webui-port", str(settings.spark_worker_ui_port)),
            *("--cores", str(settings.spark_worker_cores), "--memory", f"{settings.spark_worker_memory_mb}M"),
            *("--work-dir", str(folder / "work"), "--properties-file", str(folder / "worker.conf")),
            f"spark://{LOOPBACK}:{settings.spark_master_port}",
        ),
        environment=environment,
        probe=probes.spark_worker(settings.spark_master_ui_port, settings.spark_worker_ui_port),
        ports={"spark_worker_ui_port": settings.spark_worker_ui_port},
        prepare=lambda: _prepare_worker(settings, folder),
        # Drivers and executors end well within this, and find their last batch whole either way.
        leftovers_timeout_s=3,
    )
    return [master, worker]


def _scala_version() -> str:
    """The Scala that this Spark is built with: `2.13`, from `spark-core_2.13-4.2.0.jar`."""
    jar = next((spark_home() / "jars").glob("spark-core_*.jar"))
    return jar.name.removeprefix("spark-core_").split("-", 1)[0]


def master_properties(settings: StackSettings) -> dict[str, object]:
    """What the master is told beside its ports."""
    return {
        "spark.master.rest.enabled": "true",
        "spark.master.rest.host": LOOPBACK,
        "spark.master.rest.port": settings.spark_rest_port,
        # A master that is killed and started again still knows its drivers and workers.
        "spark.deploy.recoveryMode": "FILESYSTEM",
        "spark.deploy.recoveryDirectory": settings.data / "spark" / "recovery",
        # How long it then waits for workers and applications to come back, 60 s by default. Living ones answer within
        # a second; after a `down` there is none, and supervised drivers are launched again when this is over.
        "spark.deploy.recoveryTimeout": "8s",
        # A taken port is an error with a name; Spark would quietly take the next one.
        "spark.port.maxRetries": 0,
    }


def worker_properties() -> dict[str, object]:
    """What the worker is told beside its size."""
    return {
        # Work folders of drivers and executors that ended a day ago go; by default they stay for ever.
        "spark.worker.cleanup.enabled": "true",
        "spark.worker.cleanup.interval": 1800,
        "spark.worker.cleanup.appDataTtl": 86400,
        # A driver that is told to end may process what it received (`receiver.stop_within_s`) before it is killed; the
        # default is 10 s. A worker that waits for a driver sends no heartbeat: after `spark.worker.timeout` (60 s, of
        # which the last heartbeat may be 15 s old) the master would give it up with all that it runs.
        "spark.worker.driverTerminateTimeout": "40s",
        # An executor of a stream runs for months: its log rolls.
        "spark.executor.logs.rolling.strategy": "size",
        "spark.executor.logs.rolling.maxSize": 10 * 2**20,
        "spark.executor.logs.rolling.maxRetainedFiles": 3,
        "spark.port.maxRetries": 0,
    }


def _prepare_worker(settings: StackSettings, folder: Path) -> None:
    _write(folder / "worker.conf", worker_properties())
    # A worker that finds no master tries again only after 5 to 15 s. The master's port is enough to wait for: one that
    # recovers takes workers in, and needs them.
    deadline = time.monotonic() + settings.start_timeout_s
    while True:
        try:
            return probes.accepts(settings.spark_master_port)
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _write(path: Path, properties: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{key} {value}\n" for key, value in properties.items()), "utf-8")


def _command(settings: StackSettings, daemon: str, *arguments: str) -> tuple[str, ...]:
    return (
        java(),
        *daemon_options(settings, settings.spark_daemon_heap_mb),
        # The optimising compiler would take longer than these daemons ever work.
        "-XX:TieredStopAtLevel=1",
        *OPENED_MODULES,
        "-Dio.netty.tryReflectionSetAccessible=true",
        "-cp",
        f"{spark_home() / 'jars'}/*",
        f"org.apache.spark.deploy.{daemon}",
        *arguments,
    )
