"""Topics on a real broker: planned, applied, interrupted, applied twice at once, read back.

Left out: other replication factors than 1, which need more brokers than the one that the run starts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from streamops.adapters.connections import Connection
from streamops.adapters.kafka import topic_admin
from streamops.adapters.kafka.broker import Broker
from streamops.declared.topics import Topic, TopicPlan
from streamops.errors import ConfigurationError, RefusedError, UnavailableError

pytestmark = pytest.mark.integration


@pytest.fixture
def broker(kafka: str) -> Iterator[Broker]:
    with Broker.connect(Connection("kafka", "kafka", extra={"bootstrap.servers": kafka})) as connected:
        yield connected


@pytest.fixture
def name() -> str:
    """A topic that no other test has."""
    return f"orders-{uuid.uuid4().hex[:8]}"


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def streamops(kafka: str, tmp_path: Path) -> Run:
    """`streamops topics …` in a process of its own, on a file that declares the given topics."""
    def run(*arguments: str, topics: dict[str, Any], check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([*COMMAND, *arguments], env=environment(kafka, declared_in(tmp_path, topics)),
                              capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        assert not check or done.returncode == 0, done.stderr
        return done
    return run


COMMAND = [sys.executable, "-m", "streamops.cli.main", "topics"]


def environment(kafka: str, file: Path) -> dict[str, str]:
    extra = {"conn_type": "kafka", "extra": {"bootstrap.servers": kafka}}
    return {**os.environ, "AIRFLOW_CONN_KAFKA_DEFAULT": json.dumps(extra), "STREAMOPS_PIPELINES": str(file)}


def declared_in(folder: Path, topics: dict[str, Any]) -> Path:
    file = folder / "pipelines.yaml"
    file.write_text(json.dumps({"version": 1, "topics": topics}))  # JSON is YAML
    return file


def topic(name: str, partitions: int = 2, replication: int = 1, **configs: str) -> dict[str, Topic]:
    return {name: Topic(name=name, partitions=partitions, replication=replication,
                        configs={key.replace("_", "."): value for key, value in configs.items()})}


def apply(broker: Broker, declared: dict[str, Topic]) -> tuple[list[str], TopicPlan]:
    """The steps that were taken, and what is left."""
    said: list[str] = []
    return said, topic_admin.apply(broker, declared, topic_admin.plan(broker, declared), said.append)


def set_config(broker: Broker, name: str, **configs: str) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, name, {
        key.replace("_", "."): value for key, value in configs.items()})
    broker.admin.alter_configs([resource])
    wanted = {key.replace("_", "."): value for key, value in configs.items()}
    deadline = time.monotonic() + 10
    while not wanted.items() <= broker.observe_topics([name])[name].configs.items():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_topic_is_created_as_declared_and_a_second_run_does_nothing(broker: Broker, name: str) -> None:
    said, left = apply(broker, topic(name, 3, retention_ms="60000", cleanup_policy="compact,delete"))
    assert said == [f"{name}: create with 3 partitions, replication 1, cleanup.policy=compact,delete, "
                    "retention.ms=60000"]
    assert left.changes == ()
    observed = broker.observe_topics([name])[name]
    assert (observed.partitions, observed.replication) == (3, (1,))
    assert observed.configs == {"retention.ms": "60000", "cleanup.policy": "compact,delete"}
    assert apply(broker, topic(name, 3, retention_ms="60000", cleanup_policy="compact,delete"))[0] == []


def test_the_topic_can_be_used_at_once(broker: Broker, name: str) -> None:
    apply(broker, topic(name, 8))
    assert set(broker.latest_offsets([name]).values()) == {0}


def test_drift_is_reverted(broker: Broker, name: str) -> None:
    declared = topic(name, retention_ms="60000")
    apply(broker, declared)
    set_config(broker, name, retention_ms="1000", max_message_bytes="1000")
    said, left = apply(broker, declared)
    assert said == [f"{name}: max.message.bytes: 1000 -> the brokers' default", f"{name}: retention.ms: 1000 -> 60000"]
    assert left.changes == ()
    assert broker.observe_topics([name])[name].configs == {"retention.ms": "60000"}


def test_a_config_that_is_not_declared_any_more_goes_back_to_the_default(broker: Broker, name: str) -> None:
    apply(broker, topic(name, retention_ms="60000", segment_ms="10000"))
    apply(broker, topic(name, segment_ms="10000"))
    assert broker.observe_topics([name])[name].configs == {"segment.ms": "10000"}


def test_partitions_grow(broker: Broker, name: str) -> None:
    apply(broker, topic(name, 2))
    said, left = apply(broker, topic(name, 5))
    assert said == [f"{name}: partitions: 2 -> 5"]
    assert left.changes == ()
    assert len(broker.partitions([name])) == 5


def test_three_refusals_with_reasons_and_the_rest_is_done(broker: Broker, name: str, streamops: Run) -> None:
    old = f"{name}-old"
    apply(broker, topic(name, 3) | topic(old, 1))
    declared = {name: {"partitions": 2, "replication": 2, "configs": {"retention.ms": 5000}}}
    done = streamops("apply", "--topic", name, "--topic", old, topics=declared, check=False)
    assert done.returncode == RefusedError.exit_code
    assert "3 declared changes are refused" in done.stderr
    for reason in ("cannot take partitions away", "kafka-reassign-partitions", "never deletes a topic"):
        assert reason in done.stderr
    observed = broker.observe_topics([name, old])
    assert (observed[name].partitions, observed[name].replication) == (3, (1,))
    assert observed[name].configs == {"retention.ms": "5000"}
    assert old in observed


def test_a_plan_changes_nothing_and_is_json_for_a_machine(broker: Broker, name: str, streamops: Run) -> None:
    done = streamops("plan", "--json", topics={name: {"partitions": 1, "replication": 1}})
    plan = TopicPlan.from_dict(json.loads(done.stdout)["kafka_default"])
    assert [str(change) for change in plan.steps] == ["create with 1 partitions, replication 1"]
    assert broker.observe_topics([name]) == {}


def test_undeclared_topics_are_not_touched_and_not_mentioned(broker: Broker, name: str, streamops: Run) -> None:
    theirs = f"{name}-theirs"
    apply(broker, topic(theirs, 3))
    set_config(broker, theirs, retention_ms="1000")
    before = broker.observe_topics([theirs])
    done = streamops("apply", topics={name: {"partitions": 1, "replication": 1}})
    assert theirs not in done.stdout + done.stderr
    assert broker.observe_topics([theirs]) == before


def test_an_interrupted_apply_is_finished_by_the_next(
    broker: Broker, name: str, kafka: str, tmp_path: Path, streamops: Run
) -> None:
    topics = {f"{name}-{number:03d}": {"partitions": 2, "replication": 1, "configs": {"retention.ms": 5000}}
              for number in range(60)}
    process = subprocess.Popen([*COMMAND, "apply"], env=environment(kafka, declared_in(tmp_path, topics)),
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while len(broker.observe_topics(topics)) < 5:
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    process.wait()
    half_way = len(broker.observe_topics(topics))
    assert 5 <= half_way < 60, "the process was to be killed between two steps"
    done = streamops("apply", topics=topics)
    created = done.stderr.count("create with")
    # Brokers show a topic some time after the controller has made it, so the count may be behind.
    assert 0 < created <= 60 - half_way
    assert f"{created} done, read back" in done.stderr
    assert len(broker.observe_topics(topics)) == 60
    assert streamops("plan", topics=topics).stdout.startswith("Nothing to do")


def test_two_applies_at_once_are_harmless(broker: Broker, name: str, kafka: str) -> None:
    declared = {key: value for number in range(15) for key, value in topic(f"{name}-{number}", 2).items()}
    grown = {key: value for number in range(15)
             for key, value in topic(f"{name}-{number}", 4, retention_ms="5000").items()}
    for wanted in (declared, grown):
        start, left, failed = threading.Barrier(4), [], []

        def one(wanted: dict[str, Topic] = wanted, start: threading.Barrier = start,
                left: list[TopicPlan] = left, failed: list[Exception] = failed) -> None:
            try:
                with Broker.connect(Connection("kafka", "kafka", extra={"bootstrap.servers": kafka})) as mine:
                    planned = topic_admin.plan(mine, wanted)
                    start.wait(30)
                    left.append(topic_admin.apply(mine, wanted, planned))
            except Exception as error:  # noqa: BLE001 - a thread's error is the test's
                failed.append(error)

        threads = [threading.Thread(target=one) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert [plan.changes for plan in left] == [()] * 4
    assert topic_admin.plan(broker, grown).changes == ()


def test_only_steps_that_were_shown_are_taken(broker: Broker, name: str) -> None:
    declared = topic(name, 2, retention_ms="60000")
    apply(broker, declared)
    shown = topic_admin.plan(broker, topic(name, 4, retention_ms="60000"))
    set_config(broker, name, retention_ms="1000")
    left = topic_admin.apply(broker, topic(name, 4, retention_ms="60000"), shown)
    assert [str(change) for change in left.steps] == ["retention.ms: 1000 -> 60000"]
    assert len(broker.partitions([name])) == 4


def test_what_kafka_refuses_is_told_and_the_rest_is_done(broker: Broker, name: str) -> None:
    with pytest.raises(RefusedError, match="replication factor of 3") as refused:
        apply(broker, topic(f"{name}-a", 1, replication=3) | topic(f"{name}-b", 1))
    assert len(str(refused.value)) < 1000
    assert list(broker.observe_topics([f"{name}-a", f"{name}-b"])) == [f"{name}-b"]


def test_a_broker_that_is_not_there_is_one_short_error_in_seconds(tmp_path: Path) -> None:
    file = declared_in(tmp_path, {"orders": {"partitions": 1, "replication": 1}})
    began = time.monotonic()
    done = subprocess.run([*COMMAND, "plan", "--timeout", "2"], env=environment("127.0.0.1:1", file),
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == UnavailableError.exit_code
    assert done.stderr.startswith("streamops: no Kafka broker answers at 127.0.0.1:1: Connection refused\n")
    assert len(done.stderr) < 300
    assert time.monotonic() - began < 12


def test_a_topic_that_is_nowhere_is_answered_with_the_nearest(name: str, streamops: Run) -> None:
    done = streamops("plan", "--topic", f"{name}s", topics={name: {"partitions": 1, "replication": 1}}, check=False)
    assert done.returncode == ConfigurationError.exit_code
    assert f"Did you mean `{name}`?" in done.stderr
