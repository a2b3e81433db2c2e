"""`KafkaUtils` for PySpark 4: programs that were written for Spark 1 and 2 run with one line changed.

    from kafka_utils import KafkaUtils          # was: from pyspark.streaming.kafka import KafkaUtils

    spark-submit --py-files jobs/kafka_utils.py --jars $(streamops jars) program.py …

Names and behaviour are those of `pyspark.streaming.kafka`, which Spark 3.0 removed; docs/kafka-utils.md says what
differs. Old names of Kafka's settings are translated, each with a warning that says what to write today. This file
needs nothing but pyspark and the jars, because it travels alone.
"""

from __future__ import annotations

import inspect
import json
import struct
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from py4j.java_gateway import JavaPackage
from py4j.protocol import Py4JJavaError
from pyspark import RDD, SparkContext, StorageLevel
from pyspark.serializers import NoOpSerializer, PairDeserializer
from pyspark.streaming import DStream, StreamingContext
from pyspark.streaming.dstream import TransformedDStream
from pyspark.streaming.util import TransformFunction

__all__ = [
    "Broker",
    "KafkaMessageAndMetadata",
    "KafkaUtils",
    "KafkaUtilsError",
    "OffsetRange",
    "TopicAndPartition",
    "utf8_decoder",
]

Decoder = Callable[[bytes | None], Any]

#: What old programs pass to createStream. Python's levels have been serialized ones throughout since Spark 2.
_OLD_LEVELS = {
    "MEMORY_ONLY_SER": StorageLevel.MEMORY_ONLY,
    "MEMORY_ONLY_SER_2": StorageLevel.MEMORY_ONLY_2,
    "MEMORY_AND_DISK_SER": StorageLevel.MEMORY_AND_DISK,
    "MEMORY_AND_DISK_SER_2": StorageLevel.MEMORY_AND_DISK_2,
}
for _name, _level in _OLD_LEVELS.items():
    if not hasattr(StorageLevel, _name):
        setattr(StorageLevel, _name, _level)

#: As the old consumer's `zookeeper.connection.timeout.ms`, in ms.
_ZOOKEEPER_TIMEOUT_MS = 10_000
#: How long what may be a Kafka broker gets to answer before it is taken for something else, in ms.
_BROKER_TIMEOUT_MS = 10_000
#: Records of one poll; a block of the receiver holds that many at the most.
_POLL_RECORDS = 10_000

_RENAMED = {
    "metadata.broker.list": "bootstrap.servers",
    "fetch.message.max.bytes": "max.partition.fetch.bytes",
    "fetch.wait.max.ms": "fetch.max.wait.ms",
    "socket.receive.buffer.bytes": "receive.buffer.bytes",
    "socket.timeout.ms": "request.timeout.ms",
    "refresh.leader.backoff.ms": "retry.backoff.ms",
}
_VALUES = {
    ("auto.offset.reset", "smallest"): "earliest",
    ("auto.offset.reset", "largest"): "latest",
    ("partition.assignment.strategy", "range"): "org.apache.kafka.clients.consumer.RangeAssignor",
    ("partition.assignment.strategy", "roundrobin"): "org.apache.kafka.clients.consumer.RoundRobinAssignor",
    ("security.protocol", "PLAINTEXTSASL"): "SASL_PLAINTEXT",
}
_OFFSETS = "the stream keeps the offsets itself"
_ZOOKEEPER = "Kafka's consumers do not use ZooKeeper any more"
_BYTES = "records arrive as bytes, for keyDecoder and valueDecoder"
_GONE = "today's consumer has nothing like it"
_WITHOUT_EFFECT = {
    "auto.commit.enable": _OFFSETS,
    "auto.commit.interval.ms": _OFFSETS,
    "enable.auto.commit": _OFFSETS,
    "offsets.storage": _OFFSETS,
    "dual.commit.enabled": _OFFSETS,
    "offsets.channel.backoff.ms": _OFFSETS,
    "offsets.channel.socket.timeout.ms": _OFFSETS,
    "offsets.commit.max.retries": _OFFSETS,
    "zookeeper.session.timeout.ms": _ZOOKEEPER,
    "zookeeper.sync.time.ms": _ZOOKEEPER,
    "rebalance.max.retries": _GONE,
    "rebalance.backoff.ms": _GONE,
    "queued.max.message.chunks": _GONE,
    "num.consumer.fetchers": _GONE,
    "consumer.timeout.ms": _GONE,
    "consumer.id": _GONE,
    "key.deserializer": _BYTES,
    "value.deserializer": _BYTES,
}


