"""Settings of the embedded stack: ports, memory, cores, folders. Read from `STREAMOPS_STACK_…` when asked for.

Addresses are not among them: every server binds to loopback, because none of them asks who is calling.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from streamops.errors import ConfigurationError
from streamops.settings import Settings, describe_invalid, project_root

PREFIX = "STREAMOPS_STACK_"
#: The only address that the stack's servers listen on.
LOOPBACK = "127.0.0.1"
#: Broker n listens this far above broker n - 1 (9092, 9192, 9292), and so do its controller, and the second master.
PORT_STEP = 100

Port = Annotated[int, Field(ge=1, le=65535)]


def _one_or_three(brokers: int) -> int:
    if brokers not in (1, 3):
        raise ValueError("Kafka runs as 1 broker or as 3")
    return brokers


class StackSettings(BaseSettings):
    """What the embedded stack may be told; the defaults fit a laptop with two cores."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    #: Folder of everything the stack keeps: Kafka's logs, Airflow's database, stream state, server logs, pid files.
    data: Path
    #: Folder of the jar groups (`broker/`, `connector/`).
    jars: Path
    #: Folder of the DAGs that Airflow runs.
    dags: Path

    #: One, or three, which is the least that survives the loss of one.
    kafka_brokers: Annotated[int, AfterValidator(_one_or_three)] = 1
    kafka_port: Port = 9092
    kafka_controller_port: Port = 9093
    #: A second listener of each broker, which clients reach through the proxy alone: what is between job and broker
    #: can be cut there (docs/drills.md).
    kafka_proxied_port: Port = 9094
    kafka_proxy_port: Port = 9095
    #: Measured: a broker with a few dozen partitions lives in 384 MB without long collections.
    kafka_heap_mb: Annotated[int, Field(ge=192)] = 384

    #: One; or two, of which ZooKeeper elects the one in charge, and the other takes over when that one is gone.
    spark_masters: Annotated[int, Field(ge=1, le=2)] = 1
    zookeeper_port: Port = 2181
    spark_master_port: Port = 7077
    spark_master_ui_port: Port = 8090  # Spark's own 8080 is Airflow's here
    spark_rest_port: Port = 6066
    spark_worker_ui_port: Port = 8091
    #: What the worker offers, not what the machine has. A pipeline's driver and executor each take a core of the offer
    #: and mostly wait for the next batch, so two real cores carry three pipelines; with an offer of two, the second
    #: pipeline would wait for ever for its executor. Five are the demo's, and three a canary's while it is drilled.
    spark_worker_cores: Annotated[int, Field(ge=2)] = 8
    spark_worker_memory_mb: Annotated[int, Field(ge=1024)] = 6144
    spark_daemon_heap_mb: Annotated[int, Field(ge=128)] = 256

    hdfs_namenode_port: Port = 8020
    hdfs_http_port: Port = 9870
    hdfs_datanode_port: Port = 9866
    hdfs_datanode_http_port: Port = 9864
    hdfs_datanode_ipc_port: Port = 9867
    #: For the NameNode and for the DataNode, each.
    hdfs_heap_mb: Annotated[int, Field(ge=96)] = 192

    airflow_port: Port = 8080
    #: SQLAlchemy URL of Airflow's database; None is a SQLite file in the data folder.
    airflow_database: str | None = None
    #: Or a PostgreSQL server of the stack's own, on this port.
    airflow_postgresql: bool = False
    airflow_database_port: Port = 5432
    #: SQLAlchemy URL of our own database (connection `streamops_db`); None is a SQLite file in the data folder.
    database: str | None = None
    #: Tasks at once. Jobs hold no slot while they run (they are deferred), so this is about short tasks only.
    airflow_parallelism: Annotated[int, Field(ge=1)] = 8

    #: How long a server may take until its probe passes; a cold disk and two busy cores need about 60.
    start_timeout_s: Annotated[float, Field(gt=0)] = 240

    @classmethod
    def load(cls, **given: Any) -> Self:
        """`given`, else the environment, else what the stack in this folder runs with, else the defaults.

        The third makes `status` and `down` right in a shell that lacks the variables `up` was called with.
        Raises ConfigurationError.
        """
        try:
            explicit = cls(**given)
            told = {name: getattr(explicit, name) for name in explicit.model_fields_set}
            return cls(**{**explicit.running(), **told})
        except ValidationError as error:
            raise ConfigurationError(*describe_invalid(error, PREFIX)) from None

    @classmethod
    def on_free_ports(cls, data: Path, **given: Any) -> Self:
        """Settings for a second stack beside another one: every port is free at the moment of asking."""
        names = [name for name in cls.model_fields if name.endswith("_port") and name not in given]
        chosen: dict[str, Any] = dict(zip(names, _free_ports(len(names)), strict=True))
        return cls(data=data, **{**chosen, **given})

    @model_validator(mode="before")
    @classmethod
    def _folders(cls, values: dict[str, Any]) -> dict[str, Any]:
        home = Settings.load().home
        folders = {"data": home / "stack", "jars": home / "jars", "dags": project_root() / "dags"}
        absolute = {name: Path(values.get(name) or path).expanduser().absolute() for name, path in folders.items()}
        return {**values, **absolute}

    @model_validator(mode="after")
    def _one_database(self) -> Self:
        if self.airflow_postgresql and self.airflow_database is not None:
            raise ValueError(f"Airflow has one database: unset {PREFIX}AIRFLOW_DATABASE or {PREFIX}AIRFLOW_POSTGRESQL")
        return self

    @property
    def kafka_ports(self) -> list[int]:
        """Client port of each broker."""
        return [self.kafka_port + PORT_STEP * number for number in range(self.kafka_brokers)]

    @property
    def kafka_controller_ports(self) -> list[int]:
        """Controller port of each broker."""
        return [self.kafka_controller_port + PORT_STEP * number for number in range(self.kafka_brokers)]

    @property
    def proxied_ports(self) -> list[tuple[int, int]]:
        """Of each broker: the port on which the proxy listens, and the one to which it leads."""
        steps = [PORT_STEP * number for number in range(self.kafka_brokers)]
        return [(self.kafka_proxy_port + step, self.kafka_proxied_port + step) for step in steps]

    @property
    def proxied_servers(self) -> str:
        """Kafka's addresses through the proxy, comma-separated."""
        return ",".join(f"{LOOPBACK}:{port}" for port, _ in self.proxied_ports)

    @property
    def bootstrap_servers(self) -> str:
        """Kafka's addresses, comma-separated."""
        return ",".join(f"{LOOPBACK}:{port}" for port in self.kafka_ports)

    @property
    def spark_master_url(self) -> str:
        """What workers and submissions are told: `spark://127.0.0.1:7077,127.0.0.1:7177`."""
        return "spark://" + ",".join(f"{LOOPBACK}:{port}" for port in self.of_each_master(self.spark_master_port))

    def of_each_master(self, port: int) -> list[int]:
        """The first master's port, and those of its standby."""
        return [port + PORT_STEP * number for number in range(self.spark_masters)]

    @property
    def airflow_url(self) -> str:
        """Where Airflow's page and API are."""
        return f"http://{LOOPBACK}:{self.airflow_port}"

    @property
    def spark_url(self) -> str:
        """Where the master's page is."""
        return f"http://{LOOPBACK}:{self.spark_master_ui_port}"

    @property
    def streams(self) -> Path:
        """Folder that holds the pipelines' state directories."""
        return self.data / "streams"

    @property
    def running_file(self) -> Path:
        """Where `up` writes the settings it starts servers with; `down` removes it."""
        return self.data / "settings.json"

    def running(self) -> dict[str, Any]:
        """The settings of the stack that is up in this data folder; empty when none is."""
        try:
            settings = json.loads(self.running_file.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return settings if isinstance(settings, dict) else {}


def hostname() -> str:
    """The name under which Airflow's servers know this machine."""
    return LOOPBACK


def _free_ports(count: int) -> list[int]:
    """Ports below those that systems give to outgoing connections (from 32768 on Linux).

    While a server is down, a client that tries its port again and again would else be given that very port as its own,
    be connected to itself, and keep the server from coming back.
    """
    free: list[int] = []
    with ExitStack() as stack:
        for port in random.sample(range(10_000, 32_000), 2_000):
            candidate = stack.enter_context(socket.socket())  # held until the last is known
            with contextlib.suppress(OSError):
                candidate.bind((LOOPBACK, port))
                free.append(port)
            if len(free) == count:
                return free
    raise ConfigurationError("too few ports are free on this machine", "End what listens on thousands of them.")
