"""Consumer groups that starts of receivers left, and recovery points past retention. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from streamops.cleaning.cleanup import Item, Reason, Rule, Verdict, goes, keeps
from streamops.cleaning.ground import Evidence, Ground
from streamops.cleaning.proofs import Proofs, in_words
from streamops.errors import ConfigurationError, StateError
from streamops.state.offsets import OffsetRange, Offsets, to_spark_offsets

#: Of a group without members, in Kafka's words.
_EMPTY = frozenset({"Empty", "Dead"})


@dataclass(frozen=True)
class Group:
    """A consumer group as Kafka shows it. `state` is Kafka's word (`Empty`, `Stable`, …); `members` their number."""

    name: str
    state: str
    members: int
    committed: Offsets


def group_items(
    groups: Iterable[Group], ground: Ground, files: Evidence, prefix: str, connection: str, other_names: frozenset[str]
) -> Iterator[Item]:
    """Groups `<prefix>.<generation>.<epoch>.<start>` of a receiver pipeline; others are passed over without an item.

    `prefix` is the pipeline's `consumer_group`, `other_names` those of all other pipelines at the same `connection`.
    """
    named = re.compile(rf"{re.escape(prefix)}\.(\d+)\.(\d+)\.(\d+)")
    ours = [(tuple(map(int, found.groups())), group) for group in groups if (found := named.fullmatch(group.name))]
    newest = max((start for start, _ in ours), default=None)
    proofs = Proofs(ground, files)
    for start, group in ours:
        said = _verdict(start, group, ground, proofs, is_newest=start == newest)
        if group.name in other_names or prefix in other_names:
            said = keeps(Rule.CONSUMER_GROUP, Reason.IN_USE, f"another pipeline uses the name {prefix} or {group.name}")
        yield Item(f"kafka:{connection}", group.name, 0, None, said.rule, said.proof, said.reason, said.words,
                   undo=json.dumps(to_spark_offsets(group.committed)))


def _verdict(start: tuple[int, ...], group: Group, ground: Ground, proofs: Proofs, *, is_newest: bool) -> Verdict:
    rule, state = Rule.CONSUMER_GROUP, ground.state
    generation, epoch = start[0], start[1]
    if not ground.settings.rules.consumer_group:
        return keeps(rule, Reason.RULE_OFF)
    if proofs.against_all is not None:
        return keeps(rule, *proofs.against_all)
    if group.members or group.state not in _EMPTY:
        return keeps(rule, Reason.IN_USE, f"it has {group.members} members, and is {group.state}")
    if is_newest:
        return keeps(rule, Reason.NEEDED, "it is the newest start's: recovery points compare it with the batch log")
    if state.current is None or state.epoch is None or generation > state.current or epoch > state.epoch:
        return keeps(rule, Reason.UNPROVEN, "its generation or its lease is not there: the state was deleted, or it is "
                     "another pipeline's")
    if epoch == state.epoch and ground.living is not False:
        return keeps(rule, Reason.IN_USE, "it is of the driver that lives, or may live")
    reached = tuple(OffsetRange(*at, max(0, offset - 1), offset) for at, offset in sorted(group.committed.items()))
    try:
        objection = proofs.unprocessed(reached, generation)
    except (StateError, ConfigurationError) as error:
        objection = Reason.UNREADABLE, error.found
    if objection is not None:
        return keeps(rule, *objection)
    return goes(rule, f"start {generation}.{epoch}.{start[2]} is over, and all that it committed is processed: "
                f"{in_words(group.committed)}")


def point_items(pipeline: str, expired: Iterable[int], all_ids: Iterable[int], rule_on: bool) -> Iterator[Item]:
    """Recovery points, oldest first; `expired` as KeepRule.expired says."""
    going = frozenset(expired)
    for number in all_ids:
        if number not in going:
            said = keeps(Rule.RECOVERY_POINT, Reason.NEEDED, "its pipeline's `points` keep it, or somebody holds it")
        elif not rule_on:
            said = keeps(Rule.RECOVERY_POINT, Reason.RULE_OFF)
        else:
            said = goes(Rule.RECOVERY_POINT, f"the `points` of {pipeline} keep it no more, and nobody holds it")
        yield Item("points", str(number), 0, None, said.rule, said.proof, said.reason, said.words)
