"""What brokers say of a snapshot's topics, each broker asked for the partitions that it leads.

So a broker that is away costs the answers about its own partitions, with the reason, and nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import kafka.errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.protocol.admin import DescribeLogDirsRequest
from kafka.protocol.consumer import ListOffsetsRequest
from kafka.protocol.metadata import MetadataRequest

from streamops.adapters.kafka.broker import Broker, short_error
from streamops.errors import StreamopsError
from streamops.points.lag_seconds import Retention
from streamops.points.snapshot import Reading
from streamops.state.offsets import TopicPartition

_NO_LEADER = "no broker leads this partition now"
_RETENTION = ("retention.ms", "retention.bytes", "cleanup.policy")


@dataclass(frozen=True)
class Layout:
    """Which partitions topics have and who leads each. `absent` says of topics why they could not be described.

    `brokers` are those that are up, `replicas` those that hold a replica; `under_replicated` lack one that is in sync.
    """

    topic_ids: Mapping[str, str] = field(default_factory=dict)
    leaders: Mapping[TopicPartition, int] = field(default_factory=dict)
    leader_epochs: Mapping[TopicPartition, int] = field(default_factory=dict)
    leaderless: Mapping[TopicPartition, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    brokers: frozenset[int] = frozenset()
    replicas: frozenset[int] = frozenset()
    under_replicated: tuple[TopicPartition, ...] = ()

    @property
    def partitions(self) -> list[TopicPartition]:
        return [*self.leaders, *self.leaderless]

    def by_leader(self, partitions: Iterable[TopicPartition]) -> dict[int, list[TopicPartition]]:
        """Partitions grouped by the broker that leads them; those without one are left out."""
        grouped: dict[int, list[TopicPartition]] = defaultdict(list)
        for at in partitions:
            if at in self.leaders:
                grouped[self.leaders[at]].append(at)
        return grouped


def layout(broker: Broker, topics: Collection[str]) -> Layout:
    """Topics, partitions and leaders, by any broker that answers. Raises UnavailableError where none does."""
    request = MetadataRequest(
        topics=[MetadataRequest.MetadataRequestTopic(name=name) for name in sorted(topics)],
        allow_auto_topic_creation=False)
    manager = broker.admin._manager
    answer = broker.call(lambda: manager.run(lambda: manager.send(request)))
    ids: dict[str, str] = {}
    leaders: dict[TopicPartition, int] = {}
    epochs: dict[TopicPartition, int] = {}
    leaderless: dict[TopicPartition, str] = {}
    absent: dict[str, str] = {}
    replicas: set[int] = set()
    under_replicated: list[TopicPartition] = []
    for topic in answer.topics:
        if topic.error_code:
            error = kafka_errors.for_code(topic.error_code)
            absent[topic.name] = (f"there is no topic {topic.name}" if error is
                                  kafka_errors.UnknownTopicOrPartitionError else f"{topic.name}: {error.__name__}")
            continue
        ids[topic.name] = str(topic.topic_id)
        for each in topic.partitions:
            at = TopicPartition(topic.name, each.partition_index)
            if each.leader_id < 0:
                leaderless[at] = _NO_LEADER
            else:
                leaders[at] = each.leader_id
            if each.leader_epoch >= 0:
                epochs[at] = each.leader_epoch
            replicas.update(each.replica_nodes)
            if len(each.isr_nodes) < len(each.replica_nodes):
                under_replicated.append(at)
    up = frozenset(node.node_id for node in answer.brokers)
    return Layout(ids, leaders, epochs, leaderless, absent, up, frozenset(replicas), tuple(under_replicated))


def earliest(broker: Broker, found: Layout) -> Reading:
    """The first offset that Kafka still has of each partition."""
    return _listed(broker, found, OffsetSpec.EARLIEST, lambda each: each.offset, "it is unknown to its leader")


def latest(broker: Broker, found: Layout) -> Reading:
    """The offset that the next record will have in each partition."""
    return _listed(broker, found, OffsetSpec.LATEST, lambda each: each.offset, "it is unknown to its leader")


def youngest_ms(broker: Broker, found: Layout) -> Reading:
    """The highest timestamp in each partition, which is that of the newest record where timestamps grow; ms."""
    return _listed(broker, found, OffsetSpec.MAX_TIMESTAMP, lambda each: each.timestamp, "the partition is empty")


def _listed(
    broker: Broker, found: Layout, spec: OffsetSpec, value: Callable[[Any], int], why_none: str,
) -> Reading:
    values: dict[TopicPartition, int] = {}
    missing: dict[TopicPartition, str] = dict(found.leaderless)
    asked = found.by_leader(found.leaders)
    requests = {node: ListOffsetsRequest(
        isolation_level=0, min_version=ListOffsetsRequest.min_version_for_timestamp(spec),
        topics=[ListOffsetsRequest.ListOffsetsTopic(name=topic, partitions=[
            ListOffsetsRequest.ListOffsetsTopic.ListOffsetsPartition(partition_index=number, timestamp=spec)
            for number in numbers]) for topic, numbers in by_topic(partitions)],
    ) for node, partitions in asked.items()}
    for node, answer in broker.ask_each(requests).items():
        if isinstance(answer, Exception):
            missing.update(dict.fromkeys(asked[node], silent(node, answer)))
            continue
        for topic in answer.topics:
            for each in topic.partitions:
                at = TopicPartition(topic.name, each.partition_index)
                if each.error_code:
                    missing[at] = f"broker {node}: {kafka_errors.for_code(each.error_code).__name__}"
                elif (number := value(each)) >= 0:
                    values[at] = number
                else:
                    missing[at] = why_none
    return Reading(values, missing=missing)


def silent(node: int, error: Exception) -> str:
    """Why a broker's answer is missing, for a person."""
    if isinstance(error, kafka_errors.KafkaConnectionError | kafka_errors.KafkaTimeoutError |
                  kafka_errors.NodeNotReadyError):
        return f"broker {node} does not answer"
    return f"broker {node}: {short_error(error)}"


