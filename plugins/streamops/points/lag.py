"""Whether a pipeline keeps up with Kafka: the states of LinkedIn's Burrow, judged over the last recovery points.

Pure: points and thresholds are arguments, and so is the time, which is that of the newest point. The states and the
idea of a window are Burrow's (core/internal/evaluator/caching.go); the rules differ where Burrow's are known to fail:

- Burrow sees commits, and an idle consumer commits nothing. Here nothing to do is OK, however old the last batch is.
- Burrow's lag is that of the last commit, so a dead consumer's stands still. Here points are taken also while it is
  dead, and lag is the age of the oldest unprocessed record.
- Burrow takes the worst of all partitions, and one without data for the best. Here what is unknown is counted, named
  and left out of the judgement; a pipeline is NOTFOUND only when nothing of it is known.
- Burrow forgives a consumer that had no lag once in the window. Here a stretch without progress counts from the point
  on in which something waited.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple

from streamops.points.recovery_points import RecoveryPoint
from streamops.state.offsets import TopicPartition

#: Partitions named in a judgement; the rest is counted.
MOST_NAMED = 20

#: Points in a row whose lag only grew, after which a consumer that makes progress counts as too slow: two steps are
#: what a burst looks like.
GROWING_POINTS = 4

#: Judged by: points of so many seconds, and not more than so many of them. Each costs 0.1 s for 10,000 partitions.
_WINDOW_S = 3600.0
MOST_POINTS = 13


class LagState(StrEnum):
    """How a partition or a pipeline keeps up; the later, the worse.

    A rewind is below WARN, other than in Burrow: here somebody asked for it, and it ends when it has caught up.
    """

    NOTFOUND = "NOTFOUND"  # what was processed, or what Kafka has, is unknown
    OK = "OK"
    REWIND = "REWIND"  # an earlier offset than before, and not back yet; it makes progress
    WARN = "WARN"  # over the first threshold, or falling behind
    ERR = "ERR"  # over the second threshold
    STALL = "STALL"  # batches end, but this partition gets no further
    STOP = "STOP"  # no batch ends

    @property
    def severity(self) -> int:
        return _SEVERITY[self]

    def __lt__(self, other: str) -> bool:
        return self.severity < LagState(other).severity

    def __le__(self, other: str) -> bool:
        return self.severity <= LagState(other).severity

    def __gt__(self, other: str) -> bool:
        return self.severity > LagState(other).severity

    def __ge__(self, other: str) -> bool:
        return self.severity >= LagState(other).severity


_SEVERITY = {state: number for number, state in enumerate(LagState)}

#: States on which a task fails and somebody is told.
FAILING = frozenset({LagState.ERR, LagState.STALL, LagState.STOP})


@dataclass(frozen=True)
class Thresholds:
    """When lag is too much; None sets no limit. Seconds are the age of the oldest unprocessed record.

    The defaults fit the pipeline's own: an objective of 60 s, five times of which is past explaining by a restart.
    Records have none, since a number means nothing without its rate. `stop_after_s` is a little less than the five
    minutes between two points, so that two points without progress are enough.
    """

    warn_s: float | None = 60
    err_s: float | None = 300
    warn_records: int | None = None
    err_records: int | None = None
    idle_records: int = 0
    stop_after_s: float = 240

    @classmethod
    def of(cls, objective_lag_s: float | None, interval_s: float) -> Thresholds:
        """Thresholds that follow from a pipeline's objective and the seconds between its batches.

        A batch may take an interval to begin and one to end, so less than two intervals is never too much; and without
        three of them nobody has stopped.
        """
        warn_s = None if objective_lag_s is None else max(objective_lag_s, 2 * interval_s)
        return cls(warn_s, None if warn_s is None else 5 * warn_s, stop_after_s=max(cls.stop_after_s, 3 * interval_s))


def window_s(limits: Thresholds) -> float:
    """How far back points are judged by: an hour, or what `stop_after_s` needs."""
    return max(_WINDOW_S, 1.5 * limits.stop_after_s)


def thinned(numbers: Sequence[int]) -> list[int]:
    """At most MOST_POINTS of some points, evenly far apart and with the last one among them: enough for every rule."""
    step = -(-len(numbers) // MOST_POINTS) or 1
    return list(numbers[::-1][::step][::-1])


class Sample(NamedTuple):
    """One partition in one point: the time in seconds, (generation, batch) of the last batch, offsets, lag's age."""

    at_s: float
    batch: tuple[int | None, int | None]
    processed: int
    latest: int
    lag_s: float | None

    @property
    def lag(self) -> int:
        return self.latest - self.processed


Judgement = tuple[LagState, str]


