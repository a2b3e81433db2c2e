"""Observing a pipeline for the plan of a restore: its history, its topics, who lives, how fast it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, islice

from streamops.adapters.kafka import consumer_groups, topic_positions
from streamops.adapters.kafka.broker import Broker
from streamops.declared.pipeline import Pipeline
from streamops.points.recovery_points import RecoveryPoint
from streamops.restoring.carry_over import MovedFrom
from streamops.restoring.forecast import Pace
from streamops.restoring.plan import History, Observed, Undone
from streamops.restoring.refusals import ObservedLife, ObservedTopics
from streamops.restoring.targets import ObservedPositions, Target
from streamops.running.pipeline_status import RECENT_BATCHES
from streamops.state.batch_log import Entry
from streamops.state.offsets import Offsets, TopicPartition, advance


def observe(
    pipeline: Pipeline,
    target: Target,
    broker: Broker,
    history: History,
    known: RecoveryPoint | None,
    written_for: Mapping[str, str | None],
    drivers: tuple[str, ...],
    now_ms: int,
    undone: Undone | None = None,
    moved: MovedFrom | None = None,
) -> Observed:
    """What a plan is made of.

    `known` is the newest recovery point, `written_for` the ids of the topics for which the target's offsets were
    written down. Raises UnavailableError and ConfigurationError as Broker.call does, and StateError.
    """
    layout = topic_positions.layout(broker, pipeline.topics)
    earliest = topic_positions.earliest(broker, layout).values
    latest = topic_positions.latest(broker, layout).values
    at_time = {} if target.time is None else broker.offsets_at(pipeline.topics, target.time)
    recent = list(islice(chain.from_iterable(history.logs()), RECENT_BATCHES))
    return Observed(
        pipeline=pipeline.name,
        approach=str(pipeline.approach),
        history=history,
        positions=ObservedPositions(
            partitions=frozenset(layout.partitions),
            earliest=earliest,
            latest=latest,
            processed=_processed(history, recent, known),
            at_time=at_time,
        ),
        topics=ObservedTopics(now=layout.topic_ids, then={topic: written_for.get(topic) for topic in pipeline.topics}),
        life=ObservedLife(drivers, tuple(consumer_groups.members(broker, pipeline))),
        pace=Pace.measured(recent, _produced_per_s(known, latest, now_ms), pipeline.rate_limit),
        undone=undone,
        moved=moved,
    )


def _processed(history: History, recent: Iterable[Entry], known: RecoveryPoint | None) -> Offsets:
    """By the batch log. Where that was deleted, by what is left of it, or else by the newest recovery point."""
    newest = next(iter(recent), None)
    if history.current is not None:
        own = newest is not None and newest.generation == history.current.number
        return advance(history.current.start, newest.ranges if newest is not None and own else ())
    noted = known.processed if known is not None else {}
    if newest is None:
        return noted
    left = advance({}, newest.ranges)
    if known is None or known.generation != newest.generation:
        return left
    # Its last batches may have had no rows, and so have left nothing.
    return {at: max(offset, left.get(at, 0)) for at, offset in {**left, **noted}.items()}


def _produced_per_s(known: RecoveryPoint | None, latest: Mapping[TopicPartition, int], now_ms: int) -> float:
    """Records that producers add a second, since the newest recovery point."""
    if known is None or now_ms <= known.taken_ms:
        return 0.0
    added = sum(max(0, latest[at] - each.latest) for at, each in known.partitions.items()
                if each.latest is not None and at in latest)
    return added * 1000 / (now_ms - known.taken_ms)
