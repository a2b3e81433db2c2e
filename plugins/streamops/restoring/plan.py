"""The plan of a restore: what is observed goes in, what will be done comes out, as data that is shown and then held to.

    plan = plan_restore(target, observed)      # a forecast, the new generation, refusals
    plan.decision                              # what somebody agrees to; JSON, for whoever carries it out later

Pure: observations are arguments.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from streamops.errors import RefusedError
from streamops.points.recovery_points import RecoveryPoint
from streamops.restoring import forecast as restore
from streamops.restoring.batch_boundaries import Boundaries, boundaries
from streamops.restoring.carry_over import MovedFrom
from streamops.restoring.forecast import Forecast, Pace
from streamops.restoring.refusals import ObservedLife, ObservedTopics, Refusal, refusals
from streamops.restoring.targets import ObservedPositions, Target, TargetKind, resolve
from streamops.state.batch_log import Entry
from streamops.state.generations import Generation, Restored
from streamops.state.offsets import OffsetRange, Offsets, TopicPartition, parse_spark_offsets, to_spark_offsets
from streamops.state.superseded import Span, Superseded, runs


@dataclass(frozen=True)
class History:
    """What there was before: of the state directory, or, where that was deleted, of the sink's labels.

    `current` is the newest generation, None where its file is gone or never was, and `last_batch` the last in its log.
    `logs` gives the entries that count, newest first, a list for each generation. `newest` is the highest number that a
    generation ever had. `lost` says in words what is gone for good. `made_up` has the last batch of each generation
    whose log is out of the sink's labels.
    """

    current: Generation | None
    last_batch: int | None
    newest: int
    superseded: Superseded
    logs: Callable[[], Iterable[Iterable[Entry]]]
    lost: tuple[str, ...] = ()
    made_up: Mapping[int, int] = field(default_factory=dict)

    @property
    def closed(self) -> Superseded:
        """What does not count already, and whatever a stray driver yet adds to the generations that there are."""
        if self.current is None:
            return self.superseded.adding(
                Span(number, self.made_up.get(number, -1) + 1) for number in range(1, self.newest + 1))
        following = 0 if self.last_batch is None else self.last_batch + 1
        return self.superseded.adding([Span(self.current.number, following)])


@dataclass(frozen=True)
class Observed:
    """All that a plan is made of. `undone` is the generation that an undo takes back, and None for any other target."""

    pipeline: str
    approach: str
    history: History
    positions: ObservedPositions
    topics: ObservedTopics
    life: ObservedLife
    pace: Pace
    undone: Undone | None = None
    moved: MovedFrom | None = None


@dataclass(frozen=True)
class Undone:
    """A restore that is taken back: its generation, and what was superseded, and is again, before it."""

    generation: int
    superseded: Superseded


@dataclass(frozen=True)
class Decision:
    """What somebody has seen and agrees to. `undoes` is the generation that it takes back, None for any other target.

    `opens` is the number of the generation; `follows` the one that was current, with its last batch. `topic_ids` are
    those of now, `written_for` those under which the offsets were written down, which are void for a target `of_now`.
    `lost` is what retention has taken before it was processed.
    """

    pipeline: str
    target: str
    start: Offsets
    opens: int
    follows: tuple[int, int | None] | None
    superseded: Superseded
    topic_ids: Mapping[str, str]
    written_for: Mapping[str, str | None]
    of_now: bool = False
    accept_loss: bool = False
    undoes: int | None = None
    lost: tuple[OffsetRange, ...] = ()
    moved: MovedFrom | None = None

    def to_data(self) -> dict[str, Any]:
        return {
            "pipeline": self.pipeline,
            "target": self.target,
            "start": to_spark_offsets(self.start),
            "opens": self.opens,
            "follows": list(self.follows) if self.follows else None,
            "superseded": self.superseded.as_rows(),
            "topic_ids": dict(self.topic_ids),
            "written_for": dict(self.written_for),
            "of_now": self.of_now,
            "accept_loss": self.accept_loss,
            "undoes": self.undoes,
            "lost": [gone.as_dict() for gone in self.lost],
            "moved": self.moved.to_data() if self.moved is not None else None,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Decision:
        """The decision that `to_data` gave."""
        follows = data["follows"]
        return cls(**{
            **data,
            "start": parse_spark_offsets(json.dumps(data["start"])),
            "follows": (follows[0], follows[1]) if follows else None,
            "superseded": Superseded.from_rows(data["superseded"]),
            "lost": tuple(map(OffsetRange.from_dict, data.get("lost", ()))),
            "moved": MovedFrom.from_data(data.get("moved")),
        })

    @property
    def agreed_target(self) -> Target:
        """What was agreed to, as offsets: what earliest, latest or a time was when it was shown, stays so."""
        return Target(TargetKind.OFFSETS, self.target, self.start, agreed=self.of_now)

    def require_same(self, now: Plan) -> None:
        """Raises RefusedError, naming what differs, where the world has moved on since somebody agreed.

        A generation that is open already is the one that was agreed to, when it says the same.
        """
        mine, theirs = self.to_data(), now.decision.to_data()
        # Retention goes on; where that matters, the start has changed as well.
        void = {"target", "lost", "follows"} if now.is_open else {"target", "lost"}
        if differing := [name.replace("_", " ") for name in mine if mine[name] != theirs[name] and name not in void]:
            raise RefusedError(
                f"{self.pipeline} is not where it was when this restore was planned: {', '.join(differing)} changed",
                "Nothing was changed. Plan it again, and look at the new forecast.",
            )


@dataclass(frozen=True)
class Plan:
    """A restore before it is done. It may be done when `refusals` is empty.

    `is_open` says that its generation is there already, without a batch: a restore that was interrupted, or asked for
    twice. It is only read back then, and brought to its end.
    """

    approach: str
    forecast: Forecast
    decision: Decision
    refusals: tuple[Refusal, ...]
    is_open: bool = False

    def describe(self) -> list[str]:
        """Lines for people, refusals last."""
        decision = self.decision
        lines = [f"{decision.pipeline}: {line}" if not number else line
                 for number, line in enumerate(self.forecast.describe())]
        if self.is_open:
            lines.append(f"generation {decision.opens} was opened there already and has no batch: it is read back")
        else:
            lines.append(f"generation {decision.opens} is opened")
            lines.append(f"superseded, which readers leave out: {', '.join(map(str, decision.superseded.spans))}"
                         if decision.superseded.spans else "no batch is superseded")
        return lines + [f"Refused: {refusal.found}\n    {refusal.repair}" for refusal in self.refusals]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the forecast's keys, and `decision`, `refusals` and `is_open`."""
        return {
            "pipeline": self.decision.pipeline,
            "approach": self.approach,
            **self.forecast.as_dict(),
            "decision": self.decision.to_data(),
            "is_open": self.is_open,
            "refusals": [{"kind": each.kind.value, "found": each.found, "repair": each.repair}
                         for each in self.refusals],
        }

    def require_allowed(self) -> None:
        """Raises RefusedError with every reason."""
        if self.refusals:
            raise RefusedError(
                "\n".join(f"Refused: {each.found}\n    {each.repair}" for each in self.refusals),
                "Nothing was changed.",
            )


