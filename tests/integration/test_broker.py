"""What a real broker has, and how its errors read."""

from __future__ import annotations

import gc
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import kafka as kafka_python
import kafka.errors as kafka_errors
import pytest

from streamops.adapters.connections import Connection
from streamops.adapters.kafka import topic_admin
from streamops.adapters.kafka.broker import Broker, short_error
from streamops.declared.topics import Topic
from streamops.errors import ConfigurationError, RefusedError, UnavailableError
from streamops.state.offsets import TopicPartition

pytestmark = pytest.mark.integration


def connect(servers: str, timeout_s: float = 10, **extra: str) -> Broker:
    properties = {"bootstrap.servers": servers, **{key.replace("_", "."): value for key, value in extra.items()}}
    return Broker.connect(Connection("kafka", "kafka", extra=properties), timeout_s)


@pytest.fixture
def broker(kafka: str) -> Iterator[Broker]:
    with connect(kafka) as connected:
        yield connected


#: kafka-python 3.0.12 leaves the sockets of failed attempts to the garbage collector (`kafka/net/inet.py`).
leaves_sockets = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture
def collected() -> Iterator[None]:
    """What a test leaves is collected in the test, where the warning is expected."""
    yield
    gc.collect()


@pytest.fixture
def name(broker: Broker) -> str:
    """A topic of two partitions."""
    declared = Topic(name=f"broker-{uuid.uuid4().hex[:8]}", partitions=2, replication=1)
    topics = {declared.name: declared}
    topic_admin.apply(broker, topics, topic_admin.plan(broker, topics))
    return declared.name


def send(kafka: str, topic: str, partition: int, *stamps_ms: int) -> None:
    producer = kafka_python.KafkaProducer(bootstrap_servers=kafka)
    for stamp in stamps_ms:
        producer.send(topic, b"x", partition=partition, timestamp_ms=stamp)
    producer.flush(10)
    producer.close()


def test_what_the_cluster_is(broker: Broker, name: str) -> None:
    assert len(broker.cluster_id()) > 10
    assert broker.broker_ids() == (1,)
    assert name in broker.topic_names()
    assert not any(topic.startswith("__") for topic in broker.topic_names())


def test_a_topic_that_does_not_exist_is_not_observed(broker: Broker, name: str) -> None:
    assert set(broker.observe_topics([name, "nowhere"])) == {name}
    assert broker.observe_topics([]) == {}
    assert broker.observe_topics([name])[name].topic_id != "00000000-0000-0000-0000-000000000000"


def test_offsets(broker: Broker, name: str, kafka: str) -> None:
    now = int(time.time() * 1000)
    send(kafka, name, 1, now - 3000, now - 2000, now - 1000)
    assert broker.earliest_offsets([name]) == {TopicPartition(name, 0): 0, TopicPartition(name, 1): 0}
    assert broker.latest_offsets([name]) == {TopicPartition(name, 0): 0, TopicPartition(name, 1): 3}
    at = datetime.fromtimestamp((now - 2000) / 1000, UTC)
    assert broker.offsets_at([name], at) == {TopicPartition(name, 0): None, TopicPartition(name, 1): 1}


def test_offsets_of_a_topic_that_does_not_exist(broker: Broker) -> None:
    with pytest.raises(ConfigurationError, match="there is no topic nowhere"):
        broker.latest_offsets(["nowhere"])


def test_waiting_for_what_never_comes_ends(broker: Broker, name: str) -> None:
    broker.await_topics({name: 2}, timeout_s=5)
    with pytest.raises(UnavailableError, match=f"{name} on broker 1"):
        broker.await_topics({name: 3}, timeout_s=0.5)


@leaves_sockets
@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize(("servers", "reason"), [
    ("127.0.0.1:1", "Connection refused"),
    ("nowhere.invalid:9092", "the name nowhere.invalid is not known"),
])
def test_a_server_that_is_not_there(servers: str, reason: str) -> None:
    began, threads = time.monotonic(), threading.active_count()
    with pytest.raises(UnavailableError, match=reason):
        connect(servers, timeout_s=1)
    assert time.monotonic() - began < 6
    assert threading.active_count() == threads, "a client that could not connect leaves no thread"


@leaves_sockets
@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("protocol", ["SSL", "SASL_PLAINTEXT"])
def test_another_protocol_than_the_brokers(kafka: str, protocol: str) -> None:
    extra = {"security_protocol": protocol, "sasl_mechanism": "PLAIN", "sasl_username": "me",
             "sasl_password": "hunter2"}
    with pytest.raises(UnavailableError, match=f"does not talk Kafka over {protocol}") as refused:
        connect(kafka, 2, **extra)
    assert "hunter2" not in str(refused.value)


def test_errors_are_short_and_what_helps_is_tried_again(broker: Broker) -> None:
    broker.timeout_s = 1
    tries = []

    def not_ready() -> None:
        tries.append(1)
        raise kafka_errors.NotLeaderForPartitionError("Request " + "x" * 300_000)

    with pytest.raises(UnavailableError) as refused:
        broker.call(not_ready)
    assert len(str(refused.value)) < 500
    assert len(tries) > 2

    def wrong() -> None:
        raise kafka_errors.PolicyViolationError("no " * 100_000)

    with pytest.raises(RefusedError) as refused_at_once:
        broker.call(wrong)
    assert len(str(refused_at_once.value)) < 500


def test_short_error() -> None:
    assert short_error(kafka_errors.InvalidTopicError()).startswith("InvalidTopicError: For a request")
    assert short_error(kafka_errors.InvalidTopicError("bad\nname")) == "InvalidTopicError: bad name"
    assert len(short_error(ValueError("x" * 10_000))) < 400


def test_closing_twice_is_harmless(kafka: str) -> None:
    broker = connect(kafka)
    broker.close()
    broker.close()
