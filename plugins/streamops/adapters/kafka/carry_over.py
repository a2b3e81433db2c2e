"""What two places in Kafka say of a pipeline that is moved from one to the other: which records are where, by time."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from typing import Any

import kafka
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec

from streamops.adapters.connections import Connection
from streamops.adapters.kafka.broker import Broker
from streamops.adapters.kafka.client_settings import client_settings
from streamops.errors import UnavailableError
from streamops.restoring.carry_over import Carried, NewPlace, OldPlace, carry
from streamops.state.offsets import Offsets, TopicPartition

#: Seconds for which records may be waited for that the old topic has.
_FETCH_TIMEOUT_S = 60.0
#: Bytes asked for of each partition: one record is wanted.
_FETCH_BYTES = 65_536


def read(
    old: Broker, old_connection: Connection, new: Broker, pairs: Mapping[TopicPartition, TopicPartition],
    processed: Mapping[TopicPartition, int],
) -> list[Carried]:
    """Where each partition goes on; `pairs` are the new partitions by the old ones.

    Raises UnavailableError and ConfigurationError as Broker.call does.
    """
    before = _old(old, old_connection, {at: processed[at] for at in pairs})
    ends = {"earliest": _listed(new, dict.fromkeys(pairs.values(), OffsetSpec.EARLIEST)),
            "latest": _listed(new, dict.fromkeys(pairs.values(), OffsetSpec.LATEST))}
    times = {pairs[at]: place.time_ms for at, place in before.items() if place.time_ms is not None}
    found = _listed(new, times)
    later = {at: found[new_at][1] for at, new_at in pairs.items() if new_at in found}
    missing = _listed(old, later)
    return [carry(at, pairs[at], place, NewPlace(
        earliest=ends["earliest"][pairs[at]][0], latest=ends["latest"][pairs[at]][0],
        found=found[pairs[at]][0] if pairs[at] in found else None,
        found_ms=found[pairs[at]][1] if pairs[at] in found else None,
        missing_until=missing[at][0] if at in missing else None)) for at, place in before.items()]


def stamped_when_appended(broker: Broker, topics: Collection[str]) -> list[str]:
    """Topics whose records have the time at which they were appended, and not the one that they were given."""
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, configs=["message.timestamp.type"]) for name in topics]
    answer = broker.call(lambda: broker.admin.describe_configs(asked, config_filter="all"))
    return sorted(name for name, configs in answer.get("topic", {}).items()
                  if str(configs.get("message.timestamp.type", {}).get("value")) == "LogAppendTime")


def _old(broker: Broker, connection: Connection, processed: Offsets) -> dict[TopicPartition, OldPlace]:
    latest = {at: each[0] for at, each in _listed(broker, dict.fromkeys(processed, OffsetSpec.LATEST)).items()}
    waiting = _times(connection, {at: offset for at, offset in processed.items() if offset < latest[at]}, latest)
    rest = [at for at in processed if at not in waiting]
    newest = {at: each[1] for at, each in _listed(broker, dict.fromkeys(rest, OffsetSpec.MAX_TIMESTAMP)).items()}
    times = {**newest, **waiting}
    same = _listed(broker, times)
    return {at: OldPlace(offset, latest[at], at in waiting, times.get(at), same[at][0] if at in same else None)
            for at, offset in processed.items()}


def _listed(broker: Broker, wanted: Mapping[TopicPartition, Any]) -> dict[TopicPartition, tuple[int, int]]:
    """(offset, timestamp) of each partition by its own spec or time; one without such a record is left out."""
    asked = {kafka.TopicPartition(*at): spec for at, spec in wanted.items()}
    found = broker.call(lambda: broker.admin.list_partition_offsets(asked)) if asked else {}
    return {TopicPartition(at.topic, at.partition): (each.offset, each.timestamp) for at, each in found.items()
            if each.offset >= 0}


def _times(connection: Connection, starts: Offsets, latest: Offsets) -> dict[TopicPartition, int]:
    """The timestamp of the first record at or after each offset; one that has only markers there is left out.

    Raises UnavailableError when the brokers do not give them in time.
    """
    if not starts:
        return {}
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    consumer = kafka.KafkaConsumer(**client_settings(connection), enable_auto_commit=False, max_poll_records=10_000,
                                   max_partition_fetch_bytes=_FETCH_BYTES)
    times: dict[TopicPartition, int] = {}
    left = {kafka.TopicPartition(*at): at for at in starts}
    deadline_s = time.monotonic() + _FETCH_TIMEOUT_S
    try:
        consumer.assign(list(left))
        for java, at in left.items():
            consumer.seek(java, starts[at])
        while left:
            for java, records in consumer.poll(timeout_ms=500).items():
                if java in left and records:
                    times[left.pop(java)] = int(records[0].timestamp)
                    consumer.pause(java)
            for java in [each for each, at in left.items() if consumer.position(each) >= latest[at]]:
                left.pop(java)
            if left and time.monotonic() > deadline_s:
                raise UnavailableError(f"{min(left.values())} has records from offset {starts[min(left.values())]} on, "
                                       f"and its broker did not give them within {_FETCH_TIMEOUT_S:.0f} s",
                                       "See that the old brokers are up, then try again.")
    finally:
        consumer.close()
    return times