def plan_restore(target: Target, observed: Observed, *, accept_loss: bool = False) -> Plan:
    """What a restore to `target` would do.

    What was processed of a topic that was made again are offsets of the old one: nothing is compared with them, and no
    batch of theirs is superseded, because nobody can process its records again.
    """
    history, made_again, moved = observed.history, observed.topics.made_again, observed.moved
    processed: Mapping[TopicPartition, int] = observed.positions.processed
    if moved is not None:
        is_moved = history.current is not None and history.current.start == target.offsets
        processed = {} if is_moved else moved.in_new_terms(target, processed)
    positions = replace(observed.positions, processed={
        at: offset for at, offset in processed.items() if at.topic not in made_again})
    resolved = resolve(target, positions)
    partitions = restore.assess(resolved, positions)
    start = {each.topic_partition: each.start for each in partitions}
    if observed.undone is None:
        kept = {at: offset for at, offset in start.items() if at.topic not in made_again}
        found = boundaries(kept if moved is None else moved.start, history.logs())
        superseded = history.closed.adding(runs(found.superseded))
    else:
        # What was restored never was: its generations go, and what they had superseded counts again.
        found, undone = Boundaries(), observed.undone
        partitions = tuple(replace(each, skipped=each.skipped and 0) for each in partitions)  # its batches count again
        superseded = undone.superseded.adding(
            Span(number, 0) for number in range(undone.generation, history.newest + 1))
    current = history.current
    is_open = (current is not None and current.restored is not None and history.last_batch is None
               and current.start == start and current.approach == observed.approach
               and current.restored.undoes == (observed.undone.generation if observed.undone else None))
    lost = (*history.lost, *([restore.LOST_STATE[observed.approach]] if current is not None else ()))
    decision = Decision(
        pipeline=observed.pipeline,
        target=target.words,
        start=start,
        opens=history.newest if is_open else history.newest + 1,
        follows=None if current is None else (current.number, history.last_batch),
        superseded=current.superseded if is_open and current is not None else superseded,
        topic_ids=dict(observed.topics.now),
        written_for=dict(observed.topics.then),
        of_now=target.is_of_now,
        accept_loss=accept_loss,
        undoes=observed.undone.generation if observed.undone else None,
        lost=current.restored.lost if is_open and current is not None and current.restored is not None
        else positions.lost,
        moved=moved,
    )
    reasons = refusals(target, resolved, partitions, positions, observed.life, observed.topics, accept_loss)
    return Plan(observed.approach, restore.forecast(target, partitions, found, observed.pace, lost), decision,
                tuple(reasons), is_open)


