"""Judges what writers left that died: temporary files, `_aside`, `_temporary`, entries that are rolled up. Pure.

Nothing of this is ever read again: readers pass over such names, and whoever wrote them would have renamed them at
once. Which of them a driver that lives may still be writing is told by the epochs of leases, not by clocks.
"""

from __future__ import annotations

import re

from streamops.cleaning.cleanup import Reason, Rule, Verdict, goes, keeps
from streamops.cleaning.ground import Evidence, Ground

#: Hidden, and `.tmp` at the end: ours, those of Spark's CheckpointFileManager, and Hadoop's checksums of either.
_TEMPORARY = re.compile(r"\.\.?.+\.tmp(\.crc)?")
#: Of DStreams' CheckpointWriter: the file before it is renamed, and the one that it replaced.
_BACKUP = re.compile(r"temp|checkpoint-\d+\.bk")
_START = re.compile(r"\d{6}-\d{3}")
#: What the Parquet sink puts aside: generation, batch, and the epoch of the lease under which it did.
_ASIDE = re.compile(r"(\d+)-(\d+)-(\d+)")
_BATCH = re.compile(r"generation=(\d+)/batch=(\d+)/")
_ENTRY = re.compile(r"(\d{12})\.json")
_ROLLED_UP = re.compile(r"(\d{12})-(\d{12})\.jsonl")


def is_temporary(name: str) -> bool:
    return bool(_TEMPORARY.fullmatch(name))


