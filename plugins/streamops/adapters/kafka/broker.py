"""Kafka brokers: what they have, asked with kafka-python's admin client.

Errors are short. kafka-python's own repeat request and response, up to 300,000 characters, and its log repeats the
errors, so neither is ever shown.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import kafka
import kafka.errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.protocol.metadata import MetadataRequest

from streamops.adapters.connections import Connection
from streamops.adapters.kafka.client_settings import client_settings
from streamops.declared.topics import ObservedTopic
from streamops.errors import ConfigurationError, RefusedError, StreamopsError, UnavailableError
from streamops.state.offsets import Offsets, TopicPartition

__all__ = ["Broker", "client_settings", "short_error"]

Answer = TypeVar("Answer")
#: Longer texts of brokers are cut: enough for a sentence and a name.
_MESSAGE_LENGTH = 300
#: Between two tries while brokers are away.
_RETRY_S = 0.2


class Broker:
    """A connection to a Kafka cluster. Every call is tried again for `timeout_s` while brokers are away or electing.

    Safe for several threads. To be closed: use it in a `with`.
    """

    def __init__(self, admin: Any, servers: str, timeout_s: float) -> None:
        self.admin = admin
        self.servers = servers
        self.timeout_s = timeout_s

    @classmethod
    def connect(cls, connection: Connection, timeout_s: float = 10) -> Self:
        """A connection to the brokers that the Airflow connection names.

        Raises:
            ConfigurationError: the connection lacks something, or the brokers refuse its credentials.
            UnavailableError: no broker answers within `timeout_s`.
        """
        settings = client_settings(connection)
        servers = ", ".join(settings["bootstrap_servers"])
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        milliseconds = int(timeout_s * 1000)
        settings = {"request_timeout_ms": milliseconds, "bootstrap_timeout_ms": milliseconds,
                    "reconnect_backoff_max_ms": 1000, **settings}
        try:
            with _explained(servers):
                return cls(_admin(settings), servers, timeout_s)
        except UnavailableError as error:
            # kafka-python says only that its time was up.
            raise UnavailableError(f"no Kafka broker answers at {servers}: {_why_silent(settings)}",
                                   error.repair) from None

    def close(self) -> None:
        """Close the connections. Closing twice is harmless."""
        self.admin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def call(self, ask: Callable[[], Answer]) -> Answer:
        """The answer of `ask`, tried again while the error says that a retry can help.

        Raises:
            UnavailableError: no good answer within the timeout.
            ConfigurationError: the credentials are refused, or allow too little.
            RefusedError: the brokers refuse the request.
        """
        deadline = time.monotonic() + self.timeout_s
        with _explained(self.servers):
            while True:
                try:
                    return ask()
                except kafka_errors.KafkaError as error:
                    if not error.retriable or time.monotonic() > deadline:
                        raise
                time.sleep(_RETRY_S)

    # What the cluster has

    def cluster_id(self) -> str:
        """The id that the cluster gave itself when it was formatted."""
        return str(self.call(self.admin.describe_cluster)["cluster_id"])

    def broker_ids(self) -> tuple[int, ...]:
        """Ids of the brokers that are up."""
        brokers = self.call(self.admin.describe_cluster)["brokers"]
        return tuple(sorted(broker["broker_id"] for broker in brokers if not broker.get("is_fenced")))

    def topic_names(self) -> list[str]:
        """Names of all topics, sorted, without Kafka's internal ones."""
        topics = self.call(self.admin.describe_topics)
        return sorted(topic["name"] for topic in topics if not topic["is_internal"])

    def observe_topics(self, names: Collection[str]) -> dict[str, ObservedTopic]:
        """The topics of these names that exist, with the configs that are set on them."""
        described = {topic["name"]: topic for topic in self._described(names)}
        configs = self._own_configs(described)
        return {name: ObservedTopic(
            name=name,
            partitions=len(topic["partitions"]),
            replication=tuple(sorted({len(partition["replica_nodes"]) for partition in topic["partitions"]})),
            configs=configs[name],
            topic_id=str(topic["topic_id"]),
        ) for name, topic in described.items()}

    def partitions(self, topics: Collection[str]) -> list[TopicPartition]:
        """Every partition of these topics. Raises ConfigurationError when one does not exist."""
        described = {topic["name"]: topic for topic in self._described(topics)}
        if missing := sorted(set(topics) - set(described)):
            raise ConfigurationError(f"there is no topic {_listed(missing)} on {self.servers}",
                                     "Create the declared topics: streamops topics apply")
        return sorted(TopicPartition(name, partition["partition_index"])
                      for name, topic in described.items() for partition in topic["partitions"])

    def leader(self, at: TopicPartition) -> int:
        """Id of the broker that leads a partition. Raises UnavailableError while none does."""
        found = {partition["partition_index"]: partition["leader_id"]
                 for topic in self._described([at.topic]) for partition in topic["partitions"]}
        if found.get(at.partition, -1) < 0:
            raise UnavailableError(f"no broker leads {at}", "See whether all brokers are up, then try again.")
        return int(found[at.partition])

    def _described(self, names: Collection[str]) -> list[dict[str, Any]]:
        """Metadata of the topics that exist."""
        def ask() -> list[dict[str, Any]]:
            found = []
            for topic in self.admin.describe_topics(sorted(names)) if names else ():
                error = kafka_errors.for_code(topic["error_code"])
                if error is kafka_errors.UnknownTopicOrPartitionError:
                    continue
                if error is not kafka_errors.NoError:
                    raise error(f"topic {topic['name']}")
                found.append(topic)
            return found
        return self.call(ask)

    def _own_configs(self, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Configs set on the topics themselves."""
        def ask() -> dict[str, dict[str, str]]:
            resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in sorted(names)]
            answer = self.admin.describe_configs(resources, config_filter="all").get("topic", {}) if names else {}
            # kafka-python drops a topic's error; what is left then is a topic without any config, which none is.
            if silent := sorted(name for name in names if not answer.get(name)):
                raise kafka_errors.UnknownTopicOrPartitionError(f"configs of {_listed(silent)}")
            return {name: {config: str(entry["value"]) for config, entry in configs.items()
                           if entry["config_source"] == "DYNAMIC_TOPIC_CONFIG"} for name, configs in answer.items()}
        return self.call(ask)

    def await_topics(self, partitions: Mapping[str, int], timeout_s: float = 30) -> None:
        """Wait until every broker serves these topics (name and number of partitions), each partition with a leader.

        A topic that was just created or grown is known to the controller first; a client that asks another broker is
        told that there is no such topic. Raises UnavailableError when it takes longer than `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while partitions:
            waiting = [f"{topic} on broker {node}" for node in self.broker_ids()
                       for topic in self._not_served(node, partitions)]
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise UnavailableError(f"after {timeout_s:g} s brokers do not serve {_listed(waiting)}",
                                       "See whether all brokers are up, then do the same again.")
            time.sleep(_RETRY_S)

    def _not_served(self, node: int, partitions: Mapping[str, int]) -> list[str]:
        """Topics that one broker does not serve yet. kafka-python has no public way to ask a certain broker."""
        asked = [MetadataRequest.MetadataRequestTopic(name=name) for name in sorted(partitions)]
        request = MetadataRequest(topics=asked, allow_auto_topic_creation=False)
        manager = self.admin._manager
        answer = self.call(lambda: manager.run(lambda: manager.send(request, node_id=node)))
        served = {topic.name for topic in answer.topics
                  if topic.error_code == 0 and len(topic.partitions) >= partitions[topic.name]
                  and all(partition.error_code == 0 and partition.leader_id >= 0 for partition in topic.partitions)}
        return sorted(set(partitions) - served)

    def ask_each(self, requests: Mapping[int, Any]) -> dict[int, Any]:
        """What each broker, by its id, answers to its request, all asked at once; a KafkaError where one does not.

        Nothing is tried again. One request to each at a time: kafka-python refuses what exceeds its limit in flight.
        """
        manager = self.admin._manager

        async def ask() -> dict[int, Any]:
            sent = {node: manager.send(request, node_id=node) for node, request in requests.items()}
            answers: dict[int, Any] = {}
            for node, answer in sent.items():
                try:
                    answers[node] = await answer
                except kafka_errors.KafkaError as error:
                    answers[node] = error
            return answers

        with _explained(self.servers):
            found: dict[int, Any] = manager.run(ask)
        return found

    # Offsets

    def earliest_offsets(self, topics: Collection[str]) -> Offsets:
        """The offset of the first record that Kafka still has, of every partition of these topics."""
        return {at: offset for at, offset in self._offsets(topics, OffsetSpec.EARLIEST) if offset is not None}

    def latest_offsets(self, topics: Collection[str]) -> Offsets:
        """The offset that the next record will have, of every partition of these topics."""
        return {at: offset for at, offset in self._offsets(topics, OffsetSpec.LATEST) if offset is not None}

    def offsets_at(self, topics: Collection[str], at: datetime) -> dict[TopicPartition, int | None]:
        """The first offset whose record is stamped at or after the time, of every partition; None: no such record."""
        if at.tzinfo is None:
            raise ValueError("a time without a zone means nothing to a broker")
        return dict(self._offsets(topics, int(at.timestamp() * 1000)))

    def _offsets(self, topics: Collection[str], spec: Any) -> Iterator[tuple[TopicPartition, int | None]]:
        partitions = self.partitions(topics)
        asked = {kafka.TopicPartition(*at): spec for at in partitions}
        found = self.call(lambda: self.admin.list_partition_offsets(asked)) if asked else {}
        for at in partitions:
            offset = found[kafka.TopicPartition(*at)].offset
            yield at, offset if offset >= 0 else None


def short_error(error: BaseException) -> str:
    """What an error of Kafka says, in one line that is never long: `TopicAuthorizationFailedError: topic orders`."""
    text = " ".join(str(part) for part in error.args) if error.args else ""
    description = getattr(error, "description", None)
    # Where kafka-python repeats request and response, the error's own description says more.
    said = description if description and (not text or "Request" in text) else text
    said = " ".join(said.split())
    said = said if len(said) <= _MESSAGE_LENGTH else said[:_MESSAGE_LENGTH] + "…"
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


@contextmanager
def _explained(servers: str) -> Iterator[None]:
    """kafka-python's errors as errors for a person."""
    try:
        yield
    except kafka_errors.KafkaError as error:
        raise _translated(error, servers) from None
    except (OSError, RuntimeError) as error:
        raise UnavailableError(f"Kafka at {servers} cannot be asked: {short_error(error)}",
                               "See that the address in the Airflow connection is right and a broker is up.") from None


def _translated(error: Any, servers: str) -> StreamopsError:
    if isinstance(error, kafka_errors.SaslAuthenticationFailedError | kafka_errors.UnsupportedSaslMechanismError):
        return ConfigurationError(f"Kafka at {servers} refuses the credentials: {short_error(error)}",
                                  "Correct user, password and mechanism in the Airflow connection.")
    if isinstance(error, kafka_errors.AuthorizationError):
        return ConfigurationError(f"Kafka at {servers} does not allow this: {short_error(error)}",
                                  "Give the connection's user the ACLs for it.")
    if isinstance(error, kafka_errors.KafkaConfigurationError):
        return ConfigurationError(f"kafka-python refuses its settings: {short_error(error)}",
                                  "Correct the extra of the Airflow connection.")
    if isinstance(error, kafka_errors.KafkaTimeoutError | kafka_errors.KafkaConnectionError |
                  kafka_errors.NodeNotReadyError):
        # A partition's leader, a group's coordinator or the controller is meant: others may answer.
        return UnavailableError(f"a Kafka broker that has to answer does not, of {servers}: {short_error(error)}",
                                "See that the address in the Airflow connection is right and which brokers are up "
                                "(streamops stack status).")
    if error.retriable:
        return UnavailableError(f"Kafka at {servers} is not ready: {short_error(error)}", "Try again in a while.")
    return RefusedError(f"Kafka at {servers} refuses: {short_error(error)}")


def _why_silent(settings: Mapping[str, Any]) -> str:
    """What a plain connection to the first server says."""
    host, _, port = str(settings["bootstrap_servers"][0]).rpartition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1):
            protocol = settings.get("security_protocol", "PLAINTEXT")
            return f"something listens there and does not talk Kafka over {protocol} (security.protocol, port)"
    except socket.gaierror:
        return f"the name {host} is not known"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)


def _admin(settings: dict[str, Any]) -> Any:
    """An admin client. One that cannot connect is taken down again: its constructor leaves a thread running."""
    admin = kafka.KafkaAdminClient.__new__(kafka.KafkaAdminClient)
    try:
        admin.__init__(**settings)
    except BaseException:
        if hasattr(admin, "_net"):
            admin._closed = False
            admin.close()
        raise
    return admin


def _listed(names: Iterable[str]) -> str:
    """A few of the names, and how many more."""
    every = list(names)
    return ", ".join(every[:5]) + (f" and {len(every) - 5} more" if len(every) > 5 else "")
