"""A pipeline over a topic of three partitions, without a job: what a job would have written is written by the test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kafka as kafka_python
from kafka.admin import NewTopic
from kafka.errors import NoError
from kafka.structs import OffsetAndMetadata

from streamops.adapters.connections import Connection
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.kafka.broker import Broker
from streamops.points.recovery_points import RecoveryPoint
from streamops.state import batch_log, generations
from streamops.state.batch_log import Entry
from streamops.state.generations import Generation
from streamops.state.offsets import OffsetRange, TopicPartition

from .running import wait_until


@dataclass(frozen=True)
class Declared:
    """One pipeline over a topic of three partitions, with its own state directory and database."""

    root: Path
    servers: str
    topic: str
    database: str
    stop_after_s: float = 240
    group: str = "lines"

    @property
    def files(self) -> StateFiles:
        return StateFiles(f"file://{self.root}/lines")

    def environment(self) -> dict[str, str]:
        (self.root / "pipelines.yaml").write_text(
            "version: 1\n"
            f"topics: {{{self.topic}: {{partitions: 3, replication: 1}}}}\n"
            "pipelines:\n"
            f"  lines: {{approach: direct, topics: [{self.topic}], transform: word_count, sink: {{type: console}},\n"
            f"          direct: {{consumer_group: {self.group}}},\n"
            f"          lag: {{stop_after_s: {self.stop_after_s}}}, objectives: {{data_loss_s: 3600}}}}\n"
        )
        return {
            **os.environ,
            "STREAMOPS_PIPELINES": str(self.root / "pipelines.yaml"),
            "AIRFLOW_CONN_KAFKA_DEFAULT": json.dumps(
                {"conn_type": "kafka", "extra": {"bootstrap.servers": self.servers}}),
            "AIRFLOW_CONN_STREAMOPS_STORAGE": json.dumps(
                {"conn_type": "generic", "extra": {"url": f"file://{self.root}"}}),
            # Nobody is there: a restore then judges drivers by their beats.
            "AIRFLOW_CONN_SPARK_DEFAULT": "spark://spark%3A%2F%2F127.0.0.1:1?deploy-mode=cluster&rest-port=1",
            "AIRFLOW_CONN_STREAMOPS_DB": json.dumps({"conn_type": "generic", "extra": {"url": self.database}}),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-m", "streamops.cli.main", *arguments], env=self.environment(),
                                text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *arguments: str, code: int = 0) -> str:
        ran = self.start(*arguments)
        out, err = ran.communicate(timeout=120)
        assert ran.returncode == code, f"{ran.returncode}: {out}{err}"
        return out + err

    def snapshot(self, code: int = 0) -> tuple[dict[str, Any], RecoveryPoint]:
        """The verdict, and the point as it was stored."""
        verdict = json.loads(self.run("offsets", "snapshot", "lines", "--json", code=code).split("\nstreamops:")[0])[0]
        return verdict, RecoveryPoint.from_json(self.run("offsets", "show", str(verdict["point"]), "--json"))

    def processed(self, batch: int, *until: int, before: tuple[int, ...] = (0, 0, 0)) -> None:
        """A job would have written this: the batch in the checkpoint, then in the batch log."""
        if batch == 0:
            start = {TopicPartition(self.topic, number): 0 for number in range(3)}
            opened = Generation("lines", 1, "direct", start, "test", "2026-11-20T03:00:00+00:00")
            self.files.write_new(generations.path(1), opened.to_json())
        ends = {self.topic: {str(number): end for number, end in enumerate(until)}}
        self.files.write_new(f"{generations.checkpoint_path(1)}/offsets/{batch}", f"v1\n{{}}\n{json.dumps(ends)}")
        ranges = tuple(OffsetRange(self.topic, number, before[number], end) for number, end in enumerate(until))
        entry = Entry("lines", 1, batch, ranges, 1, None, 1, "driver-1", 1, "2026-11-20T03:00:00+00:00",
                      "2026-11-20T03:00:01+00:00", 5)
        self.files.write_new(batch_log.entry_path(1, batch), entry.to_json())


def connected(servers: str) -> Broker:
    return Broker.connect(Connection("kafka_default", extra={"bootstrap.servers": servers}), timeout_s=30)


def send(servers: str, topic: str, *counts: int, at_ms: int | None = None) -> None:
    """So many records to each partition, one batch each."""
    producer = kafka_python.KafkaProducer(bootstrap_servers=servers, linger_ms=20)
    for partition, count in enumerate(counts):
        for _ in range(count):
            producer.send(topic, b"line", partition=partition, timestamp_ms=at_ms)
    producer.close()


def commit(broker: Broker, topic: str, *until: int) -> None:
    """Set the offsets of the pipeline's group, from partition 0 on."""
    offsets = {kafka_python.TopicPartition(topic, number): OffsetAndMetadata(offset, "", -1)
               for number, offset in enumerate(until)}
    # A broker that has just become the group's may refuse at first.
    wait_until(lambda: all(error is NoError for error in broker.call(
        lambda: broker.admin.alter_group_offsets("lines", offsets)).values()), "the group's offsets are set")


def made(servers: str, **assignment: Any) -> str:
    """A new topic of three partitions."""
    topic = f"points-{uuid.uuid4().hex[:8]}"
    with connected(servers) as broker:
        new = NewTopic(topic, replica_assignments=assignment["brokers"]) if assignment else NewTopic(topic, 3, 1)
        broker.admin.create_topics([new])
        broker.await_topics({topic: 3})
    return topic
