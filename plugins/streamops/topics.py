"""Topics: what is declared, what the brokers have, and the steps from the one to the other.

Pure: `adapters.topic_admin` observes and applies. Only declared topics are ever planned for; nothing is deleted.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.json_schema import WithJsonSchema

from streamops.pipeline import Section, TopicName
from streamops.topic_configs import TOPIC_CONFIGS

#: What a broker makes at most in one request (Kafka's `ReplicationControlManager`).
MAX_PARTITIONS = 10_000


class Topic(Section):
    """A topic as declared. `configs` are what Kafka is told, as text; a config not named has the brokers' default."""

    name: TopicName
    partitions: int = Field(ge=1, le=MAX_PARTITIONS, description="How many; it can grow, and never shrink.")
    replication: int = Field(ge=1, le=32767, description="Copies of each partition, at most one a broker.")
    configs: Annotated[dict[str, str], WithJsonSchema({"type": "object", "additionalProperties": False, "properties": {
        name: {"type": ["string", "number", "boolean", "array"]} for name in TOPIC_CONFIGS}})] = Field(
        default_factory=dict, description="Topic configs by Kafka's own names.")
