"""Spark standalone out of the pyspark wheel: a master with its REST gateway, or two, and one worker.

Two masters have a ZooKeeper, out of the same wheel, which keeps what they know and elects the one in charge.

The daemons are started as `spark-class` would, without the extra JVM that it starts to find out how.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from streamops.adapters.spark.install import OPENED_MODULES, spark_home
from streamops.errors import UnavailableError
from streamops.stack import hdfs, probes, zookeeper
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
        "SPARK_SCALA_VERSION": scala_version(),
        # Drivers and executors inherit these from the worker: the same Python as everything else here.
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        # And this: the settings for clients of the embedded HDFS. The folder is there once HDFS was started.
        "HADOOP_CONF_DIR": str(hdfs.client_configuration(settings)),
    }
    ui_ports = settings.of_each_master(settings.spark_master_ui_port)
    worker = Server(
        name=WORKER,
        command=_command(
            settings,
            "worker.Worker",
            *("--host", LOOPBACK, "--webui-port", str(settings.spark_worker_ui_port)),
            *("--cores", str(settings.spark_worker_cores), "--memory", f"{settings.spark_worker_memory_mb}M"),
            *("--work-dir", str(folder / "work"), "--properties-file", str(folder / "worker.conf")),
            settings.spark_master_url,
        ),
        environment=environment,
        probe=probes.spark_worker(ui_ports, settings.spark_worker_ui_port),
        ports={"spark_worker_ui_port": settings.spark_worker_ui_port},
        prepare=lambda: _prepare_worker(settings, folder),
        # Drivers and executors end well within this, and find their last batch whole either way.
        leftovers_timeout_s=3,
    )
    masters = [_master(settings, number, environment) for number in range(settings.spark_masters)]
    return [*zookeeper.servers(settings, environment), *masters, worker]


def _master(settings: StackSettings, number: int, environment: dict[str, str]) -> Server:
    """One master: `spark-master`; of two, `spark-master-1` and `spark-master-2`."""
    suffix = f"-{number + 1}" if settings.spark_masters > 1 else ""
    path = settings.data / "spark" / f"master{suffix}.conf"
    ui_ports = settings.of_each_master(settings.spark_master_ui_port)
    ports = {name: settings.of_each_master(getattr(settings, name))[number]
             for name in ("spark_master_port", "spark_master_ui_port", "spark_rest_port")}

    def prepare() -> None:
        _write(path, master_properties(settings, number))
        if settings.spark_masters > 1:
            # A master that does not find ZooKeeper within 15 s gives up.
            _await_port(settings.start_timeout_s, settings.zookeeper_port)

    return Server(
        name=f"{MASTER}{suffix}",
        command=_command(
            settings,
            "master.Master",
            *("--host", LOOPBACK, "--port", str(ports["spark_master_port"])),
            *("--webui-port", str(ports["spark_master_ui_port"])),
            *("--properties-file", str(path)),
        ),
        environment=environment,
        probe=probes.spark_master(ports["spark_master_ui_port"], ports["spark_rest_port"], ui_ports),
        ports=ports,
        prepare=prepare,
    )


def scala_version() -> str:
    """The Scala that this Spark is built with: `2.13`, from `spark-core_2.13-4.2.0.jar`."""
    jar = next((spark_home() / "jars").glob("spark-core_*.jar"))
    return jar.name.removeprefix("spark-core_").split("-", 1)[0]


def in_charge(settings: StackSettings) -> str | None:
    """The name of the master that is in charge; None where none says so, or more than one."""
    masters = settings.of_each_master(settings.spark_master_ui_port)
    found = [number for number, port in enumerate(masters, start=1) if probes.is_alive(port)]
    if len(found) != 1:
        return None
    return f"{MASTER}-{found[0]}" if len(masters) > 1 else MASTER


def master_properties(settings: StackSettings, number: int = 0) -> dict[str, object]:
    """What a master is told beside its ports; `number` is 0 for the first."""
    return {
        "spark.master.rest.enabled": "true",
        "spark.master.rest.host": LOOPBACK,
        "spark.master.rest.port": settings.of_each_master(settings.spark_rest_port)[number],
        # A master that is killed and started again still knows its drivers and workers, and so does its standby.
        **({"spark.deploy.recoveryMode": "FILESYSTEM",
            "spark.deploy.recoveryDirectory": settings.data / "spark" / "recovery"} if settings.spark_masters == 1 else
           {"spark.deploy.recoveryMode": "ZOOKEEPER",
            "spark.deploy.zookeeper.url": f"{LOOPBACK}:{settings.zookeeper_port}"}),
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
    _await_port(settings.start_timeout_s, *settings.of_each_master(settings.spark_master_port))


def _await_port(timeout_s: float, *ports: int) -> None:
    """Return when one of them is listened on. Raises UnavailableError."""
    deadline = time.monotonic() + timeout_s
    while True:
        for port in ports:
            try:
                return probes.accepts(port)
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