def by_topic(partitions: Iterable[TopicPartition]) -> Iterator[tuple[str, list[int]]]:
    """Partitions in the nesting of Kafka's requests: `("lines", [0, 1])`."""
    grouped: dict[str, list[int]] = defaultdict(list)
    for at in partitions:
        grouped[at.topic].append(at.partition)
    yield from grouped.items()


def retention(broker: Broker, topics: Collection[str]) -> dict[str, Retention]:
    """How long each topic keeps its records, brokers' defaults included; without topics that give no answer."""
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, configs=list(_RETENTION)) for name in sorted(topics)]
    try:
        answer = broker.call(lambda: broker.admin.describe_configs(asked, config_filter="all")) if asked else {}
    except StreamopsError:
        return {}  # it is known to none then, and a point says of each that it is not
    return {name: _retention({config: str(entry["value"]) for config, entry in configs.items()})
            for name, configs in answer.get("topic", {}).items() if configs}


def _retention(configs: Mapping[str, str]) -> Retention:
    if "delete" not in configs.get("cleanup.policy", "delete"):
        return Retention(None)
    limits = [int(configs.get(name, -1)) for name in ("retention.ms", "retention.bytes")]
    return Retention(*(limit if limit >= 0 else None for limit in limits))


def sizes_bytes(broker: Broker, found: Layout, topics: Collection[str]) -> dict[TopicPartition, int]:
    """Bytes of each partition on its leader's disks, without the index files; of those that answer."""
    topic_of = DescribeLogDirsRequest.DescribableLogDirTopic
    asked = found.by_leader(at for at in found.leaders if at.topic in topics)
    requests = {node: DescribeLogDirsRequest(topics=[
        topic_of(topic=topic, partitions=numbers) for topic, numbers in by_topic(partitions)])
        for node, partitions in asked.items()}
    sizes: dict[TopicPartition, int] = {}
    for answer in broker.ask_each(requests).values():
        for directory in () if isinstance(answer, Exception) else answer.results:
            for topic in directory.topics:
                for each in topic.partitions:
                    if not each.is_future_key:
                        sizes[TopicPartition(topic.name, each.partition_index)] = each.partition_size
    return sizes
