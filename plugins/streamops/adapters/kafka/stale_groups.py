"""Consumer groups that starts of receivers left: listed with what they committed, deleted, and made again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

import kafka.errors as kafka_errors

from streamops.adapters.kafka import consumer_groups
from streamops.adapters.kafka.broker import Broker
from streamops.cleaning.groups import Group
from streamops.errors import RefusedError
from streamops.state.offsets import TopicPartition, parse_spark_offsets

#: Groups in one request: answers stay small where a group has thousands of partitions.
_AT_ONCE = 100


def listed(broker: Broker, prefix: str) -> Iterator[Group]:
    """Groups `<prefix>.<generation>.<epoch>.<start>`: all, since which of them is the newest matters.

    One that vanishes meanwhile is left out. Raises what Broker.call raises.
    """
    named = re.compile(rf"{re.escape(prefix)}\.\d+\.\d+\.\d+")
    found = sorted(group["group_id"] for group in broker.call(broker.admin.list_groups)
                   if named.fullmatch(group["group_id"]))
    for first in range(0, len(found), _AT_ONCE):
        yield from _described(broker, found[first : first + _AT_ONCE])


def _described(broker: Broker, names: Sequence[str]) -> Iterator[Group]:
    described = broker.call(lambda: broker.admin.describe_groups(list(names)))
    committed = broker.call(lambda: broker.admin.list_group_offsets(dict.fromkeys(names)))
    for name in names:
        each = described[name]
        if each["error"] is not None:
            gone = kafka_errors.GroupIdNotFoundError.__name__ in each["error"]
            if gone:
                continue
            yield Group(name, "Unknown", 0, {})  # which no rule takes for one that has ended
            continue
        offsets = {TopicPartition(*at): got.offset for at, got in committed.get(name, {}).items() if got.offset >= 0}
        yield Group(name, str(each["group_state"]), len(each["members"]), offsets)


def delete(broker: Broker, name: str) -> str | None:
    """Delete a group and read back that it is gone; why it is still there, or None."""
    answer = str(dict(broker.call(lambda: broker.admin.delete_groups([name]))).get(name))
    there = {group["group_id"] for group in broker.call(broker.admin.list_groups)}
    return f"Kafka refuses: {answer}" if name in there else None


def put_back(broker: Broker, name: str, undo: str) -> None:
    """Commit what a deleted group had committed. Raises RefusedError where a group of that name has offsets now."""
    if there := consumer_groups.offsets_of(broker, name):
        raise RefusedError(f"the group {name} is there again, with {len(there)} offsets",
                           "Leave it: it is newer than what was put aside.")
    offsets = parse_spark_offsets(undo) if undo and json.loads(undo) else {}
    if offsets:
        consumer_groups.set_to(broker, name, offsets)
