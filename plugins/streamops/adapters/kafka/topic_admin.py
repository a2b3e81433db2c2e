"""Carries out topic plans: idempotent, to be interrupted at any point, and harmless beside another apply.

Every topic is looked at again just before its steps, and only those of the plan that are still needed are taken.
What somebody else did meanwhile (the topic is there, the partitions are) is what was wanted. At the end the topics
are read back and compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

import kafka.errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType

from streamops.adapters.kafka.broker import Broker
from streamops.declared.topics import ChangeKind, ObservedTopic, Topic, TopicChange, TopicPlan, plan_topic, plan_topics
from streamops.errors import RefusedError, StateError

#: Errors that say that somebody else did it first; reading back tells whether it is what was declared.
_DONE_ALREADY = (kafka_errors.TopicAlreadyExistsError, kafka_errors.InvalidPartitionsError)
#: How long brokers may take to show what the controller has accepted.
_READ_BACK_S = 30.0


def plan(broker: Broker, declared: Mapping[str, Topic], asked: Iterable[str] = ()) -> TopicPlan:
    """What would bring the brokers to what is declared, for all declared topics or those `asked` for by name."""
    names = sorted(set(asked) or declared)
    return plan_topics(declared, broker.observe_topics(names), names)


def apply(broker: Broker, declared: Mapping[str, Topic], planned: TopicPlan,
          say: Callable[[str], object] = lambda _line: None) -> TopicPlan:
    """Take the plan's steps, wait until every broker serves the result, and read it back.

    Args:
        planned: what was shown. A step that is not in it is not taken, even if it would be needed by now.
        say: is told each step before it is taken.

    Returns:
        What still differs from the plan's topics: refusals, and what somebody else changed meanwhile.

    Raises:
        RefusedError: the brokers refused some steps; all others were taken, and every broker serves them.
        StateError: the brokers accepted the steps and do not show them.
    """
    refused: dict[TopicChange, str] = {}
    for name in sorted({change.topic for change in planned.steps}):
        wanted = {_key(change) for change in planned.steps if change.topic == name}
        for change in _needed(broker, declared[name], wanted):
            say(f"{change.topic}: {change}")
            if (why := _take(broker, declared[name], change)) is not None:
                refused[change] = why
    left = _read_back(broker, declared, planned, {_key(change) for change in refused})
    if refused:
        raise RefusedError("Kafka refused, and the other steps were taken:\n    "
                           + "\n    ".join(f"{change.topic}: {change}: {why}" for change, why in refused.items()),
                           "Correct the declaration, or the brokers, and apply again.")
    return left


def _needed(broker: Broker, declared: Topic, wanted: set[tuple[Any, ...]]) -> list[TopicChange]:
    """The wanted steps that are still to be taken, by what the brokers have now."""
    now = plan_topic(declared, broker.observe_topics([declared.name]).get(declared.name))
    return [change for change in now if change.refusal is None and _key(change) in wanted]


def _key(change: TopicChange) -> tuple[Any, ...]:
    """What makes two changes the same step: where it leads, not where it starts."""
    return change.topic, change.kind, change.config, change.after


def _take(broker: Broker, topic: Topic, change: TopicChange) -> str | None:
    """Take one step. Returns why Kafka refuses it, or None."""
    try:
        broker.call(lambda: _STEPS[change.kind](broker.admin, topic, change))
    except RefusedError as refused:
        return refused.found
    return None


def _create(admin: Any, topic: Topic, _change: TopicChange) -> None:
    answer = admin.create_topics({topic.name: {
        "num_partitions": topic.partitions, "replication_factor": topic.replication, "configs": topic.configs,
    }}, raise_errors=False)
    _check(answer["topics"][0]["error_code"], answer["topics"][0].get("error_message"))


def _grow(admin: Any, topic: Topic, _change: TopicChange) -> None:
    answer = admin.create_partitions({topic.name: topic.partitions}, raise_errors=False)
    _check(answer.results[0].error_code, answer.results[0].error_message)


def _set_or_reset(admin: Any, topic: Topic, change: TopicChange) -> None:
    operation = ("DELETE", None) if change.after is None else ("SET", change.after)
    resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, {change.config: operation})
    answer = admin.alter_configs([resource], raise_on_unknown=False, incremental=True)["topic"][topic.name]
    if answer != "OK":  # kafka-python gives the error as text, "[Error 40] InvalidConfigurationError: …"
        raise kafka_errors.InvalidConfigurationError(answer.split("Error: ", 1)[-1])


_STEPS: dict[ChangeKind, Callable[[Any, Topic, TopicChange], None]] = {
    ChangeKind.CREATE: _create,
    ChangeKind.PARTITIONS: _grow,
    ChangeKind.SET_CONFIG: _set_or_reset,
    ChangeKind.RESET_CONFIG: _set_or_reset,
}


def _check(error_code: int, message: str | None) -> None:
    error = kafka_errors.for_code(error_code)
    if error is not kafka_errors.NoError and error not in _DONE_ALREADY:
        raise error(message or "")


def _read_back(broker: Broker, declared: Mapping[str, Topic], planned: TopicPlan,
               refused: Set[tuple[Any, ...]]) -> TopicPlan:
    """What still differs, once every broker serves the steps that were not refused."""
    deadline = time.monotonic() + _READ_BACK_S
    taken = [change for change in planned.steps if _key(change) not in refused]
    steps = {_key(change) for change in taken}
    broker.await_topics({change.topic: _partitions(broker, declared[change.topic]) for change in taken}, _READ_BACK_S)
    while True:
        left = plan_topics(declared, broker.observe_topics(planned.topics), planned.topics)
        undone = [change for change in left.steps if _key(change) in steps]
        if not undone:
            return left
        if time.monotonic() > deadline:
            raise StateError(
                f"Kafka accepted these steps and does not show them after {_READ_BACK_S:g} s: "
                + "; ".join(f"{change.topic}: {change}" for change in undone),
                "Somebody else may be changing the same topics. Look at the plan again: streamops topics plan",
            )
        time.sleep(0.2)


def _partitions(broker: Broker, topic: Topic) -> int:
    """How many partitions to wait for: a topic that has more than declared keeps them."""
    observed: ObservedTopic | None = broker.observe_topics([topic.name]).get(topic.name)
    return max(topic.partitions, observed.partitions if observed else 0)