def judge(samples: Sequence[Sample], limits: Thresholds) -> Judgement:
    """The state of one partition and why, over its last points, oldest first."""
    if not samples:
        return LagState.NOTFOUND, "what was processed or what Kafka has is unknown"
    if is_idle(samples[-1], limits):
        return LagState.OK, "nothing waits"
    for rule in _RULES:
        if (found := rule(samples, limits)) is not None:
            return found
    return LagState.OK, f"{samples[-1].lag:,} records wait"


def is_idle(newest: Sample, limits: Thresholds) -> bool:
    """Nothing to do is never an error, however long ago the last batch was."""
    return newest.lag <= limits.idle_records


def stands_still(samples: Sequence[Sample], limits: Thresholds) -> Judgement | None:
    """STOP or STALL: records have waited for `stop_after_s`, and not one was processed.

    Batches that end meanwhile tell the two apart: then the job lives, and this partition is stuck.
    """
    newest = since = samples[-1]
    ended = False
    for sample in reversed(samples):
        if sample.processed != newest.processed or is_idle(sample, limits):
            break
        # A generation that was opened meanwhile is not a batch that ended.
        since, ended = sample, ended or (sample.batch != newest.batch and newest.batch[1] is not None)
    still_s = newest.at_s - since.at_s
    if still_s < limits.stop_after_s:
        return None
    waiting = f"{newest.lag:,} records wait, and none was processed for {still_s:,.0f} s"
    if ended:
        return LagState.STALL, f"{waiting}, although batches end"
    return LagState.STOP, f"{waiting}: no batch ends"


def is_rewound(samples: Sequence[Sample], _limits: Thresholds) -> Judgement | None:
    """REWIND: the position went back, and has not reached again where it was."""
    furthest = max(sample.processed for sample in samples)
    missing = furthest - samples[-1].processed
    return (LagState.REWIND, f"{missing:,} records short of where it was before it was rewound") if missing else None


def exceeds(samples: Sequence[Sample], limits: Thresholds) -> Judgement | None:
    """ERR or WARN: more waits, or waits longer, than a threshold allows."""
    newest = samples[-1]
    for state, seconds, records in ((LagState.ERR, limits.err_s, limits.err_records),
                                    (LagState.WARN, limits.warn_s, limits.warn_records)):
        if seconds is not None and newest.lag_s is not None and newest.lag_s > seconds:
            return state, f"the oldest unprocessed record is {newest.lag_s:,.0f} s old, more than {seconds:,.0f} s"
        if records is not None and newest.lag > records:
            return state, f"{newest.lag:,} records wait, more than {records:,}"
    return None


def falls_behind(samples: Sequence[Sample], limits: Thresholds) -> Judgement | None:
    """WARN: there is progress, and the lag grew from each of the last points to the next.

    Not while the oldest record is younger than half the first threshold: a partition whose traffic rises in the morning
    has more records in flight at each point, and is no later for it.
    """
    last = samples[-GROWING_POINTS:]
    young = last[-1].lag_s is not None and limits.warn_s is not None and last[-1].lag_s <= limits.warn_s / 2
    if young or len(last) < GROWING_POINTS:
        return None
    if any(later.lag <= earlier.lag for earlier, later in pairwise(last)):
        return None
    return LagState.WARN, (f"the lag grew from {last[0].lag:,} to {last[-1].lag:,} records in "
                           f"{last[-1].at_s - last[0].at_s:,.0f} s")


#: In this order; the first that applies decides. A rewind comes before thresholds, which it exceeds by its nature.
_RULES: tuple[Callable[[Sequence[Sample], Thresholds], Judgement | None], ...] = (
    stands_still, is_rewound, exceeds, falls_behind)


@dataclass(frozen=True)
class PartitionLag:
    """One partition's state and why; lag in records and seconds, None where unknown."""

    topic_partition: TopicPartition
    state: LagState
    reason: str
    lag_records: int | None
    lag_s: float | None

    def as_dict(self) -> dict[str, Any]:
        return {"topic": self.topic_partition.topic, "partition": self.topic_partition.partition,
                "state": self.state.value, "reason": self.reason, "lag_records": self.lag_records, "lag_s": self.lag_s}


