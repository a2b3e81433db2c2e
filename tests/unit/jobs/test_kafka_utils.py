"""What old settings mean today, what brokers write into ZooKeeper, and the bytes of a record."""

from __future__ import annotations

import json
import pickle
import struct
from typing import Any

import pytest
from pyspark import StorageLevel

import kafka_utils
from kafka_utils import KafkaMessageAndMetadata, KafkaUtilsError, OffsetRange, TopicAndPartition, broker_list, translate


@pytest.mark.parametrize(
    ("given", "properties", "said"),
    [
        pytest.param(
            {"metadata.broker.list": "a:9092,b:9092"},
            {"bootstrap.servers": "a:9092,b:9092"},
            ["metadata.broker.list=a:9092,b:9092: write bootstrap.servers=a:9092,b:9092"],
            id="the old name of the brokers",
        ),
        pytest.param(
            {"bootstrap.servers": "a:9092", "metadata.broker.list": "b:9092"},
            {"bootstrap.servers": "a:9092"},
            ["metadata.broker.list: leave it out (bootstrap.servers is given too, and counts)"],
            id="both names",
        ),
        pytest.param(
            {"fetch.message.max.bytes": 1048576, "socket.receive.buffer.bytes": "65536", "fetch.wait.max.ms": 100},
            {"max.partition.fetch.bytes": "1048576", "receive.buffer.bytes": "65536", "fetch.max.wait.ms": "100"},
            [
                "fetch.message.max.bytes=1048576: write max.partition.fetch.bytes=1048576",
                "socket.receive.buffer.bytes=65536: write receive.buffer.bytes=65536",
                "fetch.wait.max.ms=100: write fetch.max.wait.ms=100",
            ],
            id="sizes and times, also as numbers",
        ),
        pytest.param(
            {"auto.commit.enable": "true", "zookeeper.session.timeout.ms": "400", "rebalance.max.retries": 4},
            {},
            [
                "auto.commit.enable: leave it out (the stream keeps the offsets itself)",
                "zookeeper.session.timeout.ms: leave it out (Kafka's consumers do not use ZooKeeper any more)",
                "rebalance.max.retries: leave it out (today's consumer has nothing like it)",
            ],
            id="what has no effect",
        ),
        pytest.param(
            {"partition.assignment.strategy": "roundrobin", "security.protocol": "PLAINTEXTSASL"},
            {
                "partition.assignment.strategy": "org.apache.kafka.clients.consumer.RoundRobinAssignor",
                "security.protocol": "SASL_PLAINTEXT",
            },
            [
                "partition.assignment.strategy=roundrobin: write "
                "partition.assignment.strategy=org.apache.kafka.clients.consumer.RoundRobinAssignor",
                "security.protocol=PLAINTEXTSASL: write security.protocol=SASL_PLAINTEXT",
            ],
            id="old values",
        ),
        pytest.param(
            {"bootstrap.servers": "a:9092", "isolation.level": "read_committed", "check.crcs": False},
            {"bootstrap.servers": "a:9092", "isolation.level": "read_committed", "check.crcs": "false"},
            [],
            id="today's names stay as they are",
        ),
    ],
)
def test_settings_are_translated_and_each_is_said(
    given: dict[str, Any], properties: dict[str, str], said: list[str]
) -> None:
    settings = translate(given)
    assert settings.properties == properties
    assert list(settings.warnings) == said


@pytest.mark.parametrize(
    ("given", "reset", "warned"),
    [
        ({}, "latest", False),
        ({"auto.offset.reset": "latest"}, "latest", False),
        ({"auto.offset.reset": "earliest"}, "earliest", False),
        ({"auto.offset.reset": "largest"}, "latest", True),
        ({"auto.offset.reset": "smallest"}, "earliest", True),
    ],
)
def test_where_a_stream_begins(given: dict[str, str], reset: str, warned: bool) -> None:
    settings = translate(given)
    assert settings.reset == reset
    assert bool(settings.warnings) == warned
    assert "auto.offset.reset" not in settings.properties


def test_a_beginning_that_nobody_knows_is_refused() -> None:
    with pytest.raises(KafkaUtilsError, match=r"auto\.offset\.reset=none: write earliest or latest"):
        translate({"auto.offset.reset": "none"})


def test_zookeepers_address_is_kept_apart_and_named() -> None:
    settings = translate({"zookeeper.connect": "zk:2181/kafka", "zookeeper.connection.timeout.ms": "3000"})
    assert (settings.zookeeper, settings.zookeeper_timeout_ms) == ("zk:2181/kafka", 3000)
    assert settings.properties == {}
    assert settings.warnings[0].startswith("zookeeper.connect: write bootstrap.servers with the brokers")
    assert settings.warnings[1].startswith("zookeeper.connection.timeout.ms: leave it out")


