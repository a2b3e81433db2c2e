"""ZooKeeper out of the pyspark wheel, one server: it elects the Spark master in charge, and keeps what masters know."""

from __future__ import annotations

import json
import socket

from streamops.adapters.spark.install import spark_home
from streamops.errors import UnavailableError
from streamops.stack.java import java
from streamops.stack.jvm import daemon_options
from streamops.stack.process import Probe, Server
from streamops.stack.settings import LOOPBACK, StackSettings

NAME = "zookeeper"

#: How long a master may be silent until the other one takes over. Masters ask for 60 s, of which no setting of Spark's
#: makes less (`SparkCuratorUtil`), but the server has the last word. A collection of garbage takes no such time.
SESSION_MS = 6000
_TICK_MS = 500
_TIMEOUT_S = 5.0


def servers(settings: StackSettings, environment: dict[str, str]) -> list[Server]:
    """One server where there are two masters, else none."""
    if settings.spark_masters == 1:
        return []
    folder = settings.data / "zookeeper"
    path = folder / "zoo.cfg"

    def prepare() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{key}={value}\n" for key, value in properties(settings).items()), "utf-8")

    return [Server(
        name=NAME,
        command=(
            java(),
            *daemon_options(settings, settings.spark_daemon_heap_mb),
            "-XX:TieredStopAtLevel=1",
            "-cp",
            f"{spark_home() / 'jars'}/*",
            "org.apache.zookeeper.server.ZooKeeperServerMain",
            str(path),
        ),
        environment=environment,
        probe=_probe(settings.zookeeper_port),
        ports={"zookeeper_port": settings.zookeeper_port},
        prepare=prepare,
        stop_timeout_s=5,
    )]


def properties(settings: StackSettings) -> dict[str, object]:
    """`zoo.cfg`."""
    return {
        "dataDir": settings.data / "zookeeper" / "data",
        "clientPort": settings.zookeeper_port,
        "clientPortAddress": LOOPBACK,
        "tickTime": _TICK_MS,
        "maxSessionTimeout": SESSION_MS,
        # Its page would listen on every address.
        "admin.enableServer": "false",
        "4lw.commands.whitelist": "ruok,srvr",
        "autopurge.purgeInterval": 24,
    }


def _probe(port: int) -> Probe:
    def probe(_started: float) -> str:
        said = _ask(port, b"srvr")
        if "Zookeeper version" not in said:
            raise UnavailableError(f"port {port} does not serve yet: {json.dumps(said[:100])}")
        nodes = next((line.partition(": ")[2] for line in said.splitlines() if line.startswith("Node count")), "?")
        return f"{nodes} nodes"

    return probe


def _ask(port: int, word: bytes) -> str:
    """The answer to one of ZooKeeper's four-letter words. Raises UnavailableError."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=_TIMEOUT_S) as asked:
            asked.sendall(word)
            parts = iter(lambda: asked.recv(4096), b"")
            return b"".join(parts).decode("utf-8", errors="replace")
    except OSError as error:
        raise UnavailableError(f"port {port}: {error.strerror or error}") from None
