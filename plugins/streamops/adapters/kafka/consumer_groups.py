"""A pipeline's consumer groups: what they have committed, who is in them, and setting the offsets of an empty one.

What is committed is evidence, which a recovery point compares with the batch log; nothing goes on from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import kafka
import kafka.errors as kafka_errors
from kafka.structs import OffsetAndMetadata

from streamops.adapters.kafka.broker import Broker
from streamops.declared.pipeline import Pipeline
from streamops.errors import StateError
from streamops.points.snapshot import Reading
from streamops.state.offsets import Offsets, TopicPartition


def committed(broker: Broker, pipeline: Pipeline, generation: int | None) -> Reading:
    """The next offset to read of each partition, by the group of a direct job or of a receiver job's newest start.

    Raises UnavailableError, ConfigurationError and RefusedError as Broker.call does.
    """
    if pipeline.approach == "direct":
        group = pipeline.consumer_group
    else:
        prefix = pipeline.consumer_group
        if generation is None:
            return Reading(reason="which group it is cannot be told before the first start")
        newest = _newest_start(broker, prefix, generation)
        if newest is None:
            return Reading(reason=f"there is no group {prefix}.{generation}.… of any start")
        group = newest
    return Reading(offsets_of(broker, group), f"the group {group} has committed nothing")


def offsets_of(broker: Broker, group: str) -> Offsets:
    """What a group has committed; empty where it has nothing."""
    offsets = broker.call(lambda: broker.admin.list_group_offsets({group: None}))[group]
    return {TopicPartition(*at): found.offset for at, found in offsets.items() if found.offset >= 0}


def members(broker: Broker, pipeline: Pipeline) -> list[str]:
    """Who is in the pipeline's groups, of all starts, in words: `consumer-1 of group lines, at /127.0.0.1`.

    Raises ConfigurationError where Kafka does not let us see them, and what Broker.call raises.
    """
    if pipeline.approach == "direct":
        groups = [pipeline.consumer_group]
    else:
        named = re.compile(rf"{re.escape(pipeline.consumer_group)}\.\d+\.\d+\.\d+")
        listed = broker.call(broker.admin.list_groups)
        groups = [group["group_id"] for group in listed if named.fullmatch(group["group_id"])]
    described = broker.call(lambda: broker.admin.describe_groups(groups)) if groups else {}
    found = []
    for group, each in sorted(described.items()):
        if each["error"] is not None and kafka_errors.GroupIdNotFoundError.__name__ not in each["error"]:
            raise StateError(f"Kafka does not say who is in the group {group}: {each['error'][:200]}",
                             "Grant DESCRIBE on the group, or try again when its coordinator is up.")
        found += [f"{member['client_id']} of group {group}, at {member['client_host']}" for member in each["members"]]
    return found


def set_to(broker: Broker, group: str, offsets: Mapping[TopicPartition, int]) -> None:
    """Commit for a group without members, and read it back. Kafka refuses partition by partition, without an error.

    Raises StateError with what Kafka has in place of what was committed, and what Broker.call raises.
    """
    wanted = {kafka.TopicPartition(*at): OffsetAndMetadata(offset, "", -1) for at, offset in offsets.items()}

    def commit() -> dict[kafka.TopicPartition, type[kafka_errors.KafkaError]]:
        answers = broker.admin.alter_group_offsets(group, wanted)
        # A broker that has just become the group's coordinator refuses at first.
        if waiting := [error for error in answers.values() if error is not kafka_errors.NoError and error.retriable
                       and issubclass(error, kafka_errors.BrokerResponseError)]:
            raise waiting[0](f"commit of the group {group}")
        return dict(answers)

    answers = broker.call(commit)
    refused = {TopicPartition(*at): error for at, error in answers.items() if error is not kafka_errors.NoError}
    require_committed(broker, group, offsets, {error.__name__ for error in refused.values()})


def require_committed(
    broker: Broker, group: str, offsets: Mapping[TopicPartition, int], said: frozenset[str] | set[str] = frozenset()
) -> None:
    """Raises StateError where a group's offsets are not these; `said` is what Kafka answered to the commit."""
    found = offsets_of(broker, group)
    if differing := sorted(at for at, offset in offsets.items() if found.get(at) != offset):
        at = differing[0]
        more = f" and {len(differing) - 1} more partitions" if len(differing) > 1 else ""
        raise StateError(
            f"the group {group} was to stand at offset {offsets[at]:,} of {at} and stands at "
            f"{'nothing' if at not in found else format(found[at], ',')}{more}"
            + (f"; Kafka said {', '.join(sorted(said))}" if said else ""),
            "A member came into the group, or its rights (READ on group and topics) are missing. Stop whoever uses the "
            f"group, or grant them, and do the same again: kafka-consumer-groups --describe --group {group} --members",
        )
    if said:
        raise StateError(f"Kafka refused the commit of the group {group}: {', '.join(sorted(said))}",
                         "Its offsets are as they should be, and nobody knows by whom. Do the same again.")


def _newest_start(broker: Broker, prefix: str, generation: int) -> str | None:
    """The last group `<prefix>.<generation>.<epoch>.<start>`: each start of the receivers has one of its own."""
    named = re.compile(rf"{re.escape(prefix)}\.{generation}\.(\d+)\.(\d+)")
    groups = broker.call(broker.admin.list_groups)
    starts = {(int(found[1]), int(found[2])): found[0]
              for group in groups if (found := named.fullmatch(group["group_id"]))}
    return starts[max(starts)] if starts else None
