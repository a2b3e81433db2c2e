"""Topics of a pipelines file on the clusters of its connections: what DAG and command line both do.

A topic belongs to the Kafka connection of the pipelines that use it, so one file may provision several clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from streamops.declared.pipelines import Pipelines
from streamops.declared.problems import choices, nearest
from streamops.declared.topics import TopicPlan
from streamops.errors import ConfigurationError, RefusedError

#: Plans by the id of the Kafka connection: `{"kafka_default": TopicPlan(…)}`.
Plans = dict[str, TopicPlan]


def plan(pipelines: Pipelines, topics: Collection[str] = (), timeout_s: float = 10) -> Plans:
    """What would bring every cluster to what the file declares; all topics, or those given.

    A topic that is given, exists and is not declared is in the plan as a refused deletion.

    Raises:
        ConfigurationError: a given topic is neither declared nor on the brokers; or a connection is wrong.
        UnavailableError: no broker answers within `timeout_s`.
    """
    from streamops.adapters.connections import connection
    from streamops.adapters.kafka import topic_admin
    from streamops.adapters.kafka.broker import Broker

    grouped = pipelines.topics_by_connection() or {pipelines.connections.kafka: {}}
    undeclared = sorted(set(topics) - set(pipelines.topics))
    plans: Plans = {}
    found: set[str] = set()
    for conn_id, declared in grouped.items():
        asked = sorted(set(topics) & set(declared)) + undeclared
        if topics and not asked:
            continue
        with Broker.connect(connection(conn_id), timeout_s) as broker:
            planned = topic_admin.plan(broker, declared, asked)
        found |= {change.topic for change in planned.changes}
        plans[conn_id] = planned
    for name in undeclared:
        if name not in found:
            close = nearest(name, pipelines.topics)
            known = choices(sorted(pipelines.topics)) if pipelines.topics else "none"
            raise ConfigurationError(f"there is no topic `{name}`, neither in {pipelines.file} nor on the brokers",
                                     f"Did you mean `{close}`?" if close else f"{pipelines.file} declares {known}.")
    return plans


def apply(pipelines: Pipelines, plans: Mapping[str, TopicPlan], say: Callable[[str], object],
          timeout_s: float = 10) -> Plans:
    """Take the steps of plans that were shown, cluster by cluster; return what still differs after reading back.

    Raises:
        ConfigurationError, UnavailableError: as `plan`.
        RefusedError: the brokers refused some steps; all others were taken.
    """
    from streamops.adapters.connections import connection
    from streamops.adapters.kafka import topic_admin
    from streamops.adapters.kafka.broker import Broker

    declared = pipelines.topics_by_connection()
    left: Plans = {}
    for conn_id, planned in plans.items():
        with Broker.connect(connection(conn_id), timeout_s) as broker:
            left[conn_id] = topic_admin.apply(broker, declared.get(conn_id, {}), planned, say)
    return left


def require_no_refusals(plans: Mapping[str, TopicPlan]) -> None:
    """Raises RefusedError with every reason when the plans refuse something."""
    refusals = [change for planned in plans.values() for change in planned.refusals]
    if refusals:
        raise RefusedError(
            f"{len(refusals)} declared {'change is' if len(refusals) == 1 else 'changes are'} refused; "
            "everything else is as declared:\n"
            + "\n".join(f"    {change.topic}  {change}: {change.refusal}" for change in refusals))


def to_data(plans: Mapping[str, TopicPlan]) -> dict[str, Any]:
    """The plans as JSON has them: `{"kafka_default": {"topics": ["lines"], "changes": [{"kind": "create", …}]}}`."""
    return {conn_id: planned.as_dict() for conn_id, planned in plans.items()}


def from_data(data: Mapping[str, Any]) -> Plans:
    """The plans that `to_data` gave."""
    return {conn_id: TopicPlan.from_dict(planned) for conn_id, planned in data.items()}


def rendered(plans: Mapping[str, TopicPlan]) -> str:
    """The plans as a person reads them; connections are named where there are several."""
    if len(plans) == 1:
        return str(next(iter(plans.values())))
    return "\n".join(f"{conn_id}:\n{planned}" for conn_id, planned in plans.items()) or "No topics are declared."