def opened(decision: Decision, approach: str, undo_point: int, at: str) -> Generation:
    """The generation that a decision opens; `at` is the time, UTC, ISO 8601."""
    return Generation(
        pipeline=decision.pipeline,
        number=decision.opens,
        approach=approach,
        start=decision.start,
        reason=f"restored to {decision.target}",
        opened_at=at,
        superseded=decision.superseded,
        restored=Restored(decision.target, undo_point, decision.undoes, decision.lost),
    )


def to_be_undone(generations: Mapping[int, Generation], has_batches: bool) -> Generation:
    """The generation that an undo takes back: the newest restore's, unless that is undone already.

    `generations` are all that there are, by number; `has_batches` says whether the newest has any. An undo that was
    interrupted is repeated: its own generation is there, and still has no batch. Raises RefusedError.
    """
    newest = max(generations, default=0)
    found = next((generations[number] for number in sorted(generations, reverse=True)
                  if generations[number].restored is not None), None)
    if found is None or found.restored is None:
        raise RefusedError("no restore was made that could be undone", "See where it stands: streamops status")
    if (undoes := found.restored.undoes) is None:
        return found
    if (found.number != newest or has_batches) or undoes not in generations:
        raise RefusedError(
            f"the last restore, which opened generation {undoes}, was undone already, by generation {found.number}",
            "To have it again, restore again, to the same target: streamops offsets restore.")
    return generations[undoes]


def undone(restored: Generation, before: Generation | None, point: RecoveryPoint) -> Undone:
    """What counts again once `restored` is taken back; `point` is its undo point, `before` the generation before it.

    Raises RefusedError where there is nothing to go back to.
    """
    if before is None or point.generation != before.number or not point.processed:
        raise RefusedError(
            f"before generation {restored.number} was restored there was no batch log that could be gone back to",
            "Restore to another target: streamops offsets restore.")
    following = 0 if point.last_batch is None else point.last_batch + 1
    return Undone(restored.number, before.superseded.adding([Span(before.number, following)]))