class Leftovers:
    """What may go of one state directory. Keeps the newest roll-up that it read."""

    def __init__(self, ground: Ground, files: Evidence) -> None:
        self._ground = ground
        self._files = files
        self._names: dict[str, list[str]] = {}
        self._roll_up: tuple[str, str] = ("", "")

    @staticmethod
    def is_backup(parts: list[str]) -> bool:
        """Whether a path below `checkpoint/` is a backup in a start's directory."""
        return len(parts) == 4 and bool(_START.fullmatch(parts[2])) and bool(_BACKUP.fullmatch(parts[3]))

    @staticmethod
    def is_leftover(parts: list[str]) -> bool:
        """Whether a path below `output/` is none of its output."""
        return (parts[1] == "_aside" and len(parts) > 3) or "_temporary" in parts[1:-1]

    def is_entry(self, parts: list[str]) -> bool:
        """Whether a path below `batch_log/` is an entry or a roll-up."""
        return len(parts) == 3 and parts[1].isdecimal() and self._span(parts[2]) is not None

    def checkpoint_file(self, parts: list[str]) -> Verdict:
        """A temporary file anywhere, or a backup of a start."""
        return self._temporary(parts) if is_temporary(parts[-1]) else self._backup()

    def _temporary(self, parts: list[str]) -> Verdict:
        """A file with a temporary name."""
        rule, current = Rule.CHECKPOINT_FILE, self._ground.state.current
        of_current = parts[0] == "checkpoint" and parts[1:2] == [f"{current:06d}"]
        if of_current and self._ground.living is not False:
            return keeps(rule, Reason.IN_USE, "it is in the checkpoint of a driver that lives, or may live")
        return goes(rule, "it has a temporary name, which nothing reads, and its writer would have renamed it at once")

    def _backup(self) -> Verdict:
        """A backup in a start's directory."""
        rule = Rule.CHECKPOINT_FILE
        if self._ground.living is not False:
            return keeps(rule, Reason.IN_USE, "a driver that lives, or may live, writes checkpoints")
        return goes(rule, "no driver lives, and none reads the checkpoint of another start")

    def output(self, path: str, parts: list[str]) -> Verdict:
        """What an attempt left below `output/`."""
        rule = Rule.OUTPUT_LEFTOVER
        if parts[1] == "_aside":
            return self._aside(rule, parts[2])
        if of_batch := _BATCH.match(path.partition("/")[2]):
            return self._of_batch(rule, int(of_batch[1]), int(of_batch[2]))
        if self._ground.living is not False:
            return keeps(rule, Reason.IN_USE, "a driver that lives, or may live, may be writing it")
        return goes(rule, "no driver lives, and what was not committed nobody reads")

    def _aside(self, rule: Rule, name: str) -> Verdict:
        found, epoch = _ASIDE.fullmatch(name), self._ground.state.epoch
        if found is None:
            return keeps(rule, Reason.UNREADABLE, f"{name} does not say by whom it was put aside")
        of = int(found[3])
        if epoch is None or of > epoch:
            return keeps(rule, Reason.UNPROVEN, f"it is of lease {of}, which is not there")
        if of < epoch:
            return goes(rule, f"lease {of} is over, {epoch} is the newest: nobody may publish it")
        if self._ground.living is not False:
            return keeps(rule, Reason.IN_USE, f"the holder of lease {of} lives, or may live, and publishes it")
        return goes(rule, f"the holder of lease {of} is gone, and the next one puts aside its own")

    def _of_batch(self, rule: Rule, generation: int, batch: int) -> Verdict:
        """Within the folder of a batch: its tasks are over once it is in the batch log."""
        state = self._ground.state
        known = state.generations.get(generation)
        last = known.last_batch if known is not None else None
        older = state.current is not None and generation < state.current
        if older or (last is not None and batch <= last):
            return goes(rule, f"batch {batch} of generation {generation} was published without it")
        return keeps(rule, Reason.IN_USE, f"batch {batch} of generation {generation} is not in the batch log")

    def entry(self, path: str, parts: list[str]) -> Verdict:
        """An entry of the batch log, or a roll-up: it goes where a larger roll-up has the same."""
        rule, (first, last) = Rule.BATCH_LOG, self._span(parts[2]) or (0, 0)
        directory = path.rpartition("/")[0]
        holder = next((name for name in self._listed(directory) if (held := _ROLLED_UP.fullmatch(name)) is not None
                       and name != parts[2] and int(held[1]) <= first and last <= int(held[2])), None)
        if holder is None:
            return keeps(Rule.BATCH_LOG, Reason.NO_RULE, "the batch log is the authority: no roll-up has these entries")
        if (text := self._files.read(path)) is None:
            return keeps(rule, Reason.GONE, "its driver has rolled it up")
        if not text.strip() or f"\n{text.strip()}\n" not in f"\n{self._rolled_up(f'{directory}/{holder}')}\n":
            return keeps(rule, Reason.UNPROVEN, f"{holder} does not have these entries, word for word")
        if self._ground.points is None:
            return keeps(rule, Reason.UNPROVEN, "the recovery points cannot be read")
        generation = int(parts[1])
        if not any(point.generation is not None and (point.generation, point.last_batch or 0) >= (generation, last)
                   for point in self._ground.points if point.last_batch is not None):
            return keeps(rule, Reason.NEEDED, f"no recovery point has come to batch {last} of generation {generation}")
        return goes(rule, f"{holder} has the same, word for word, and a recovery point is beyond batch {last}")

    @staticmethod
    def _span(name: str) -> tuple[int, int] | None:
        if single := _ENTRY.fullmatch(name):
            return int(single[1]), int(single[1])
        rolled_up = _ROLLED_UP.fullmatch(name)
        return (int(rolled_up[1]), int(rolled_up[2])) if rolled_up else None

    def _listed(self, directory: str) -> list[str]:
        """The roll-ups of a directory, the largest first."""
        if directory not in self._names:
            found = [(self._span(name) or (0, 0), name) for name in self._files.names(directory)
                     if name.endswith(".jsonl")]
            self._names = {directory: [name for (first, last), name in sorted(
                found, key=lambda each: each[0][0] - each[0][1])]}
        return self._names[directory]

    def _rolled_up(self, path: str) -> str:
        """A roll-up's text; the newest one stays in memory, at most ten thousand entries."""
        if self._roll_up[0] != path:
            self._roll_up = (path, (self._files.read(path) or "").strip())
        return self._roll_up[1]