class KafkaUtilsError(RuntimeError):
    """What a person must correct before the stream can begin: what was found, and what to pass instead."""


def utf8_decoder(s: bytes | None) -> str | None:
    """Text of a key or a value; None where the record has none."""
    return None if s is None else s.decode("utf-8")


@dataclass(frozen=True)
class OffsetRange:
    """Records of one partition: `fromOffset` is the first, `untilOffset` comes after the last."""

    topic: str
    partition: int
    fromOffset: int
    untilOffset: int

    def __str__(self) -> str:
        return (
            f"OffsetRange(topic: {self.topic}, partition: {self.partition}, "
            f"range: [{self.fromOffset} -> {self.untilOffset}])"
        )


@dataclass(frozen=True)
class TopicAndPartition:
    """A key of `fromOffsets`."""

    _topic: str  # as pyspark named it
    _partition: int


@dataclass(frozen=True)
class Broker:
    """Where a broker listens. `createRDD` takes them and has no use for them: Kafka's client finds the leaders."""

    _host: str
    _port: int


class KafkaMessageAndMetadata:
    """What a `messageHandler` gets: `topic`, `partition`, `offset`, and `key` and `message`, decoded when asked for."""

    def __init__(self, topic: str, partition: int, offset: int, key: bytes | None, message: bytes | None) -> None:
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self._rawKey = key
        self._rawMessage = message
        self._keyDecoder: Decoder = utf8_decoder
        self._valueDecoder: Decoder = utf8_decoder

    def __repr__(self) -> str:
        return (
            f"KafkaMessageAndMetadata(topic: {self.topic}, partition: {self.partition}, offset: {self.offset}, "
            "key and message...)"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return KafkaMessageAndMetadata, (self.topic, self.partition, self.offset, self._rawKey, self._rawMessage)

    @property
    def key(self) -> Any:
        return self._keyDecoder(self._rawKey)

    @property
    def message(self) -> Any:
        return self._valueDecoder(self._rawMessage)


class KafkaUtils:
    """Streams and RDDs of Kafka's records."""

    @staticmethod
    def createStream(
        ssc: StreamingContext,
        zkQuorum: str,
        groupId: str,
        topics: dict[str, int],
        kafkaParams: Mapping[str, Any] | None = None,
        storageLevel: StorageLevel = StorageLevel.MEMORY_AND_DISK_2,
        keyDecoder: Decoder = utf8_decoder,
        valueDecoder: Decoder = utf8_decoder,
    ) -> DStream:
        """(key, value) of each record, by a receiver in an executor that reads as a member of the group `groupId`.

        `zkQuorum` is the brokers, `host:9092,…`. ZooKeeper's address, `host:2181,…/path`, does as long as the brokers
        are registered there. `topics` are the topics' names, each with a number that has no meaning any more.
        """
        if not isinstance(topics, dict):
            raise TypeError("topics should be dict")
        settings = translate({**(kafkaParams or {}), "group.id": groupId})
        jvm = _jvm_side(ssc.sparkContext)
        properties = _connected(jvm, settings, zkQuorum)
        records = int(properties.pop("max.poll.records", _POLL_RECORDS))
        level = ssc.sparkContext._getJavaStorageLevel(storageLevel)
        stream = _asked(jvm.createStream, ssc._jssc, list(topics), properties, settings.reset, records, level)
        pairs = DStream(stream, ssc, PairDeserializer(NoOpSerializer(), NoOpSerializer()))
        return pairs.map(_decoding(keyDecoder, valueDecoder, None))

    @staticmethod
    def createDirectStream(
        ssc: StreamingContext,
        topics: list[str],
        kafkaParams: Mapping[str, Any],
        fromOffsets: Mapping[TopicAndPartition, int] | None = None,
        keyDecoder: Decoder = utf8_decoder,
        valueDecoder: Decoder = utf8_decoder,
        messageHandler: Callable[[KafkaMessageAndMetadata], Any] | None = None,
    ) -> KafkaDStream:
        """(key, value) of each record, or what `messageHandler` makes of it; each batch is known by its offset ranges.

        `fromOffsets` names the first offset of every partition that is read. Without it all partitions of `topics` are,
        from the end, or with auto.offset.reset=earliest from the first record.
        """
        if not isinstance(topics, list):
            raise TypeError("topics should be list")
        if not isinstance(kafkaParams, Mapping):
            raise TypeError("kafkaParams should be dict")
        from_offsets = {f"{at._topic}-{at._partition}": int(offset) for at, offset in (fromOffsets or {}).items()}
        named = {at._topic for at in fromOffsets or {}}
        if named and named != set(topics):
            raise KafkaUtilsError(
                f"fromOffsets is about the topics {sorted(named)}, and the stream about {sorted(set(topics))}. "
                "Name each topic in both."
            )
        jvm = _jvm_side(ssc.sparkContext)
        settings = translate(kafkaParams)
        properties = _connected(jvm, settings)
        arguments = (ssc._jssc, topics, properties, settings.reset, from_offsets, messageHandler is not None)
        stream = DStream(_asked(jvm.createDirectStream, *arguments), ssc, _serializer(messageHandler))
        decoded = stream.map(_decoding(keyDecoder, valueDecoder, messageHandler))
        return KafkaDStream(decoded._jdstream, ssc, decoded._jrdd_deserializer)

    @staticmethod
    def createRDD(
        sc: SparkContext,
        kafkaParams: Mapping[str, Any],
        offsetRanges: list[OffsetRange],
        leaders: Mapping[TopicAndPartition, Broker] | None = None,  # noqa: ARG004  see Broker
        keyDecoder: Decoder = utf8_decoder,
        valueDecoder: Decoder = utf8_decoder,
        messageHandler: Callable[[KafkaMessageAndMetadata], Any] | None = None,
    ) -> KafkaRDD:
        """The records of `offsetRanges`, a partition for each range."""
        if not isinstance(kafkaParams, Mapping):
            raise TypeError("kafkaParams should be dict")
        if not isinstance(offsetRanges, list):
            raise TypeError("offsetRanges should be list")
        jvm = _jvm_side(sc)
        properties = _connected(jvm, translate(kafkaParams))
        flat = [part for r in offsetRanges for part in (r.topic, r.partition, r.fromOffset, r.untilOffset)]
        records = _asked(jvm.createRDD, sc._jsc, properties, flat, messageHandler is not None)
        decoded = RDD(records, sc, _serializer(messageHandler)).map(_decoding(keyDecoder, valueDecoder, messageHandler))
        return KafkaRDD(decoded._jrdd, sc, decoded._jrdd_deserializer)


class KafkaRDD(RDD):  # type: ignore[misc]
    """An RDD of `createRDD`, or a batch of `createDirectStream` as its own transform and foreachRDD see it."""

    def offsetRanges(self) -> list[OffsetRange]:
        """Of each partition of this RDD, in their order."""
        ranges = _jvm_side(self.ctx).offsetRanges(self._jrdd.rdd())
        if ranges is None:
            raise KafkaUtilsError(
                "offsetRanges() is for the RDDs of createDirectStream and createRDD: ask for it before any shuffle, "
                "and before RDDs of several streams are put together."
            )
        return [OffsetRange(r.topic(), r.partition(), r.fromOffset(), r.untilOffset()) for r in ranges]


class KafkaDStream(DStream):  # type: ignore[misc]
    """A stream whose RDDs know their offset ranges."""

    def foreachRDD(self, func: Callable[..., None]) -> None:
        """`func` takes the RDD, or the batch's time and the RDD."""
        callback = TransformFunction(self._sc, _with_time(func), self._jrdd_deserializer).rdd_wrapper(KafkaRDD)
        self._ssc._jvm.PythonDStream.callForeachRDD(self._jdstream, callback)

    def transform(self, func: Callable[..., RDD]) -> DStream:
        """`func` takes the RDD, or the batch's time and the RDD."""
        return _KafkaTransformedDStream(self, _with_time(func))


class _KafkaTransformedDStream(TransformedDStream):  # type: ignore[misc]
    """Spark joins successive transforms into one, but not those of a subclass: this one sees Kafka's RDDs."""

    _jdstream_val: Any

    @property
    def _jdstream(self) -> Any:
        if self._jdstream_val is None:
            callback = TransformFunction(self._sc, self.func, self.prev._jrdd_deserializer).rdd_wrapper(KafkaRDD)
            made = self._sc._jvm.PythonTransformedDStream(self.prev._jdstream.dstream(), callback)
            self._jdstream_val = made.asJavaDStream()
        return self._jdstream_val


def _with_time(func: Callable[..., Any]) -> Callable[..., Any]:
    return (lambda _time, rdd: func(rdd)) if len(inspect.signature(func).parameters) == 1 else func


def _serializer(message_handler: object) -> PairDeserializer | NoOpSerializer:
    return NoOpSerializer() if message_handler else PairDeserializer(NoOpSerializer(), NoOpSerializer())


def _decoding(
    key_decoder: Decoder, value_decoder: Decoder, message_handler: Callable[[KafkaMessageAndMetadata], Any] | None
) -> Callable[[Any], Any]:
    """What is done to each element that the JVM hands over."""

    def pair(element: tuple[bytes | None, bytes | None]) -> tuple[Any, Any]:
        return key_decoder(element[0]), value_decoder(element[1])

    def handled(element: bytes) -> Any:
        record = unpacked(element)
        record._keyDecoder = key_decoder
        record._valueDecoder = value_decoder
        assert message_handler is not None
        return message_handler(record)

    return handled if message_handler else pair


def unpacked(packed: bytes) -> KafkaMessageAndMetadata:
    """A record from the bytes that `DirectKafkaRDD.packed` makes of it, where they are described."""
    partition, offset, length = struct.unpack_from(">iqi", packed)
    at = 16 + length
    topic = packed[16:at].decode("utf-8")
    (length,) = struct.unpack_from(">i", packed, at)
    at += 4
    key = None if length < 0 else packed[at : at + length]
    at += max(length, 0)
    return KafkaMessageAndMetadata(topic, partition, offset, key, packed[at + 1 :] if packed[at] else None)


@dataclass(frozen=True)
class Settings:
    """An old program's settings in today's words."""

    properties: dict[str, str]
    reset: str  # earliest or latest
    zookeeper: str | None  # where the brokers may be found if `properties` do not name them
    zookeeper_timeout_ms: int
    warnings: tuple[str, ...]


def translate(given: Mapping[str, Any]) -> Settings:
    """Settings of Kafka's consumer, old names and values replaced.

    Raises KafkaUtilsError for an auto.offset.reset that is neither an old nor a new value.
    """
    properties: dict[str, str] = {}
    said = []
    asked = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}
    zookeeper = asked.pop("zookeeper.connect", None)
    timeout_ms = asked.pop("zookeeper.connection.timeout.ms", None)
    if zookeeper is not None:
        said.append(f"zookeeper.connect: write bootstrap.servers with the brokers, host:9092,… ({_ZOOKEEPER})")
    if timeout_ms is not None:
        said.append(f"zookeeper.connection.timeout.ms: leave it out ({_ZOOKEEPER})")
    for name, value in asked.items():
        today = _RENAMED.get(name, name)
        value_today = _VALUES.get((name, value), value)
        if name in _WITHOUT_EFFECT:
            said.append(f"{name}: leave it out ({_WITHOUT_EFFECT[name]})")
        elif today != name and today in asked:
            said.append(f"{name}: leave it out ({today} is given too, and counts)")
        else:
            properties[today] = value_today
            if (today, value_today) != (name, value):
                said.append(f"{name}={value}: write {today}={value_today}")
    reset = properties.pop("auto.offset.reset", "latest")
    if reset not in ("earliest", "latest"):
        raise KafkaUtilsError(f"auto.offset.reset={reset}: write earliest or latest.")
    return Settings(properties, reset, zookeeper, int(timeout_ms or _ZOOKEEPER_TIMEOUT_MS), tuple(said))


