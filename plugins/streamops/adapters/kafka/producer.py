"""Sending records so that each is in the topic once: kafka-python's idempotent producer, with a bound on what is open.

kafka-python 3 keeps unsent records without a limit, so this class bounds them itself. Sequence numbers let the broker
drop a batch that it already has, when an answer was lost and the batch is sent again: for as long as the delivery
timeout allows, a broker that is away costs time and no record.

A producer of kafka-python 3.0.12 whose records came to the delivery time-out may neither say so nor send another one.
So whoever sends counts the time as well (`is_overdue`), and puts such a producer away (`end_producer`).
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from streamops.adapters.connections import Connection
from streamops.adapters.kafka.broker import Broker, short_error
from streamops.adapters.kafka.client_settings import client_settings
from streamops.declared.problems import nearest
from streamops.errors import ConfigurationError, UnavailableError
from streamops.feed import Record, Tally

if TYPE_CHECKING:
    from kafka.producer.future import FutureRecordMetadata

#: Records and bytes that may wait for the broker's answer. Half a second of records at full speed, so that sending
#: never waits for a broker that is up, and little enough that one that is away does not fill the memory.
MOST_OPEN_RECORDS = 20_000
MOST_OPEN_BYTES = 64 << 20

#: Seconds for which a record is tried again. A broker that restarts takes seconds, a node that is replaced minutes.
DELIVERY_TIMEOUT_S = 600.0

#: Beyond the delivery time-out, for the producer to say that it has given up what is open.
GRACE_S = 5.0

#: Larger batches than the default of 16 KiB raise the rate by a third; 20 ms let one fill up.
_BATCH_BYTES = 256 << 10
_LINGER_MS = 20

#: Seconds between two looks at how many partitions the topic has.
_PARTITIONS_AGE_S = 10.0

#: Answers that say that the record is not in the topic. After any other failure it may be.
REFUSALS = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.InvalidRecordError,
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.ClusterAuthorizationFailedError,
)


class RecordSender:
    """Sends records to one topic and counts what became of each.

    Without a key and a partition, records go to the partitions in turn. `failure` is the first error that a record
    met; whoever sends stops then, because what follows would be out of order.
    """

    def __init__(
        self, producer: Any, topic: str, partition: int | None = None, delivery_timeout_s: float = DELIVERY_TIMEOUT_S
    ) -> None:
        self._producer = producer
        self._delivery_timeout_s = delivery_timeout_s
        self.topic = topic
        self._partition = partition
        # With its number, its size, and when it was sent.
        self._open: deque[tuple[FutureRecordMetadata, int, int, float]] = deque()
        self._open_bytes = 0
        self._partitions: list[int] = []
        self._looked_at_s = 0.0
        self.tally = Tally()
        self.failure: Exception | None = None
        self.answered_at_s = time.monotonic()

    @classmethod
    def connect(
        cls,
        connection: Connection,
        topic: str,
        *,
        partition: int | None = None,
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
    ) -> RecordSender:
        """A sender to a topic that exists, over a Kafka connection.

        Raises UnavailableError where no broker answers, ConfigurationError where topic or partition do not exist.
        """
        with Broker.connect(connection) as broker:
            _require_topic(broker, topic, partition)
            servers = broker.servers
        producer = idempotent_producer(connection, servers, topic, delivery_timeout_s)
        return cls(producer, topic, partition, delivery_timeout_s)

    @property
    def open_records(self) -> int:
        """Records that were sent and have no answer yet."""
        return len(self._open)

    @property
    def full(self) -> bool:
        return len(self._open) >= MOST_OPEN_RECORDS or self._open_bytes >= MOST_OPEN_BYTES

    def send(self, record: Record) -> None:
        """Hand a record to the producer, which does not wait for the network; see `full` and `harvest`."""
        number = self.tally.sent + 1
        try:
            partition = self._in_turn() if self._partition is None and record.key is None else self._partition
            future = self._producer.send(
                self.topic, record.value, key=record.key, headers=record.headers, partition=partition
            )
        except kafka_errors.MessageSizeTooLargeError as error:
            self.tally.sent = number
            self._failed(number, error)
            return
        except kafka_errors.KafkaError as error:  # the topic is gone: the record never left
            self.failure = error
            return
        size = len(record.value)
        self._open.append((future, number, size, time.monotonic()))
        self._open_bytes += size
        self.tally.sent = number
        self.tally.value_bytes += size

    def harvest(self) -> None:
        """Count the answers that have come, in the order in which the records were sent."""
        waiting = self._open
        before = len(waiting)
        self._count()
        if not waiting or len(waiting) != before:
            self.answered_at_s = time.monotonic()
        if waiting and is_overdue(waiting[0][3], self._delivery_timeout_s):
            self.failure = self.failure or kafka_errors.KafkaTimeoutError(
                f"no answer within {self._delivery_timeout_s:g} s")
            self.close()

    def close(self) -> None:
        """End the producer. What has no answer by then counts as unknown."""
        self._count()
        failure = self.failure
        end_producer(self._producer)
        self._count()
        self.failure = failure  # what is given up here is none
        self.tally.unknown.extend(number for _, number, *_ in self._open)
        self._open.clear()
        self._open_bytes = 0

    def _count(self) -> None:
        while self._open and self._open[0][0].is_done:
            future, number, size, _ = self._open.popleft()
            self._open_bytes -= size
            if future.exception is None:
                self.tally.acknowledged += 1
            else:
                self._failed(number, future.exception)

    def _in_turn(self) -> int:
        now_s = time.monotonic()
        if now_s - self._looked_at_s > _PARTITIONS_AGE_S:
            self._partitions = sorted(self._producer.partitions_for(self.topic))
            self._looked_at_s = now_s
        return self._partitions[self.tally.sent % len(self._partitions)]

    def _failed(self, number: int, error: Exception) -> None:
        (self.tally.refused if isinstance(error, REFUSALS) else self.tally.unknown).append(number)
        self.failure = self.failure or error


def idempotent_producer(
    connection: Connection, servers: str, topic: str, delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
) -> Any:
    """A producer whose records are in the topic once, however often they are sent; `topic` exists.

    Raises UnavailableError where no broker at `servers` answers.
    """
    request_timeout_s = min(30.0, delivery_timeout_s / 2)  # an answer that is late is asked for once more, at least
    try:
        producer = KafkaProducer(**{
            **client_settings(connection),
            "acks": "all",
            "enable_idempotence": True,
            "allow_auto_create_topics": False,
            "batch_size": _BATCH_BYTES,
            "linger_ms": _LINGER_MS,
            "request_timeout_ms": round(request_timeout_s * 1000),
            "delivery_timeout_ms": round(delivery_timeout_s * 1000),
            "metadata_max_age_ms": 60_000,
            "reconnect_backoff_max_ms": 1_000,  # the default of 30 s would wait long for a broker that is back
            "metrics_enabled": False,
        })
        producer.partitions_for(topic)
    except kafka_errors.KafkaError as error:
        raise UnavailableError(
            f"Kafka at {servers} cannot be written to: {short_error(error)}",
            "See that the broker is up (streamops stack status), then try again.",
        ) from None
    return producer


def is_overdue(sent_at_s: float, delivery_timeout_s: float) -> bool:
    """Whether a record that was sent then, on this process's clock, should have had its answer by now."""
    return time.monotonic() - sent_at_s > delivery_timeout_s + GRACE_S


def end_producer(producer: Any, within_s: float = 5.0) -> None:
    """End a producer at once; what it has open is given up.

    kafka-python's own `close` raises, and leaves its thread running and sending, while a broker does not answer.
    """
    producer._sender.force_close()
    producer._sender.join(within_s)
    with contextlib.suppress(kafka_errors.KafkaError):
        producer.close(timeout=0)


def _require_topic(broker: Broker, topic: str, partition: int | None) -> None:
    topics = broker.topic_names()
    if topic not in topics:
        close = nearest(topic, topics)
        raise ConfigurationError(
            f"there is no topic {topic!r}" + (f"; the nearest one is {close!r}" if close else ""),
            "Correct the name, or declare the topic in pipelines.yaml and create it: streamops topics apply",
        )
    count = len(broker.partitions([topic]))
    if partition is not None and partition >= count:
        raise ConfigurationError(
            f"topic {topic} has no partition {partition}; it has {count}, numbered from 0",
            "Name one of those, or leave --partition out.",
        )
