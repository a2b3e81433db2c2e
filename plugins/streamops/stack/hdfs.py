"""A real HDFS: one NameNode and one DataNode out of Hadoop's own test jar, which uses the jars in the pyspark wheel.

Both are optional: `streamops stack up hdfs` starts them. Settings are XML files on the class path: those of the servers
in `<data>/hdfs/conf`, those of clients in `<data>/hdfs/client`, which Spark's worker hands on to drivers and executors.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from streamops.adapters.spark.install import OPENED_MODULES, spark_home
from streamops.errors import StreamopsError, UnavailableError
from streamops.stack.java import java
from streamops.stack.jvm import daemon_options
from streamops.stack.probes import get_json
from streamops.stack.process import Probe, Server
from streamops.stack.settings import LOOPBACK, StackSettings

NAMENODE, DATANODE = "hdfs-namenode", "hdfs-datanode"

_PACKAGE = "org.apache.hadoop.hdfs.server"


def servers(settings: StackSettings, environment: dict[str, str]) -> list[Server]:
    """The NameNode and the DataNode."""
    namenode = Server(
        name=NAMENODE,
        command=(*_java(settings), f"{_PACKAGE}.namenode.NameNode"),
        environment=environment,
        probe=namenode_probe(settings.hdfs_http_port),
        ports={"hdfs_namenode_port": settings.hdfs_namenode_port, "hdfs_http_port": settings.hdfs_http_port},
        prepare=lambda: _prepare_namenode(settings, environment),
        optional=True,
    )
    datanode = Server(
        name=DATANODE,
        command=(*_java(settings), f"{_PACKAGE}.datanode.DataNode"),
        environment=environment,
        probe=datanode_probe(settings.hdfs_http_port, settings.hdfs_datanode_http_port),
        ports={
            "hdfs_datanode_port": settings.hdfs_datanode_port,
            "hdfs_datanode_http_port": settings.hdfs_datanode_http_port,
            "hdfs_datanode_ipc_port": settings.hdfs_datanode_ipc_port,
        },
        prepare=lambda: _prepare(settings),
        optional=True,
    )
    return [namenode, datanode]


def url(settings: StackSettings) -> str:
    """Where clients find it: the URL that Hadoop's file systems take."""
    return f"hdfs://{LOOPBACK}:{settings.hdfs_namenode_port}"


def client_configuration(settings: StackSettings) -> Path:
    """The folder with the settings for clients, for HADOOP_CONF_DIR.

    They do not make HDFS the default file system: a path without a scheme stays one of this machine.
    """
    return settings.data / "hdfs" / "client"


def server_properties(settings: StackSettings) -> dict[str, object]:
    """What both servers are told. Each listens where the others are told to find it: on loopback."""
    folder = settings.data / "hdfs"
    return {
        "fs.defaultFS": url(settings),
        "hadoop.tmp.dir": folder / "tmp",
        "dfs.namenode.name.dir": (folder / "name").as_uri(),
        "dfs.datanode.data.dir": (folder / "data").as_uri(),
        "dfs.namenode.http-address": f"{LOOPBACK}:{settings.hdfs_http_port}",
        "dfs.datanode.address": f"{LOOPBACK}:{settings.hdfs_datanode_port}",
        "dfs.datanode.http.address": f"{LOOPBACK}:{settings.hdfs_datanode_http_port}",
        "dfs.datanode.ipc.address": f"{LOOPBACK}:{settings.hdfs_datanode_ipc_port}",
        # WebHDFS sends clients to the DataNode by this name.
        "dfs.datanode.hostname": LOOPBACK,
        "dfs.namenode.datanode.registration.ip-hostname-check": "false",
        # Nobody but this machine can connect, and Airflow's user need not be that of Spark.
        "dfs.permissions.enabled": "false",
        # A DataNode that is gone counts as stale after 3 s and as dead after 12 s (2 × recheck + 10 × heartbeat).
        "dfs.heartbeat.interval": "1s",
        "dfs.namenode.heartbeat.recheck-interval": 1000,
        "dfs.namenode.stale.datanode.interval": 3000,
        # With one DataNode there is nothing to wait for once its blocks are reported.
        "dfs.namenode.safemode.extension": 0,
        # What a client that died was writing is closed after this, by default 20 minutes. Living ones call every 30 s.
        "dfs.namenode.lease-hard-limit-sec": 90,
        "dfs.namenode.handler.count": 4,
        "dfs.datanode.handler.count": 4,
        # The disk is shared with everything else here, which stops at 500 MB.
        "dfs.datanode.du.reserved": 500 * 2**20,
    }


