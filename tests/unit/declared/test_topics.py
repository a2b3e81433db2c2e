"""The plan from declared to observed topics, as a table of cases."""

from __future__ import annotations

import json

import pytest

from streamops.declared.topics import ChangeKind, ObservedTopic, Topic, TopicChange, TopicPlan, plan_topic, plan_topics


def declared(partitions: int = 4, replication: int = 1, **configs: str) -> Topic:
    return Topic(name="orders", partitions=partitions, replication=replication,
                 configs={key.replace("_", "."): value for key, value in configs.items()})


def observed(partitions: int = 4, replication: tuple[int, ...] = (1,), **configs: str) -> ObservedTopic:
    return ObservedTopic("orders", partitions, replication, {key.replace("_", "."): value
                                                             for key, value in configs.items()})


CASES = [
    ("as declared", declared(), observed(), []),
    ("configs as declared", declared(retention_ms="5"), observed(retention_ms="5"), []),
    ("not there", declared(retention_ms="5"), None,
     ["create with 4 partitions, replication 1, retention.ms=5"]),
    ("too few partitions", declared(6), observed(4), ["partitions: 4 -> 6"]),
    ("too many partitions", declared(2), observed(4), ["refused partitions: 4 -> 2"]),
    ("another replication", declared(replication=3), observed(), ["refused replication: 1 -> 3"]),
    ("mixed replication", declared(replication=3), observed(replication=(1, 3)), ["refused replication: 1 and 3 -> 3"]),
    ("a config to set", declared(retention_ms="5"), observed(), ["retention.ms: the brokers' default -> 5"]),
    ("a config that drifted", declared(retention_ms="5"), observed(retention_ms="6"), ["retention.ms: 6 -> 5"]),
    ("a config that was removed", declared(), observed(retention_ms="6"), ["retention.ms: 6 -> the brokers' default"]),
    ("partitions that are moving", declared(), observed(leader_replication_throttled_replicas="*"), []),
    ("all at once", declared(6, 3, retention_ms="5"), observed(4, (1,), retention_ms="6", segment_bytes="1048576"),
     ["partitions: 4 -> 6", "refused replication: 1 -> 3", "retention.ms: 6 -> 5",
      "segment.bytes: 1048576 -> the brokers' default"]),
]


@pytest.mark.parametrize(("wanted", "found", "changes"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_plan_of_one_topic(wanted: Topic, found: ObservedTopic | None, changes: list[str]) -> None:
    planned = plan_topic(wanted, found)
    assert [f"{'refused ' if change.refusal else ''}{change}" for change in planned] == changes


def test_undeclared_topics_are_not_in_the_plan() -> None:
    plan = plan_topics({"orders": declared()}, {"orders": observed(), "theirs": observed()})
    assert plan == TopicPlan(("orders",), ())
    assert str(plan) == "Nothing to do: 1 declared topics are on the brokers as declared."


def test_only_what_is_asked_for() -> None:
    both = {"orders": declared(), "lines": declared()}
    assert plan_topics(both, {}, asked=["lines"]).topics == ("lines",)


def test_deletion_is_refused() -> None:
    plan = plan_topics({"orders": declared()}, {"old": observed()}, asked=["old"])
    (change,) = plan.refusals
    assert change.kind is ChangeKind.DELETE
    assert "never deletes" in str(change.refusal)
    assert plan.steps == ()


def test_a_refusal_says_why_and_what_to_do() -> None:
    fewer, other = (plan_topic(wanted, observed())[0].refusal for wanted in (declared(2), declared(replication=3)))
    assert fewer is not None
    assert "cannot take partitions away" in fewer
    assert "Declare 4" in fewer
    assert other is not None
    assert "kafka-reassign-partitions" in other
    assert "declare 1" in other


def test_a_plan_travels_as_json() -> None:
    plan = plan_topics({"orders": declared(6, 3, retention_ms="5")}, {"orders": observed(4)})
    assert TopicPlan.from_dict(json.loads(json.dumps(plan.as_dict()))) == plan


def test_a_plan_reads_line_by_line() -> None:
    plan = plan_topics({"orders": declared(2, retention_ms="5"), "new": declared()}, {"orders": observed(4)})
    assert str(plan).splitlines()[0] == "+ orders  create with 4 partitions, replication 1"
    assert [line.split("  ")[0] for line in str(plan).splitlines() if not line.startswith(" ")] == [
        "+ orders", "! orders", "~ orders"]


def test_steps_leave_out_refusals() -> None:
    step = TopicChange("a", ChangeKind.PARTITIONS, "1", "2")
    refusal = TopicChange("a", ChangeKind.REPLICATION, "1", "2", refusal="no")
    plan = TopicPlan(("a",), (step, refusal))
    assert (plan.steps, plan.refusals) == ((step,), (refusal,))
