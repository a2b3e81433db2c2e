"""Kafka in KRaft mode out of the fetched jars: one broker, or three, each its own controller."""

from __future__ import annotations

import base64
import subprocess
import sys
import uuid
from functools import partial
from pathlib import Path

from streamops.errors import ConfigurationError, StreamopsError
from streamops.stack import probes
from streamops.stack.java import java
from streamops.stack.jvm import daemon_options
from streamops.stack.process import Probe, Server
from streamops.stack.settings import LOOPBACK, StackSettings

PROXY = "broker-proxy"

#: Whoever connects may do everything, until somebody adds ACLs to try them. Not with three brokers: their controllers
#: would refuse each other's votes until they have read the ACLs, and read those from the one that they vote for.
_AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}


def servers(settings: StackSettings, environment: dict[str, str]) -> list[Server]:
    """One server a broker: `kafka-1`, and with three brokers `kafka-2` and `kafka-3`."""
    found = []
    for number, (port, controller_port) in enumerate(
        zip(settings.kafka_ports, settings.kafka_controller_ports, strict=True), start=1
    ):
        _, proxied_port = settings.proxied_ports[number - 1]
        path = _folder(settings, number) / "server.properties"
        found.append(
            Server(
                name=f"kafka-{number}",
                command=(*_java(settings), "kafka.Kafka", str(path)),
                environment=environment,
                probe=probes.kafka_broker(port, number, settings.kafka_brokers),
                # The further brokers' ports follow from the first one's, which is the setting to change.
                ports={"kafka_port": port, "kafka_controller_port": controller_port,
                       "kafka_proxied_port": proxied_port},
                prepare=partial(_prepare, settings, number, path, environment),
                # A clean stop moves leadership and flushes; the next start then reads no log back.
                stop_timeout_s=30,
            )
        )
    return found


def proxy(settings: StackSettings, environment: dict[str, str]) -> Server:
    """What is between the brokers and those who read through the connection `kafka_proxied`."""
    pairs = [f"{port}:{target}" for port, target in settings.proxied_ports]
    return Server(
        name=PROXY,
        command=(sys.executable, "-m", "streamops.stack.tcp_proxy", *pairs),
        environment=environment,
        probe=_proxy_probe(settings),
        ports={"kafka_proxy_port": settings.kafka_proxy_port},
        stop_timeout_s=3,
        optional=True,
    )


def _proxy_probe(settings: StackSettings) -> Probe:
    def probe(_started: float) -> str:
        for port, _ in settings.proxied_ports:
            probes.accepts(port)
        return f"{len(settings.proxied_ports)} listening"

    return probe


def properties(settings: StackSettings, number: int) -> dict[str, object]:
    """`server.properties` of broker `number`, counted from 1."""
    replication = settings.kafka_brokers
    in_sync = max(1, replication - 1)
    voters = ",".join(f"{n}@{LOOPBACK}:{port}" for n, port in enumerate(settings.kafka_controller_ports, start=1))
    port, controller_port = settings.kafka_ports[number - 1], settings.kafka_controller_ports[number - 1]
    proxy_port, proxied_port = settings.proxied_ports[number - 1]
    return {
        "process.roles": "broker,controller",
        "node.id": number,
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port},"
                     f"PROXIED://{LOOPBACK}:{proxied_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port},PROXIED://{LOOPBACK}:{proxy_port}",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT",
        "log.dirs": _folder(settings, number) / "log",
        # Topics are declared in pipelines.yaml; one made by a typing mistake would hide the mistake.
        "auto.create.topics.enable": "false",
        "default.replication.factor": replication,
        "min.insync.replicas": in_sync,
        # Kafka's own topics, sized for a handful of groups: 50 partitions each would take seconds at every start.
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": replication,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.replication.factor": replication,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 2,
        "share.coordinator.state.topic.replication.factor": replication,
        "share.coordinator.state.topic.min.isr": in_sync,
        **(_AUTHORIZER if settings.kafka_brokers == 1 else {}),
        # A lone consumer must not wait 3 s for others that never come.
        "group.initial.rebalance.delay.ms": 0,
        # After kill -9 a broker can register again only when its last session has run out: 9 s by default.
        "broker.session.timeout.ms": 5000,
        "broker.heartbeat.interval.ms": 1000,
        # The cleaner takes 128 MB of heap at start by default, a third of the heap here.
        "log.cleaner.dedupe.buffer.size": 16 * 2**20,
        "num.network.threads": 2,
        "num.io.threads": 4,
    }


def _prepare(settings: StackSettings, number: int, path: Path, environment: dict[str, str]) -> None:
    _refuse_other_size(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{key}={value}\n" for key, value in properties(settings, number).items())
    path.write_text("".join(lines), "utf-8")
    if (_folder(settings, number) / "log" / "meta.properties").exists():
        return
    # No --standalone or --initial-controllers: the voters are in the properties.
    command = [*_java(settings), "kafka.tools.StorageTool", "format"]
    # With the equals sign: one id in 64 begins with a dash.
    command += [f"--cluster-id={_cluster_id(settings)}", f"--config={path}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = f"{done.stdout}{done.stderr}"[:1500]
        raise StreamopsError(f"kafka-{number}: formatting {path.parent / 'log'} failed:\n{said}")


def _refuse_other_size(settings: StackSettings) -> None:
    """A KRaft quorum with fixed voters keeps the size it was formatted with."""
    formatted = len(list((settings.data / "kafka-data").glob("*/log/meta.properties")))
    record = settings.data / "kafka-data" / "brokers"
    if not record.exists() and not formatted:
        record.parent.mkdir(parents=True, exist_ok=True)
        # Several brokers prepare at once: a rename, so that none reads what another has only begun to write.
        draft = record.with_suffix(f".{uuid.uuid4().hex[:8]}")
        draft.write_text(f"{settings.kafka_brokers}\n", "utf-8")
        draft.replace(record)
    existing = int(record.read_text("utf-8"))
    if existing != settings.kafka_brokers:
        raise ConfigurationError(
            f"Kafka's data in {record.parent} is that of {existing} broker(s); {settings.kafka_brokers} are asked for.",
            f"Start with `--brokers {existing}`, or begin with empty topics: stop the stack and remove that folder.",
        )


def _cluster_id(settings: StackSettings) -> str:
    """The cluster's id, made once: all brokers share it, and it must survive a half-done formatting."""
    path = settings.data / "kafka-data" / "cluster_id"
    if not path.exists():
        draft = path.with_suffix(f".{uuid.uuid4().hex[:8]}")
        draft.write_text(base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="), "utf-8")
        try:  # several brokers prepare at once, and the first one's id is everybody's
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text("utf-8")


def _java(settings: StackSettings) -> tuple[str, ...]:
    return (
        java(),
        *daemon_options(settings, settings.kafka_heap_mb),
        "-cp",
        f"{settings.jars / 'broker'}/*",
    )


def _folder(settings: StackSettings, number: int) -> Path:
    return settings.data / "kafka-data" / str(number)