def broker_list(registered: Iterable[str], protocol: str) -> str:
    """`host:port,…` of those listeners that speak `protocol`, from what the brokers wrote into ZooKeeper (JSON each).

    Raises KafkaUtilsError when no broker has one.
    """
    found, others = [], set()
    for text in registered:
        broker = json.loads(text)
        protocols = broker.get("listener_security_protocol_map") or {}
        # The first brokers, of Kafka 0.8, had one listener and no name for it.
        endpoints = broker.get("endpoints") or [f"PLAINTEXT://{broker.get('host')}:{broker.get('port')}"]
        for endpoint in endpoints:
            listener, _, address = endpoint.partition("://")
            spoken = protocols.get(listener, listener)
            if spoken == protocol:
                found.append(address)
            others.add(spoken)
    if not found:
        raise KafkaUtilsError(
            f"The brokers that are registered in ZooKeeper listen by {', '.join(sorted(others))}, not by {protocol}. "
            "Set security.protocol in kafkaParams, and what belongs to it."
        )
    return ",".join(found)


def _connected(jvm: Any, settings: Settings, quorum: str | None = None) -> dict[str, str]:
    """The properties with `bootstrap.servers`, which are looked up in ZooKeeper where nothing else is named.

    `quorum` is createStream's argument and may be either; brokers among the properties precede it. Says all warnings.
    """
    properties, said = dict(settings.properties), list(settings.warnings)
    if "bootstrap.servers" not in properties:
        address = quorum or settings.zookeeper
        if not address:
            raise KafkaUtilsError("kafkaParams name no brokers. Pass {'bootstrap.servers': 'host:9092,…'}.")
        named = {**properties, "bootstrap.servers": address}
        if quorum and _may_be_kafka(quorum) and _asked(jvm.brokersAnswer, named, _BROKER_TIMEOUT_MS):
            properties = named
        else:
            registered = _asked(jvm.registeredBrokers, address, settings.zookeeper_timeout_ms)
            if not registered:
                raise _no_brokers(address, answered=registered is not None)
            brokers = broker_list(registered, properties.get("security.protocol", "PLAINTEXT"))
            properties["bootstrap.servers"] = brokers
            said.append(f"{address} is ZooKeeper: pass the brokers that are registered there, {brokers}")
    for sentence in said:
        warnings.warn(f"Kafka settings: {sentence}", FutureWarning, stacklevel=3)
    return properties