@dataclass(frozen=True)
class PipelineLag:
    """A pipeline's state: the worst of the partitions that are known. `counts` has every state that occurs.

    `worst` are the partitions that are neither OK nor unknown, worst first, `unknown` those of which nothing can be
    said; at most MOST_NAMED each.
    """

    pipeline: str
    state: LagState
    reason: str
    lag_records: int | None
    lag_s: float | None
    data_loss_s: float | None
    counts: dict[LagState, int] = field(default_factory=dict)
    worst: tuple[PartitionLag, ...] = ()
    unknown: tuple[PartitionLag, ...] = ()
    alarms: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the fields by their names, with units where the name has none."""
        return {
            "pipeline": self.pipeline,
            "state": self.state.value,
            "reason": self.reason,
            "lag_records": self.lag_records,
            "lag_s": self.lag_s,
            "data_loss_s": self.data_loss_s,
            "partitions": {state.value: number for state, number in self.counts.items()},
            "worst": [each.as_dict() for each in self.worst],
            "unknown": [each.as_dict() for each in self.unknown],
            "alarms": list(self.alarms),
        }


def assess(points: Iterable[RecoveryPoint], limits: Thresholds, objective_data_loss_s: float | None) -> PipelineLag:
    """The state of a pipeline over its last points, oldest first; at least one.

    Points are taken one by one, so that a window over 50,000 partitions need not be in memory as points.
    """
    history: dict[TopicPartition, list[Sample]] = defaultdict(list)
    topic_ids: dict[str, set[str]] = defaultdict(set)
    newest: RecoveryPoint | None = None
    for newest in points:
        for topic, topic_id in newest.topic_ids.items():
            if topic_id is not None:
                topic_ids[topic].add(topic_id)
        at_s, batch = newest.taken_ms / 1000, (newest.generation, newest.last_batch)
        for at, each in newest.partitions.items():
            if each.processed is not None and each.latest is not None and each.latest >= each.processed:
                history[at].append(Sample(at_s, batch, each.processed, each.latest, each.lag_s))
    if newest is None:
        raise ValueError("a lag needs a recovery point")
    made_again = sorted(topic for topic, ids in topic_ids.items() if len(ids) > 1)
    found = []
    for at, each in newest.partitions.items():
        # What the newest point does not know is not judged by older ones: the broker is away, and so may be the cause.
        state, reason = judge(history[at] if each.lag_records is not None else (), limits)
        found.append(PartitionLag(at, state, reason, each.lag_records, each.lag_s))
    bad = sorted((each for each in found if each.state > LagState.OK),
                 key=lambda each: (-each.state.severity, -(each.lag_records or 0), each.topic_partition))
    unknown = [each for each in found if each.state is LagState.NOTFOUND]
    # Looking up a reason takes time in proportion to the partitions, so only those that are named get theirs.
    named = tuple(replace(each, reason=_why_unknown(newest, each.topic_partition) or each.reason)
                  for each in unknown[:MOST_NAMED])
    if bad:
        state, reason = bad[0].state, f"{bad[0].topic_partition}: {bad[0].reason}"
    elif len(unknown) < len(found):
        state, reason = LagState.OK, "every partition that is known keeps up"
    else:
        state, reason = LagState.NOTFOUND, named[0].reason if named else "Kafka has none of the topics' partitions"
    return PipelineLag(
        newest.pipeline, state, reason, newest.lag_records, newest.lag_s, newest.data_loss_s,
        dict(sorted(Counter(each.state for each in found).items(), key=lambda item: item[0].severity)),
        tuple(bad[:MOST_NAMED]), named,
        tuple(_alarms(newest, bad, made_again, objective_data_loss_s)),
    )


def _why_unknown(point: RecoveryPoint, at: TopicPartition) -> str | None:
    """Why a partition's lag is unknown: by what could not be read, where that is why."""
    return next((reason for what in ("processed", "latest", "lag_records") if (reason := point.why_unknown(what, at))),
                None)


def _alarms(
    point: RecoveryPoint, bad: Sequence[PartitionLag], made_again: Iterable[str], objective_data_loss_s: float | None,
) -> Iterable[str]:
    """What fails a task, in words: a failing state, another topic, a disagreement, retention too near."""
    for state in sorted(FAILING, reverse=True):
        if hit := [each for each in bad if each.state is state]:
            more = f", and {len(hit) - 1:,} more partition{'s' if len(hit) > 2 else ''}" if len(hit) > 1 else ""
            yield f"{state}: {hit[0].topic_partition}: {hit[0].reason}{more}"
    for topic in made_again:
        yield f"topic {topic} was deleted and made again: what is in it now was never read"
    for each in point.disagreements:
        if not each.expected:
            yield f"{each.source} and batch log differ by {each.offsets:,} offsets: {each.reason}"
    loss_s = point.data_loss_s
    if loss_s is not None and objective_data_loss_s is not None and loss_s < objective_data_loss_s:
        yield ("retention has reached records that were not processed" if loss_s == 0 else
               f"retention reaches unprocessed records in {loss_s:,.0f} s, sooner than {objective_data_loss_s:,.0f} s")