def client_properties() -> dict[str, object]:
    """What clients of an HDFS with one DataNode do well to know."""
    return {
        "dfs.replication": 1,
        # There is no other DataNode to go on with: look for this one again soon instead.
        "dfs.client.block.write.replace-datanode-on-failure.enable": "false",
        "dfs.client.write.exclude.nodes.cache.expiry.interval.millis": 1000,
        # Calls outlast a NameNode that is started again: about 30 tries 1 s apart, then 20 that are 5 s apart.
        "dfs.client.retry.policy.enabled": "true",
        "dfs.client.retry.policy.spec": "1000,30,5000,20",
    }


def _write(folder: Path, properties: dict[str, object]) -> None:
    """Write `hdfs-site.xml`, whole: both servers are prepared at the same time."""
    lines = "".join(
        f"  <property><name>{key}</name><value>{escape(str(value))}</value></property>\n"
        for key, value in properties.items()
    )
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{uuid.uuid4().hex}"
    draft.write_text(f'<?xml version="1.0"?>\n<configuration>\n{lines}</configuration>\n', "utf-8")
    draft.replace(folder / "hdfs-site.xml")


def namenode_probe(http_port: int) -> Probe:
    """The NameNode answers and is not in safe mode, in which it refuses every change."""

    def probe(_started: float) -> str:
        if reason := _figure(http_port, "NameNode", "NameNodeInfo", "Safemode"):
            raise UnavailableError(f"in safe mode: {str(reason)[:150]}")
        return f"{_state(http_port, 'FilesTotal'):,} files, http://{LOOPBACK}:{http_port}"

    return probe


def datanode_probe(namenode_http_port: int, http_port: int) -> Probe:
    """This DataNode talks to the NameNode, which counts it among the living and has left its safe mode."""

    def probe(started: float) -> str:
        actors = json.loads(_figure(http_port, "DataNode", "DataNodeInfo", "BPServiceActorInfo"))
        states = [actor.get("ActorState") for actor in actors]
        if "RUNNING" not in states:
            raise UnavailableError(f"not registered with the NameNode yet: {', '.join(map(str, states)) or 'no state'}")
        namenode_probe(namenode_http_port)(started)
        if not _state(namenode_http_port, "NumLiveDataNodes"):
            raise UnavailableError("the NameNode counts it among the dead")
        return f"{_state(namenode_http_port, 'CapacityRemaining') // 2**30} GB free"

    return probe


def _state(namenode_http_port: int, name: str) -> int:
    return int(_figure(namenode_http_port, "NameNode", "FSNamesystemState", name))


def _figure(port: int, service: str, bean: str, name: str) -> Any:
    """One value that a server tells of itself; while it starts, it has none, or not all of them."""
    for found in get_json(port, f"/jmx?qry=Hadoop:service={service},name={bean}").get("beans", ()):
        if name in found:
            return found[name]
    raise UnavailableError(f"port {port} does not say its {name} yet")


def _prepare(settings: StackSettings) -> None:
    _write(_server_configuration(settings), {**server_properties(settings), **client_properties()})
    _write(client_configuration(settings), client_properties())


def _prepare_namenode(settings: StackSettings, environment: dict[str, str]) -> None:
    """Format the NameNode's folder once: aside, then a rename, so that an interruption leaves nothing half done."""
    _prepare(settings)
    folder = settings.data / "hdfs"
    if (folder / "name").exists():
        return
    aside = folder / "name.new"
    shutil.rmtree(aside, ignore_errors=True)
    command = [*_java(settings), f"{_PACKAGE}.namenode.NameNode", f"-Ddfs.namenode.name.dir={aside.as_uri()}"]
    done = subprocess.run(
        [*command, "-format", "-nonInteractive"], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = f"{done.stdout}{done.stderr}"[-1500:]
        raise StreamopsError(f"{NAMENODE}: formatting {folder / 'name'} failed:\n{said}")
    aside.rename(folder / "name")


def _server_configuration(settings: StackSettings) -> Path:
    return settings.data / "hdfs" / "conf"


def _java(settings: StackSettings) -> tuple[str, ...]:
    return (
        java(),
        *daemon_options(settings, settings.hdfs_heap_mb),
        # The optimising compiler would take longer than these daemons ever work.
        "-XX:TieredStopAtLevel=1",
        *OPENED_MODULES,
        "-cp",
        f"{_server_configuration(settings)}:{settings.jars / 'hdfs'}/*:{spark_home() / 'jars'}/*",
    )