def _may_be_kafka(quorum: str) -> bool:
    """Not with a path behind it, nor with ZooKeeper's port: those are ZooKeeper's beyond doubt, and asked as such."""
    return "/" not in quorum and not any(address.strip().endswith(":2181") for address in quorum.split(","))


def _no_brokers(address: str, *, answered: bool) -> KafkaUtilsError:
    hosts, _, path = address.partition("/")
    if answered:
        found = (
            f"ZooKeeper answers at {hosts}, but no broker is registered in /{path + '/' if path else ''}brokers/ids: "
            "all are down, their path is another one, or they do not use ZooKeeper (none does from Kafka 4.0 on)."
        )
    else:
        found = f"Neither a Kafka broker nor ZooKeeper answers at {hosts}."
    return KafkaUtilsError(f"{found} Pass the brokers' own addresses, host:9092,…")


def _jvm_side(sc: SparkContext) -> Any:
    found = sc._jvm.org.apache.spark.streaming.streamops.KafkaUtils
    if isinstance(found, JavaPackage):
        raise KafkaUtilsError(
            "The jars that read Kafka are missing. Submit the program with spark-submit --jars $(streamops jars) …"
        )
    return found


def _asked(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the JVM; what it refuses is raised as KafkaUtilsError, without the JVM's stack."""
    try:
        return function(*arguments)
    except Py4JJavaError as error:
        _refuse(error)


def _refuse(error: Py4JJavaError) -> NoReturn:
    raised = error.java_exception
    if raised.getClass().getSimpleName() == "KafkaUtilsException":
        raise KafkaUtilsError(raised.getMessage()) from None
    raise error
