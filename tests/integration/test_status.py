"""`streamops status` with a real broker, and without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import NewTopic

from streamops.adapters.connections import Connection
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.kafka.broker import Broker
from streamops.state import batch_log, generations
from streamops.state.batch_log import Entry
from streamops.state.generations import Generation
from streamops.state.offsets import OffsetRange, TopicPartition

pytestmark = pytest.mark.integration


def status(root: Path, kafka: str, topic: str) -> dict[str, Any]:
    (root / "pipelines.yaml").write_text(
        "version: 1\n"
        f"topics: {{{topic}: {{partitions: 2, replication: 1}}}}\n"
        "pipelines:\n"
        f"  lines: {{approach: direct, topics: [{topic}], transform: word_count, sink: {{type: parquet}}}}\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "streamops.cli.main", "status", "lines", "--json"],
        env={
            **os.environ,
            "STREAMOPS_PIPELINES": str(root / "pipelines.yaml"),
            "AIRFLOW_CONN_KAFKA_DEFAULT": json.dumps(
                {"conn_type": "kafka", "extra": {"bootstrap.servers": kafka}}),
            "AIRFLOW_CONN_STREAMOPS_STORAGE": json.dumps(
                {"conn_type": "generic", "extra": {"url": f"file://{root}"}}),
        },
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert ran.returncode == 0, ran.stderr
    (shown,) = json.loads(ran.stdout)["pipelines"]
    return shown


def test_lag_is_what_kafka_has_beyond_the_batch_log(kafka: str, tmp_path: Path) -> None:
    import kafka as kafka_python

    topic = f"status-{uuid.uuid4().hex[:8]}"
    with Broker.connect(Connection("kafka_default", extra={"bootstrap.servers": kafka})) as broker:
        broker.admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])
        broker.await_topics({topic: 2})
    producer = kafka_python.KafkaProducer(bootstrap_servers=kafka)
    for number in range(10):
        producer.send(topic, b"line", partition=number % 2)
    producer.close()

    shown = status(tmp_path, kafka, topic)
    assert (shown["state"], shown["lag_records"], shown["lag_unknown"]) == ("new", None, "nothing was processed yet")

    files = StateFiles(f"file://{tmp_path}/lines")
    start = {TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 1}
    opened = Generation("lines", 1, "direct", start, "test", "2026-11-20T03:00:00+00:00")
    files.write_new(generations.path(1), opened.to_json())
    assert status(tmp_path, kafka, topic)["lag_records"] == 9
    entry = Entry("lines", 1, 0, (OffsetRange(topic, 0, 0, 4),), 1, "generation=1/batch=0", 1, "driver-1", 1,
                  "2026-11-20T03:00:00+00:00", "2026-11-20T03:00:01+00:00", 5)
    files.write_new(batch_log.entry_path(1, 0), entry.to_json())
    shown = status(tmp_path, kafka, topic)
    assert (shown["lag_records"], shown["last_batch"], shown["rate_records_per_s"]) == (5, 0, 0.0)


def test_a_broker_that_is_away_hides_only_the_lag(tmp_path: Path) -> None:
    files = StateFiles(f"file://{tmp_path}/lines")
    opened = Generation("lines", 1, "direct", {}, "test", "2026-11-20T03:00:00+00:00")
    files.write_new(generations.path(1), opened.to_json())
    shown = status(tmp_path, "127.0.0.1:1", "lines")
    assert (shown["generation"], shown["lag_records"]) == (1, None)
    assert shown["lag_unknown"].startswith("no Kafka broker answers at 127.0.0.1:1")