@pytest.mark.parametrize(
    ("quorum", "may_be"),
    [
        ("broker:9092", True),
        ("broker-1:9092,broker-2:9092", True),
        ("zk:2181", False),
        ("zk-1:2181, zk-2:2181", False),
        ("zk:9999/kafka", False),
    ],
)
def test_what_is_asked_as_kafka_first(quorum: str, may_be: bool) -> None:
    assert kafka_utils._may_be_kafka(quorum) is may_be


OLD = {"version": 1, "jmx_port": -1, "host": "old", "port": 9092}
TWO_LISTENERS = {
    "version": 4,
    "host": None,
    "port": -1,
    "endpoints": ["CLIENTS://new:9092", "INSIDE://[::1]:9093"],
    "listener_security_protocol_map": {"CLIENTS": "SASL_SSL", "INSIDE": "PLAINTEXT"},
}


def test_brokers_are_found_by_the_protocol_of_their_listeners() -> None:
    registered = [json.dumps(OLD), json.dumps(TWO_LISTENERS)]
    assert broker_list(registered, "PLAINTEXT") == "old:9092,[::1]:9093"
    assert broker_list(registered, "SASL_SSL") == "new:9092"


def test_brokers_without_such_a_listener_are_an_error_that_names_theirs() -> None:
    with pytest.raises(KafkaUtilsError, match=r"listen by PLAINTEXT, SASL_SSL, not by SSL.*security\.protocol"):
        broker_list([json.dumps(TWO_LISTENERS)], "SSL")


@pytest.mark.parametrize(
    ("answered", "found"),
    [
        (False, r"Neither a Kafka broker nor ZooKeeper answers at zk:2181\."),
        (True, r"no broker is registered in /kafka/brokers/ids: .*none does from Kafka 4\.0 on"),
    ],
)
def test_a_quorum_without_brokers_says_what_to_pass(answered: bool, found: str) -> None:
    error = kafka_utils._no_brokers("zk:2181/kafka", answered=answered)
    with pytest.raises(KafkaUtilsError, match=found + r".*Pass the brokers' own addresses, host:9092,…"):
        raise error


def packed(topic: str, partition: int, offset: int, key: bytes | None, value: bytes | None) -> bytes:
    name = topic.encode()
    head = struct.pack(">iqi", partition, offset, len(name)) + name
    middle = struct.pack(">i", -1 if key is None else len(key)) + (key or b"")
    return head + middle + (b"\0" if value is None else b"\1" + value)


@pytest.mark.parametrize("key", [None, b"", "schlüssel".encode()])
@pytest.mark.parametrize("value", [None, b"", b"value"])
def test_a_record_arrives_whole(key: bytes | None, value: bytes | None) -> None:
    record = kafka_utils.unpacked(packed("zeilen-ä", 3, 2**40, key, value))
    assert (record.topic, record.partition, record.offset) == ("zeilen-ä", 3, 2**40)
    assert record.key == (None if key is None else key.decode())
    assert record.message == (None if value is None else value.decode())


def test_a_message_travels_undecoded() -> None:
    record = pickle.loads(pickle.dumps(KafkaMessageAndMetadata("t", 1, 2, b"\xff", b"text")))
    assert (record.topic, record.partition, record.offset, record.message) == ("t", 1, 2, "text")
    with pytest.raises(UnicodeDecodeError):
        _ = record.key  # only when it is asked for


def test_what_programs_compare_and_print() -> None:
    assert OffsetRange("t", 0, 1, 2) == OffsetRange("t", 0, 1, 2) != OffsetRange("t", 0, 1, 3)
    assert str(OffsetRange("t", 0, 1, 2)) == "OffsetRange(topic: t, partition: 0, range: [1 -> 2])"
    assert {TopicAndPartition("t", 0): 5}[TopicAndPartition("t", 0)] == 5


def test_the_storage_levels_of_old_programs_exist() -> None:
    assert StorageLevel.MEMORY_AND_DISK_SER_2 == StorageLevel.MEMORY_AND_DISK_2
    assert StorageLevel.MEMORY_ONLY_SER == StorageLevel.MEMORY_ONLY


def test_a_callback_takes_the_rdd_or_the_time_and_the_rdd() -> None:
    class Of:
        def method(self, rdd: str) -> str:
            return rdd

    assert kafka_utils._with_time(lambda rdd: rdd)("time", "rdd") == "rdd"
    assert kafka_utils._with_time(lambda time, rdd: (time, rdd))("time", "rdd") == ("time", "rdd")
    assert kafka_utils._with_time(Of().method)("time", "rdd") == "rdd"
