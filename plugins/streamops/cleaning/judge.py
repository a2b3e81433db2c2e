"""Judges the files of one state directory, one by one, in whatever order a listing gives them.

    judge = Judge(ground, files)
    for found in listing: plan.write(totals.add(judge.item(found)).to_json())

Pure but for reading what proves something, through `files`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from streamops.cleaning import proofs
from streamops.cleaning.cleanup import NO_RULE, Found, Item, Reason, Rule, Verdict, keeps
from streamops.cleaning.ground import Evidence, Ground
from streamops.cleaning.leftovers import Leftovers, is_temporary
from streamops.cleaning.logs import Logs
from streamops.cleaning.paths import Bounds
from streamops.cleaning.proofs import Proofs
from streamops.errors import ConfigurationError, StateError

#: Where things wait for their end, directly below a root; they are judged by `quarantine_items`.
QUARANTINE = ".quarantine"

#: Rules that wait `leftover_h`: what they are about nobody reads, but somebody slow may still write it.
_OF_LEFTOVERS = frozenset({Rule.CHECKPOINT_FILE, Rule.OUTPUT_LEFTOVER})
_DAY_H = 24


class Judge:
    """One pass over one state directory. Keeps what it read of an older start's logs, a few numbers each."""

    def __init__(self, ground: Ground, files: Evidence) -> None:
        self._ground = ground
        self._bounds = Bounds(ground.root, ground.roots)
        self._proofs = Proofs(ground, files)
        self._logs = Logs(ground, files, self._proofs)
        self._leftovers = Leftovers(ground, files)
        self._rules = {rule for rule in Rule if getattr(ground.settings.rules, rule.value)}
        self._not_an_orphan = None if ground.declared else self._why_not_an_orphan()

    def items(self, listing: Iterable[Found]) -> Iterator[Item]:
        return map(self.item, listing)

    def item(self, found: Found) -> Item:
        """What becomes of one file. Reads it where its content is the proof."""
        verdict = self._verdict(found)
        return Item(self._ground.root.url, found.path, found.size_bytes, found.modified_ms,
                    verdict.rule, verdict.proof, verdict.reason, verdict.words)

    def _verdict(self, found: Found) -> Verdict:
        if found.link:
            return keeps(None, Reason.REFUSED_PATH, "it is a symbolic link")
        if refused := self._bounds.refusal(found.path):
            return keeps(None, Reason.REFUSED_PATH, refused)
        parts = found.path.split("/")
        rule = self._rule(parts)
        if rule is None:
            return NO_RULE
        if rule not in self._rules:
            return keeps(rule, Reason.RULE_OFF, f"`cleanup: {{rules: {{{rule}: false}}}}`")
        if against := self._proofs.against_all or self._not_an_orphan:
            return keeps(rule, *against)
        least_h = self._ground.settings.leftover_h if rule in _OF_LEFTOVERS else self._ground.settings.min_age_h
        if rule is Rule.ORPHAN:
            least_h = max(least_h, self._ground.settings.orphan_d * _DAY_H)
        if against := proofs.age(found, least_h, self._ground.now_ms):
            return keeps(rule, *against)
        try:
            return self._proven(rule, found.path, parts)
        except (StateError, ConfigurationError) as error:  # damaged, or not for us to read
            return keeps(rule, Reason.UNREADABLE, error.found)

    def _rule(self, parts: list[str]) -> Rule | None:
        """The one rule that is about a path; None for data, and for what nobody knows."""
        top, name, current = parts[0], parts[-1], self._ground.state.current
        if len(parts) < 2 or top == QUARANTINE:
            return None
        of_spark = top in ("checkpoint", "plans") and len(parts) > 2 and len(parts[1]) == 6 and parts[1].isdecimal()
        if not self._ground.declared:
            return Rule.ORPHAN if of_spark else None
        if of_spark and current is not None and int(parts[1]) < current:
            return Rule.GENERATION
        if top == "output":
            return Rule.OUTPUT_LEFTOVER if self._leftovers.is_leftover(parts) else None
        if is_temporary(name):
            return Rule.CHECKPOINT_FILE
        if of_spark and top == "checkpoint":
            if self._logs.is_segment(parts):
                return Rule.WRITE_AHEAD_LOG
            return Rule.CHECKPOINT_FILE if self._leftovers.is_backup(parts) else None
        return Rule.BATCH_LOG if top == "batch_log" and self._leftovers.is_entry(parts) else None

    def _proven(self, rule: Rule, path: str, parts: list[str]) -> Verdict:
        """What the rule's proof says, once nothing else stands against it."""
        if rule in (Rule.GENERATION, Rule.ORPHAN):
            return self._logs.of_generation(int(parts[1]), parts, rule)
        if rule is Rule.WRITE_AHEAD_LOG:
            if int(parts[1]) != self._ground.state.current:
                return keeps(rule, Reason.UNPROVEN, "it is of a generation that is not there")
            return self._logs.segment(path, parts)
        if rule is Rule.OUTPUT_LEFTOVER:
            return self._leftovers.output(path, parts)
        if rule is Rule.BATCH_LOG:
            return self._leftovers.entry(path, parts)
        return self._leftovers.checkpoint_file(parts)

    def _why_not_an_orphan(self) -> tuple[Reason, str] | None:
        ground = self._ground
        declared = {root.pipeline for root in ground.roots}
        if known := sorted((ground.state.pipelines | {ground.pipeline}) & declared):
            return Reason.UNPROVEN, f"its files name {known[0]}, which is declared with another state directory"
        if ground.living is not False:
            return Reason.IN_USE, "a driver lives for it, or may live"
        newest_ms, least_h = ground.state.newest_ms, ground.settings.orphan_d * _DAY_H
        if newest_ms is None:
            return Reason.UNPROVEN, "nothing in it says when it was used last"
        if ground.now_ms - newest_ms < least_h * 3_600_000:
            return Reason.YOUNG, "its last sign of life is too young"
        if ground.points is None:
            return Reason.UNPROVEN, "the recovery points cannot be read"
        if ground.points:
            return Reason.NEEDED, f"{len(ground.points)} recovery points of it are kept"
        return None


def recheck(planned: Item, found: Found | None, again: Item | None) -> Item:
    """What becomes of a planned item at the moment of acting; `goes` only where nothing has changed.

    `found` is the file as it is now, None where it is gone. `again` is what a Judge on a new Ground says of it now.
    """
    if not planned.goes:
        return planned
    if found is None:
        return _kept(planned, Reason.GONE, "it is not there any more")
    if found.path != planned.path or again is None or (again.root, again.path) != (planned.root, planned.path):
        return _kept(planned, Reason.CHANGED, "what was looked at again is something else")
    if found.link:
        return _kept(planned, Reason.REFUSED_PATH, "it is a symbolic link by now")
    if (found.size_bytes, found.modified_ms) != (planned.size_bytes, planned.modified_ms):
        return _kept(planned, Reason.CHANGED, f"it had {planned.size_bytes:,} bytes, changed at {planned.modified_ms}, "
                     f"and has {found.size_bytes:,}, changed at {found.modified_ms}")
    if not again.goes:
        return again
    if again.rule is not planned.rule:
        return _kept(planned, Reason.CHANGED, f"it was to go by {planned.rule}, and would by {again.rule} now")
    return again


def _kept(planned: Item, reason: Reason, words: str) -> Item:
    return replace(planned, proof=None, reason=reason, words=words)
