"""Topics: what is declared, what the brokers have, and the steps from the one to the other.

Pure: `adapters.topic_admin` observes and applies. Only declared topics are ever planned for; nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field
from pydantic.json_schema import WithJsonSchema

from streamops.declared.pipeline import Section, TopicName
from streamops.declared.topic_configs import TOPIC_CONFIGS, TRANSIENT

#: What a broker makes at most in one request (Kafka's `ReplicationControlManager`).
MAX_PARTITIONS = 10_000

#: How a plan calls the value of a config that a topic does not set itself.
_DEFAULT = "the brokers' default"


class Topic(Section):
    """A topic as declared. `configs` are what Kafka is told, as text; a config not named has the brokers' default."""

    name: TopicName
    partitions: int = Field(ge=1, le=MAX_PARTITIONS, description="How many; it can grow, and never shrink.")
    replication: int = Field(ge=1, le=32767, description="Copies of each partition, at most one a broker.")
    configs: Annotated[dict[str, str], WithJsonSchema({"type": "object", "additionalProperties": False, "properties": {
        name: {"type": ["string", "number", "boolean", "array"]} for name in TOPIC_CONFIGS}})] = Field(
        default_factory=dict, description="Topic configs by Kafka's own names.")


@dataclass(frozen=True)
class ObservedTopic:
    """A topic as the brokers have it. `replication` holds each replication factor that some partition has;
    `configs` are those set on the topic itself, not what it inherits from the brokers."""

    name: str
    partitions: int
    replication: tuple[int, ...]
    configs: Mapping[str, str] = field(default_factory=dict)
    topic_id: str | None = None


class ChangeKind(StrEnum):
    """What a step does. Steps of one topic are taken in this order."""

    CREATE = "create"
    PARTITIONS = "partitions"
    REPLICATION = "replication"
    SET_CONFIG = "set config"
    RESET_CONFIG = "reset config"
    DELETE = "delete"


@dataclass(frozen=True)
class TopicChange:
    """One step from the topic the brokers have to the topic that is declared. `config` names the config it is about."""

    topic: str
    kind: ChangeKind
    before: str | None
    after: str | None
    config: str | None = None
    refusal: str | None = None  # why this step is not taken, in words for the person who declared it

    def __str__(self) -> str:
        if self.kind is ChangeKind.CREATE:
            return f"create with {self.after}"
        if self.kind is ChangeKind.DELETE:
            return "delete"
        before, after = (_DEFAULT if value is None else value for value in (self.before, self.after))
        return f"{self.config or self.kind}: {before} -> {after}"


@dataclass(frozen=True)
class TopicPlan:
    """Steps that bring the brokers to what is declared. `topics` are all that were compared, also those that agree."""

    topics: tuple[str, ...]
    changes: tuple[TopicChange, ...]

    @property
    def steps(self) -> tuple[TopicChange, ...]:
        """What is done by an apply."""
        return tuple(change for change in self.changes if change.refusal is None)

    @property
    def refusals(self) -> tuple[TopicChange, ...]:
        """What differs and is not changed, each with its reason."""
        return tuple(change for change in self.changes if change.refusal is not None)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as JSON has it."""
        changes = [{**asdict(change), "kind": change.kind.value} for change in self.changes]
        return {"topics": list(self.topics), "changes": changes}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TopicPlan:
        """The plan that `as_dict` gave."""
        changes = tuple(TopicChange(**{**change, "kind": ChangeKind(change["kind"])}) for change in data["changes"])
        return cls(tuple(data["topics"]), changes)

    def __str__(self) -> str:
        """The plan as a person reads it: one line a step, `+` new, `~` changed, `!` refused with the reason below."""
        if not self.changes:
            return f"Nothing to do: {len(self.topics)} declared topics are on the brokers as declared."
        lines = []
        for change in self.changes:
            sign = "!" if change.refusal else "+" if change.kind is ChangeKind.CREATE else "~"
            lines.append(f"{sign} {change.topic}  {change}")
            if change.refusal:
                lines.append(f"    Refused: {change.refusal}")
        return "\n".join(lines)


def plan_topic(declared: Topic, observed: ObservedTopic | None) -> list[TopicChange]:
    """Steps that bring `observed` to `declared`; empty when they agree.

    Partitions only ever grow: Kafka cannot remove one. A config that is set on the topic and not declared is drift, or
    was declared once: it goes back to the brokers' default.
    """
    name = declared.name
    if observed is None:
        settings = [f"{declared.partitions} partitions", f"replication {declared.replication}",
                    *(f"{config}={value}" for config, value in sorted(declared.configs.items()))]
        return [TopicChange(name, ChangeKind.CREATE, None, ", ".join(settings))]
    changes = []
    if declared.partitions != observed.partitions:
        refusal = None if declared.partitions > observed.partitions else (
            f"Kafka cannot take partitions away, and their records would be lost. Declare {observed.partitions}, or "
            "make a topic of another name and move its writers and readers there.")
        changes.append(TopicChange(name, ChangeKind.PARTITIONS, str(observed.partitions), str(declared.partitions),
                                   refusal=refusal))
    if set(observed.replication) != {declared.replication}:
        now = " and ".join(map(str, observed.replication))
        changes.append(TopicChange(
            name, ChangeKind.REPLICATION, now, str(declared.replication),
            refusal="another replication factor copies the whole topic between brokers, which is planned for by hand: "
                    f"use kafka-reassign-partitions, or declare {now.split(' ')[-1]}."))
    for config in sorted({*declared.configs, *observed.configs} - TRANSIENT):
        before, after = observed.configs.get(config), declared.configs.get(config)
        if before != after:
            kind = ChangeKind.RESET_CONFIG if after is None else ChangeKind.SET_CONFIG
            changes.append(TopicChange(name, kind, before, after, config=config))
    return changes


def plan_topics(declared: Mapping[str, Topic], observed: Mapping[str, ObservedTopic],
                asked: Iterable[str] = ()) -> TopicPlan:
    """The plan for every declared topic, or for those that are `asked` for by name.

    Topics on the brokers that nobody declared are none of its business, and are not in it. One that is asked for by
    name and is not declared any more is refused: streamops never deletes a topic.
    """
    names = sorted(set(asked) or declared)
    changes: list[TopicChange] = []
    for name in names:
        if name in declared:
            changes += plan_topic(declared[name], observed.get(name))
        elif name in observed:
            changes.append(TopicChange(
                name, ChangeKind.DELETE, "on the brokers", None,
                refusal="it is not declared, and streamops never deletes a topic: its records and every reader's "
                        "offsets would be gone. Declare it, or delete it by hand with kafka-topics --delete."))
    return TopicPlan(tuple(names), tuple(changes))
