"""Why a restore may not be done now, as data: all reasons at once, each with what to do about it.

Pure: observations are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from streamops.restoring.forecast import PartitionForecast
from streamops.restoring.targets import ObservedPositions, Resolved, Target

#: Partitions that a refusal names; the rest is counted.
MOST_NAMED = 5


class RefusalKind(StrEnum):
    """Why a restore is not done."""

    LIVING_DRIVER = "living driver"
    LIVING_MEMBER = "living group member"
    TOPIC_MADE_AGAIN = "topic made again"
    BEYOND_RETENTION = "beyond retention"
    BEYOND_END = "beyond the end"
    UNRESOLVED = "unresolved"
    NOT_COPIED = "not copied"


@dataclass(frozen=True)
class Refusal:
    """One reason not to restore: what was found, and what to do about it."""

    kind: RefusalKind
    found: str
    repair: str


@dataclass(frozen=True)
class ObservedLife:
    """Who still works for the pipeline, in words. None is unknown, and unknown is not dead."""

    drivers: tuple[str, ...] | None
    members: tuple[str, ...] | None


@dataclass(frozen=True)
class ObservedTopics:
    """Topic ids now, and those under which the target's offsets, or else the batch log's, were written down."""

    now: Mapping[str, str]
    then: Mapping[str, str | None]

    @property
    def made_again(self) -> frozenset[str]:
        """Topics whose offsets start anew under an old name."""
        return frozenset(topic for topic, then in self.then.items()
                         if then is not None and self.now.get(topic, then) != then)


def refusals(
    target: Target,
    resolved: Resolved,
    partitions: Iterable[PartitionForecast],
    observed: ObservedPositions,
    life: ObservedLife,
    topics: ObservedTopics,
    accept_loss: bool,
) -> list[Refusal]:
    """Every reason not to do it, all of them at once."""
    found = list(_life(life))
    for topic, then in sorted(topics.then.items()):
        now = topics.now.get(topic)
        if now is None:
            found.append(Refusal(RefusalKind.UNRESOLVED, f"Kafka does not describe topic {topic}",
                                 "Ask again when the brokers answer, or provision the topic."))
        elif topic in topics.made_again and not target.is_of_now:
            found.append(Refusal(
                RefusalKind.TOPIC_MADE_AGAIN,
                f"topic {topic} was deleted and made again (id {then}, now {now}): offsets of the old one mean nothing",
                "Restore to earliest, latest or a time, which are of the new topic."))
    unresolved = [*resolved.unresolved.values(), *(
        f"what Kafka has of {at} is unknown" for at in resolved.offsets
        if at not in observed.earliest or at not in observed.latest)]
    beyond_end, gone = [], []
    for each in partitions:
        at, latest = each.topic_partition, observed.latest[each.topic_partition]
        if each.target > latest:
            beyond_end.append(f"{at} ends at offset {latest}, before {each.target}")
        elif each.target < each.start and not accept_loss:
            gone.append(f"{at} begins at offset {each.start}, and retention has taken {each.taken_by_retention:,} "
                        f"records from {each.start - each.taken_by_retention} on")
    for why, what, repair in (
        (RefusalKind.UNRESOLVED, unresolved, "State its offset, or ask again when the brokers answer."),
        (RefusalKind.BEYOND_END, beyond_end, "State an offset that Kafka has, or latest."),
        (RefusalKind.BEYOND_RETENTION, gone,
         "Accept the loss (--accept-loss), which starts at the earliest record, or take a later target."),
    ):
        if what:
            more = f"; and {len(what) - MOST_NAMED:,} more partitions" if len(what) > MOST_NAMED else ""
            found.append(Refusal(why, "; ".join(what[:MOST_NAMED]) + more, repair))
    return found


_ONE_WRITER = "Stop it first (streamops stop): two must never write for one pipeline. See streamops drivers list."
_NO_MEMBER = ("Stop it first: it would overwrite what is committed. One that was killed is a member until its session "
              "times out, 45 s by default: then try again.")


def _life(life: ObservedLife) -> Iterator[Refusal]:
    for who, kind, repair in ((life.drivers, RefusalKind.LIVING_DRIVER, _ONE_WRITER),
                              (life.members, RefusalKind.LIVING_MEMBER, _NO_MEMBER)):
        if who is None:
            yield Refusal(kind, f"whether a {kind} is there is unknown", "Ask again when the cluster answers.")
        else:
            for each in who:
                yield Refusal(kind, f"a {kind}: {each}", repair)
