"""Cleanup as data: what was found, what becomes of it, by which rule, and the proof or the reason.

    Found("checkpoint/000001/000004-001/receivedData/0/log-1-2", 4096, 1_700_000_000_000)
        -> Item(…, rule=write_ahead_log, proof="its 3 chunks end below what is processed: lines-0 at 120 of 217")
        or Item(…, rule=write_ahead_log, reason=unprocessed, words="lines-0 holds up to 120, processed is 100")

An item goes by proof alone. Age is only ever one more condition, and what cannot be read or understood is kept with the
reason. Items come one by one, so a plan of a million files needs the memory of one. Pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from streamops.state import stored_json

FORMAT = "streamops.cleanup_item/1"


class Rule(StrEnum):
    """By what something may go. Each can be switched off: `cleanup: {rules: {code: false}}`."""

    WRITE_AHEAD_LOG = "write_ahead_log"  # segments of the current generation that Spark left
    GENERATION = "generation"  # checkpoints, logs and plans of older generations
    CHECKPOINT_FILE = "checkpoint_file"  # temporary and backup files of checkpoints, and ours
    BATCH_LOG = "batch_log"  # entries that are in a roll-up, word for word, and in a recovery point
    OUTPUT_LEFTOVER = "output_leftover"  # `_temporary` and `_aside` of attempts that died
    CODE = "code"  # frozen code that no submission uses
    ORPHAN = "orphan"  # checkpoints and logs of a pipeline that is not declared any more
    EVENT_LOG = "event_log"  # of Spark applications that ended
    WORK_FOLDER = "work_folder"  # of a standalone worker: applications and drivers that ended
    CONSUMER_GROUP = "consumer_group"  # of starts of receivers that ended
    RECOVERY_POINT = "recovery_point"  # past the pipeline's `points`
    QUARANTINE = "quarantine"  # what has been in quarantine for long enough


class Reason(StrEnum):
    """Why something is kept."""

    NO_RULE = "no_rule"  # no rule is about it: data, or something we do not know
    RULE_OFF = "rule_off"
    REFUSED_PATH = "refused_path"
    UNPROCESSED = "unprocessed"  # it holds offsets that are not below what the sink has
    NEEDED = "needed"  # a recovery point, a plan, a release or a driver needs it
    UNREADABLE = "unreadable"  # torn, damaged, or of a format that we do not read
    UNPROVEN = "unproven"  # what would prove it is not known: the topic's id, the database, the master
    IN_USE = "in_use"  # a driver that lives, or may live, has it
    YOUNG = "young"
    CLOCK = "clock"  # times contradict each other: the clock was set back, or the file is of the future
    CHANGED = "changed"  # since the plan was made
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Found:
    """One file of a listing, or one folder that is judged as a whole (code, work folders).

    `path` is relative to its root, `/` between parts. `modified_ms` is UTC in ms since 1970, of a folder the newest in
    it; None where the store does not say. `size_bytes` of a folder is the sum. `link` says that it is a
    symbolic link, which is never followed.
    """

    path: str
    size_bytes: int
    modified_ms: int | None
    link: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a thing: a proof, or a reason to keep it and its words."""

    rule: Rule | None
    proof: str | None = None
    reason: Reason | None = None
    words: str = ""


def goes(rule: Rule, proof: str) -> Verdict:
    return Verdict(rule, proof)


def keeps(rule: Rule | None, reason: Reason, words: str = "") -> Verdict:
    return Verdict(rule, None, reason, words)


NO_RULE = keeps(None, Reason.NO_RULE)


@dataclass(frozen=True, slots=True)
class Item:
    """What becomes of one thing. It goes where `proof` is given; else it is kept, and `reason` and `words` say why.

    `root` is the root's URL (`file:///var/streams/orders`; `kafka:<connection>` for groups, `points` for recovery
    points), `path` is in it: a group's or a point's own name. `rule` is None where no rule is about it.
    """

    root: str
    path: str
    size_bytes: int
    modified_ms: int | None
    rule: Rule | None
    proof: str | None = None
    reason: Reason | None = None
    words: str = ""
    undo: str | None = None  # of a group: its committed offsets as Spark's JSON, to commit them again

    def __post_init__(self) -> None:
        if (self.proof is None) == (self.reason is None):
            raise ValueError(f"{self.path}: an item has either a proof or a reason for keeping it")

    @property
    def goes(self) -> bool:
        return self.proof is not None

    def __str__(self) -> str:
        if self.goes:
            return f"goes   {self.path} ({self.rule}: {self.proof})"
        return f"kept   {self.path} ({self.reason}{f': {self.words}' if self.words else ''})"

    def to_json(self) -> str:
        """One line of JSON, in the public format."""
        # By hand: `asdict` takes five times as long, and a plan has a line for each of a million files.
        return json.dumps({
            "format": FORMAT, "root": self.root, "path": self.path, "size_bytes": self.size_bytes,
            "modified_ms": self.modified_ms, "rule": self.rule, "proof": self.proof, "reason": self.reason,
            "words": self.words, "undo": self.undo,
        }, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Item:
        """The item that `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, FORMAT, "an item of a cleanup plan", "Make the plan again.") as data:
            return cls(**{**data, "rule": data["rule"] and Rule(data["rule"]),
                          "reason": data["reason"] and Reason(data["reason"])})


@dataclass
class Tally:
    """How many items, and how many bytes."""

    items: int = 0
    size_bytes: int = 0

    def add(self, size_bytes: int) -> None:
        self.items += 1
        self.size_bytes += size_bytes


@dataclass
class Totals:
    """Sums of a plan, item by item: `going` by rule, `kept` by reason; `examples` of each reason, a few."""

    going: dict[Rule, Tally] = field(default_factory=dict)
    kept: dict[Reason, Tally] = field(default_factory=dict)
    examples: dict[Reason, list[Item]] = field(default_factory=dict)
    most_examples: int = 5

    def add(self, item: Item) -> Item:
        """Count it; the item itself, so that a stream can be counted on its way."""
        if item.reason is None:
            assert item.rule is not None
            self.going.setdefault(item.rule, Tally()).add(item.size_bytes)
            return item
        self.kept.setdefault(item.reason, Tally()).add(item.size_bytes)
        examples = self.examples.setdefault(item.reason, [])
        if len(examples) < self.most_examples:
            examples.append(item)
        return item

    def as_dict(self) -> dict[str, Any]:
        """`{"going": {"code": {"items": 3, "bytes": 4096}}, "kept": {"young": {…}}}`"""
        return {
            name: {key.value: {"items": each.items, "bytes": each.size_bytes} for key, each in sorted(found.items())}
            for name, found in (("going", self.going), ("kept", self.kept))
        }
