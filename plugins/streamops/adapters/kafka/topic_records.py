"""Kafka's own records of some partitions, from stated offsets on to what is their end now."""

from __future__ import annotations

import time
from collections.abc import Iterator

import kafka
import kafka.errors as kafka_errors

from streamops.adapters.connections import Connection
from streamops.adapters.kafka.broker import short_error
from streamops.adapters.kafka.client_settings import client_settings
from streamops.drills.verdict import Stored
from streamops.errors import UnavailableError
from streamops.state.offsets import Offsets

#: Seconds without a record after which Kafka counts as away. A broker that takes part again needs some.
_SILENCE_S = 60.0


def records_between(connection: Connection, start: Offsets, ends: Offsets) -> Iterator[Stored]:
    """The records from `start` to `ends`, partition by partition in no order; offsets that are gone are passed over.

    Raises UnavailableError where brokers give no record for a minute.
    """
    wanted = {kafka.TopicPartition(*at): end for at, end in ends.items() if end > start.get(at, 0)}
    if not wanted:
        return
    consumer = None
    try:
        consumer = kafka.KafkaConsumer(
            **client_settings(connection), enable_auto_commit=False, group_id=None, auto_offset_reset="earliest",
            max_poll_records=5000, reconnect_backoff_max_ms=1000)
        consumer.assign(list(wanted))
        for at in wanted:
            consumer.seek(at, start.get(at, 0))
        heard_at_s = time.monotonic()
        while any(consumer.position(at) < end for at, end in wanted.items()):
            polled = consumer.poll(timeout_ms=500)
            for at, records in polled.items():
                for record in records:
                    if record.offset < wanted[at]:
                        yield Stored(at.topic, at.partition, record.offset, record.value)
            if polled:
                heard_at_s = time.monotonic()
            elif time.monotonic() - heard_at_s > _SILENCE_S:
                raise UnavailableError(f"Kafka gave no record for {_SILENCE_S:.0f} s",
                                       "See that all brokers are up, then judge again: streamops drill judge")
    except kafka_errors.KafkaError as error:
        raise UnavailableError(f"Kafka's records cannot be read: {short_error(error)}",
                               "See that all brokers are up, then try again.") from None
    finally:
        if consumer is not None:
            consumer.close()
