"""How the brokers of a pipeline are now: each asked by itself, so that one that is away hides no other."""

from __future__ import annotations

from typing import Any

from kafka.protocol.metadata import MetadataRequest

from streamops.adapters.connections import connection
from streamops.adapters.kafka import topic_positions
from streamops.adapters.kafka.broker import Broker
from streamops.declared.pipeline import Pipeline
from streamops.errors import StreamopsError, UnavailableError
from streamops.running.broker_health import BrokerHealth

#: Seconds to wait for brokers: a person waits for the answer.
_TIMEOUT_S = 4.0


def take(pipeline: Pipeline) -> BrokerHealth:
    """How the brokers are that the pipeline reads from: one that does not answer is part of what is found.

    Raises ConfigurationError for a connection that is wrong.
    """
    try:
        with Broker.connect(connection(pipeline.connections.kafka), _TIMEOUT_S) as broker:
            found = topic_positions.layout(broker, pipeline.topics)
            said = _asked(broker, found.brokers)
    except UnavailableError as error:
        return BrokerHealth(away=error.found)
    for node in found.replicas - found.brokers:
        said[node] = "it holds replicas, and is not up"
    return BrokerHealth(
        brokers=dict(sorted(said.items())),
        partitions=len(found.partitions),
        leaderless=tuple(sorted(found.leaderless)),
        under_replicated=tuple(sorted(set(found.under_replicated) - set(found.leaderless))),
        absent=found.absent,
    )


def _asked(broker: Broker, nodes: frozenset[int]) -> dict[int, str | None]:
    """Why each broker does not answer a request of its own; None where it does."""
    request = MetadataRequest(topics=[], allow_auto_topic_creation=False)
    said: dict[int, Any]
    try:
        said = broker.ask_each(dict.fromkeys(sorted(nodes), request))
    except StreamopsError as error:
        return dict.fromkeys(nodes, error.found)
    return {node: topic_positions.silent(node, reply) if isinstance(reply, Exception) else None
            for node, reply in said.items()}
