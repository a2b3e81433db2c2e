"""Moves of a pipeline to topics of other names, or to another cluster: planned here, carried out as a restore is.

    with Moves(pipeline, snapshots.store(), say=print) as moves:
        plan, carried = moves.plan_move({"lines": "lines_v2"}, "kafka_old", accept_loss=False)
        plan.require_allowed()
        moves.apply(plan.decision, owner)

`pipeline` is declared with the new topics and connection already. Its job must not start before it is moved.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from streamops.actions.restores import Restores
from streamops.errors import ConfigurationError, RefusedError
from streamops.restoring import carry_over
from streamops.restoring.carry_over import Carried, MovedFrom
from streamops.restoring.plan import Plan
from streamops.restoring.targets import Target, TargetKind
from streamops.state import batch_log, generations
from streamops.state.offsets import Offsets, TopicPartition, advance

if TYPE_CHECKING:
    from streamops.adapters.kafka.broker import Broker


class Moves(Restores):
    """Moves of one pipeline. To be closed: use `with`."""

    def plan_move(
        self, renamed: Mapping[str, str], connection: str, *, accept_loss: bool
    ) -> tuple[Plan, list[Carried]]:
        """What a move would do now, and where each partition goes on. Changes nothing.

        `renamed` has new names by old ones, for topics that have another one now; `connection` is the old cluster's.
        Raises ConfigurationError, RefusedError, and UnavailableError and StateError for what cannot be read.
        """
        from streamops.adapters.connections import connection as connection_of
        from streamops.adapters.kafka import carry_over as carry_over_reader
        from streamops.adapters.kafka.broker import Broker

        topics = self._old_topics(renamed, connection)
        words = f"the place of {', '.join(sorted(topics))} at {connection}, by timestamp"
        processed = self._processed(words)
        old_connection = connection_of(connection)
        with Broker.connect(old_connection) as old:
            pairs = carry_over.paired(topics, processed)
            self._require_same_partitions(old, topics, pairs.keys())
            carried = carry_over_reader.read(old, old_connection, self._broker(), pairs, processed)
        offsets = {each.new: each.offset for each in carried if each.offset is not None}
        target = Target(TargetKind.OFFSETS, words, offsets, agreed=True)
        moved = MovedFrom(connection, topics, {each.old: each.processed - each.replayed for each in carried})
        plan = self._plan(target, {}, self._living(), accept_loss=accept_loss, moved=moved)
        stamped = carry_over_reader.stamped_when_appended(self._broker(), sorted(topics.values()))
        mine = carry_over.refusals(carried, stamped, accept_loss)
        return replace(plan, refusals=(*mine, *plan.refusals)), carried

    def _old_topics(self, renamed: Mapping[str, str], connection: str) -> dict[str, str]:
        """The new names by the old ones, of all topics of the pipeline."""
        pipeline = self._pipeline
        if unknown := sorted(set(renamed.values()) - set(pipeline.topics)):
            raise ConfigurationError(f"{pipeline.name} does not read {unknown[0]}, but {', '.join(pipeline.topics)}",
                                     "Declare the new topics in pipelines.yaml first; then move it.")
        old_names = {new: old for old, new in renamed.items()}
        topics = {old_names.get(new, new): new for new in pipeline.topics}
        if connection == pipeline.connections.kafka and all(old == new for old, new in topics.items()):
            raise ConfigurationError(f"{pipeline.name} reads {', '.join(pipeline.topics)} at {connection} already",
                                     "Name what it read before: --from-topic OLD=NEW, or --from-connection ID.")
        return topics

    def _processed(self, words: str) -> Offsets:
        """Where the old topics stand, by the batch log; of a move that was interrupted, before it."""
        current = generations.current(self._files)
        if current is None:
            raise ConfigurationError(f"{self._pipeline.name} has no batch log that says where it stands",
                                     "Start it where you want: starting_offsets in pipelines.yaml.")
        last = batch_log.read_head(self._files, current.number)
        if current.restored is not None and current.restored.target == words:
            if last is not None:
                raise RefusedError(f"{self._pipeline.name} was moved already, by generation {current.number}, and has "
                                   "gone on since", "To go back, undo that: streamops offsets undo.")
            before = generations.read(self._files, current.number - 1)
            if before is not None:
                current, last = before, batch_log.read_head(self._files, before.number)
        return advance(current.start, last.ranges if last is not None else ())

    def _require_same_partitions(
        self, old: Broker, topics: Mapping[str, str], known: Collection[TopicPartition]
    ) -> None:
        """Raises ConfigurationError where a new topic has more or fewer partitions: its keys lie otherwise then."""
        there, here = old.partitions(list(topics)), self._broker().partitions(list(topics.values()))
        for before, after in sorted(topics.items()):
            counts = [sum(at.topic == name for at in found) for found, name in ((there, before), (here, after))]
            if counts[0] != counts[1]:
                raise ConfigurationError(
                    f"{before} has {counts[0]} partitions and {after} has {counts[1]}: none is the copy of one",
                    "Copy it partition by partition, or go by a time: streamops offsets restore --to-time.")
        if strange := sorted(set(there) - set(known)):
            raise ConfigurationError(f"the batch log does not say how far {strange[0]} was processed",
                                     "Let it run on the old topics until it has logged a batch.")
