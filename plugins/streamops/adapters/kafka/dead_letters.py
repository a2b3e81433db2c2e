"""What is in a dead-letter topic, as jobs/dead_letters.py writes it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import kafka
import kafka.errors as kafka_errors

from streamops.adapters.connections import Connection
from streamops.adapters.kafka.broker import Broker, short_error
from streamops.adapters.kafka.client_settings import client_settings
from streamops.errors import UnavailableError
from streamops.state.failing_batch import Letter, Letters

#: Records looked at for letters, in each partition from its end; and seconds that this may take.
_LOOKED_AT, _WITHIN_S = 50, 10.0
#: Letters that are told.
_TOLD = 5
_BATCH = "streamops.batch"


def look(connection: Connection, broker: Broker, topic: str, pipeline: str) -> Letters:
    """The topic, and the newest letters of `pipeline`; those of transactions that came to their end.

    Raises ConfigurationError where there is no such topic, and what Broker.call raises.
    """
    latest = broker.latest_offsets([topic])
    earliest = broker.earliest_offsets([topic])
    held = sum(offset - earliest.get(at, 0) for at, offset in latest.items())
    filled = [(kafka.TopicPartition(*at), max(earliest.get(at, 0), offset - _LOOKED_AT), offset)
              for at, offset in latest.items() if offset > earliest.get(at, 0)]
    return Letters(topic, held, tuple(_letters(_records(connection, filled), pipeline)) if filled else ())


def _records(connection: Connection, filled: Sequence[tuple[Any, int, int]]) -> list[Any]:
    try:
        consumer = kafka.KafkaConsumer(**client_settings(connection), isolation_level="read_committed",
                                       enable_auto_commit=False, group_id=None)
    except kafka_errors.KafkaError as error:
        raise UnavailableError(f"the dead-letter topic cannot be read: {short_error(error)}") from None
    try:
        consumer.assign([at for at, _, _ in filled])
        for at, first, _ in filled:
            consumer.seek(at, first)
        found: list[Any] = []
        deadline_s = time.monotonic() + _WITHIN_S
        while time.monotonic() < deadline_s and any(consumer.position(at) < until for at, _, until in filled):
            for records in consumer.poll(timeout_ms=500).values():
                found += records
        return found
    except kafka_errors.KafkaError as error:
        raise UnavailableError(f"the dead-letter topic cannot be read: {short_error(error)}") from None
    finally:
        consumer.close()


def _letters(records: Sequence[Any], pipeline: str) -> list[Letter]:
    """Those of the pipeline, newest first."""
    found = []
    for record in sorted(records, key=lambda each: each.timestamp, reverse=True):
        said = {name: value.decode("utf-8", "replace") for name, value in record.headers
                if name.startswith("streamops.") and value is not None}
        if said.get(_BATCH, "").split("/")[0] == pipeline:
            found.append(Letter(said.get("streamops.topic", "?"), int(said.get("streamops.partition", 0)),
                                int(said.get("streamops.offset", 0)), said[_BATCH], said.get("streamops.error", "")))
    return found[:_TOLD]
