"""Restores planned and carried out: what DAG and command line both do.

    with Restores(pipeline, snapshots.store(), say=print) as restores:
        plan = restores.plan(TargetKind.POINT, "12")
        plan.require_allowed()
        generation = restores.apply(plan.decision, owner)

Each step may be killed, and the whole repeated:

1. The lease is taken, so that nobody else commits, and given up at the end. Killed: the next one waits for its beat.
2. Everything is observed again, and must be as it was when somebody agreed.
3. The undo point is taken, stored and held. Killed: a point more.
4. The group of a direct job is set and read back. Killed: the group is evidence, and the next driver sets it.
5. Logs that a deleted state directory lacks are written.
6. The generation is opened, with all that it supersedes: one file. Before it nothing has happened, after it all has.
7. Copies for readers, and everything is read back. Killed: a repeat finds the generation open, and does this again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streamops.declared.pipeline import Pipeline
from streamops.errors import ConfigurationError, RefusedError, StateError
from streamops.points.choices import NEWEST
from streamops.points.recovery_points import RecoveryPoint
from streamops.restoring.carry_over import MovedFrom
from streamops.restoring.plan import Decision, History, Plan, Undone, opened, plan_restore, to_be_undone, undone
from streamops.restoring.targets import Target, TargetKind, parse
from streamops.state import batch_log, drivers, generations
from streamops.state.generations import Generation
from streamops.state.lease import Owner

if TYPE_CHECKING:
    from streamops.adapters.database.points import Points
    from streamops.adapters.kafka.broker import Broker
    from streamops.adapters.pipelines.action_lease import ActionLease
    from streamops.adapters.pipelines.restore_history import MadeUp
    from streamops.adapters.spark.master import SparkMaster

Say = Callable[[str], object]

#: Who holds the undo point of a restore.
HOLDER = "undo of the last restore"

#: Points looked through, newest first, for one that knows what was processed.
_POINTS = 20
#: Seconds to wait for brokers: somebody waits for the answer.
_BROKER_TIMEOUT_S = 15.0


class Restores:
    """Restores of one pipeline. To be closed: use `with`."""

    def __init__(self, pipeline: Pipeline, points: Points, say: Say) -> None:
        from streamops.adapters.pipelines.files import state_files

        if pipeline.source != "kafka":
            raise ConfigurationError(f"`{pipeline.name}` reads a folder, which has no offsets to restore",
                                     "To read it again, give it another name.")
        self._pipeline = pipeline
        self._points = points
        self._say = say
        self._files = state_files(pipeline)
        self._broker_up: Broker | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._broker_up is not None:
            self._broker_up.close()

    def plan(self, kind: TargetKind, value: str, *, accept_loss: bool = False) -> Plan:
        """What a restore would do now. Changes nothing. `value` is void for earliest and latest.

        A point is named by its number, or is the `newest` that knows what was processed; for the others see
        restore_targets.parse. Raises ConfigurationError, and UnavailableError and StateError for what cannot be read.
        """
        if kind is TargetKind.POINT:
            point = self._point(value)
            if point.generation is None:  # its partitions would count as added later, and be read from the first record
                raise ConfigurationError(
                    f"point {value} does not know what was processed: {point.why_unknown('generation')}",
                    f"Choose another: streamops offsets points {self._pipeline.name}")
            target = Target(kind, f"point {value}, taken at {point.taken_at}", point.processed)
            return self._plan(target, self._ids(point), self._living(), accept_loss=accept_loss)
        return self.plan_to(parse(kind, value), accept_loss=accept_loss)

    def plan_to(self, target: Target, *, accept_loss: bool = False) -> Plan:
        """As `plan`, to a target that is no point."""
        return self._plan(target, self._ids(None), self._living(), accept_loss=accept_loss)

    def plan_undo(self, *, accept_loss: bool = False) -> Plan:
        """What taking the last restore back would do now. Raises RefusedError when there is none."""
        target, ids, back = self._undo()
        return self._plan(target, ids, self._living(), accept_loss=accept_loss, back=back)

    def apply(self, agreed: Decision, owner: Owner) -> Generation:
        """Do what somebody agreed to, and read it back. Returns the generation that is open now.

        Raises RefusedError where something lives or has changed, StateError where what is read back is not what was
        written, and UnavailableError; no generation was opened then, unless the message says so.
        """
        from streamops.adapters.pipelines import action_lease, living

        sign = living.drivers(self._files, self._master(), self._had_state(), self._say)
        if sign.drivers:
            self._replanned(agreed, sign.drivers).require_allowed()
        with action_lease.held(self._files, self._pipeline.name, "restore", owner, after=sign.epoch) as lease:
            plan = self._replanned(agreed, ())
            plan.require_allowed()
            agreed.require_same(plan)
            restored = self._open(plan, lease)
            lease.done(drivers.RESTORED, f"to {agreed.target}, as generation {restored.number}")
        self._keep_only(restored)
        return restored

    def await_progress(self, generation: int, timeout_s: float) -> str:
        """Wait until a restored generation makes progress from where it was to start; see restore_progress.wait."""
        from streamops.adapters.pipelines import restore_progress

        return restore_progress.wait(self._files, self._broker(), self._pipeline, generation, timeout_s)

    # The steps

    def _open(self, plan: Plan, lease: ActionLease) -> Generation:
        from streamops.adapters.pipelines import restore_history

        decision = plan.decision
        if plan.is_open:
            restored = generations.current(self._files)
            assert restored is not None
            self._set_group(decision)
        else:
            _, made_up = self._history()
            undo_point = self._take_undo_point(decision.moved)
            self._set_group(decision)
            restore_history.write(self._files, made_up)
            lease.check()
            restored = opened(decision, plan.approach, undo_point, _now())
            if not self._files.write_new(generations.path(restored.number), restored.to_json()):
                raise RefusedError(f"generation {restored.number} was opened by somebody else in this moment",
                                   "This restore opened none. Plan it again.")
            self._say(f"generation {restored.number} is open; the undo point is {undo_point}")
        restore_history.write_generations(self._files, restored)
        restore_history.write_superseded(self._files, restored)
        self._read_back(restored, decision, lease)
        return restored

    def _take_undo_point(self, moved: MovedFrom | None) -> int:
        """Where it stands: of a pipeline that is moved, on the topics and the cluster that it leaves."""
        from streamops.adapters.pipelines.snapshot_reader import SnapshotReader

        pipeline = self._pipeline if moved is None else on(self._pipeline, moved.connection,
                                                           {at.topic for at in moved.start})
        with SnapshotReader() as reader:
            try:
                number = self._points.insert(reader.take(pipeline), None)
            except RefusedError:  # a snapshot has taken one in this very millisecond
                number = self._points.insert(reader.take(pipeline), None)
        self._points.hold(number, HOLDER, datetime.now(UTC))
        return number

    def _set_group(self, decision: Decision) -> None:
        """The group of a direct job, for Kafka's tools. Receivers read as groups of their own, new at each start."""
        from streamops.adapters.kafka import consumer_groups

        if self._pipeline.approach == "direct":
            consumer_groups.set_to(self._broker(), self._pipeline.consumer_group, decision.start)

    def _read_back(self, restored: Generation, decision: Decision, lease: ActionLease) -> None:
        """Everything that was written, once more. Raises StateError on any difference."""
        from streamops.adapters.kafka import consumer_groups, topic_positions
        from streamops.adapters.pipelines import restore_history

        wrong = []
        if (found := generations.current(self._files)) != restored:
            wrong.append(f"the current generation is {found.number if found else 'none'}, and not {restored.number} "
                         "as it was written")
        if restored.start != decision.start or restored.superseded != decision.superseded:
            wrong.append(f"generation {restored.number} states other offsets, or supersedes other batches")
        wrong += restore_history.differing(self._files, restored)
        ids = topic_positions.layout(self._broker(), self._pipeline.topics).topic_ids
        wrong += [f"topic {topic} was deleted and made again while it was restored"
                  for topic, known in decision.topic_ids.items() if ids.get(topic) != known]
        if wrong:
            raise StateError(f"generation {restored.number} is open, and reading back found: {'; '.join(wrong)}",
                             f"Do not start the pipeline. To go back: streamops offsets undo {self._pipeline.name}")
        if self._pipeline.approach == "direct":
            consumer_groups.require_committed(self._broker(), self._pipeline.consumer_group, decision.start)
        lease.check()
        self._say("read back: generation, superseded batches, topics"
                  + (" and consumer group" if self._pipeline.approach == "direct" else "") + " are as planned")

    def _keep_only(self, restored: Generation) -> None:
        """The undo point of the last restore is kept; those of earlier ones lead nowhere any more."""
        made = restored.restored
        needed = made.undo_point if made is not None and made.undoes is None else None
        for each in self._points.summaries(self._pipeline.name):
            if HOLDER in each.holders and each.id != needed:
                self._points.release(each.id, HOLDER)

    # Observing

    def _plan(self, target: Target, ids: dict[str, str | None], living: tuple[str, ...], *, accept_loss: bool,
              back: Undone | None = None, moved: MovedFrom | None = None) -> Plan:
        from streamops.adapters.pipelines.restore_reader import observe

        history, _ = self._history()
        observed = observe(self._pipeline, target, self._broker(), history, self._newest_point(), ids, living,
                           round(time.time() * 1000), back, moved)
        return plan_restore(target, observed, accept_loss=accept_loss)

    def _replanned(self, agreed: Decision, living: tuple[str, ...]) -> Plan:
        back = self._undo()[2] if agreed.undoes is not None else None
        return self._plan(agreed.agreed_target, dict(agreed.written_for), living, accept_loss=agreed.accept_loss,
                          back=back, moved=agreed.moved)

    def _undo(self) -> tuple[Target, dict[str, str | None], Undone]:
        current = generations.current(self._files)
        known = {} if current is None else {
            number: found for number in range(1, current.number + 1)
            if (found := generations.read(self._files, number)) is not None}
        has_batches = current is not None and batch_log.read_head(self._files, current.number) is not None
        restored = to_be_undone(known, has_batches)
        assert restored.restored is not None
        point = self._point(str(restored.restored.undo_point))
        words = f"where it stood before it was restored to {restored.restored.target}"
        return (Target(TargetKind.POINT, words, point.processed), self._ids(point),
                undone(restored, known.get(restored.number - 1), point))

    def _living(self) -> tuple[str, ...]:
        from streamops.adapters.pipelines import living

        return living.drivers(self._files, self._master(), self._had_state(), self._say).drivers

    def _had_state(self) -> bool:
        return generations.current(self._files) is not None or self._newest_point() is not None

    def _history(self) -> tuple[History, MadeUp]:
        from streamops.adapters.pipelines import restore_history

        return restore_history.read(self._files, self._pipeline.name, self._newest_point(), _now())

    def _newest_point(self) -> RecoveryPoint | None:
        """The newest that knows what was processed."""
        for summary in self._points.summaries(self._pipeline.name, limit=_POINTS):
            if summary.generation is not None and (text := self._points.document(summary.id)) is not None:
                return RecoveryPoint.from_json(text)
        return None

    def _point(self, number: str) -> RecoveryPoint:
        if number == NEWEST and (newest := self._newest_point()) is not None:
            return newest
        text = self._points.document(int(number)) if number.strip().isdecimal() else None
        if text is None:
            raise ConfigurationError(f"there is no recovery point {number}",
                                     f"List them: streamops offsets points {self._pipeline.name}")
        point = RecoveryPoint.from_json(text)
        if point.pipeline != self._pipeline.name:
            raise ConfigurationError(f"recovery point {number} is of {point.pipeline}",
                                     f"Choose another: streamops offsets points {self._pipeline.name}")
        return point

    def _ids(self, point: RecoveryPoint | None) -> dict[str, str | None]:
        """Ids of the topics as of the point, or, for a target that is no point, when the batch log was last seen."""
        point = point or self._newest_point()
        return dict(point.topic_ids) if point is not None else {}

    def _broker(self) -> Broker:
        from streamops.adapters.connections import connection
        from streamops.adapters.kafka.broker import Broker

        if self._broker_up is None:
            self._broker_up = Broker.connect(connection(self._pipeline.connections.kafka), _BROKER_TIMEOUT_S)
        return self._broker_up

    def _master(self) -> SparkMaster:
        from streamops.adapters.connections import connection
        from streamops.adapters.spark.master import Cluster, SparkMaster

        return SparkMaster(Cluster.of(connection(self._pipeline.connections.spark)))


def on(pipeline: Pipeline, connection: str, topics: Iterable[str]) -> Pipeline:
    """The pipeline as it reads, or read, other topics, or those of another cluster."""
    connections = pipeline.connections.model_copy(update={"kafka": connection})
    return pipeline.model_copy(update={"connections": connections, "topics": tuple(sorted(topics))})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
