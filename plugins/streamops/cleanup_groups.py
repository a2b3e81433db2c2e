"""Consumer groups that starts of receivers left, and recovery points past retention. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from streamops.cleanup import Item
from streamops.cleanup_state import Ground
from streamops.offsets import Offsets


@dataclass(frozen=True)
class Group:
    """A consumer group as Kafka shows it. `state` is Kafka's word (`Empty`, `Stable`, …); `members` their number."""

    name: str
    state: str
    members: int
    committed: Offsets


def group_items(
    groups: Iterable[Group], ground: Ground, prefix: str, connection: str, other_names: frozenset[str]
) -> Iterator[Item]:
    """Groups `<prefix>.<generation>.<epoch>.<start>` of a receiver pipeline; others are passed over without an item.

    `prefix` is the pipeline's `consumer_group`, `other_names` those of all other pipelines at the same `connection`.
    """
    raise NotImplementedError


def point_items(pipeline: str, expired: Iterable[int], all_ids: Iterable[int], rule_on: bool) -> Iterator[Item]:
    """Recovery points; `expired` as KeepRule.expired says."""
    raise NotImplementedError
