"""Moving what a cleanup takes into quarantine, and back; and removing it for good when its time is over.

    with cleaning_lock.held(files, "lines", say) as lock:
        store = Quarantine(tree, files, "lines")
        store.finish_interrupted(say)
        outcomes = store.take(lock, moves)

Killed at any step, everything is at its place or in quarantine, whole, and the next run finds out which: an intent is
written before its first move (see quarantined.py), and a rename has no half on `file:` and HDFS. An object store copies
and deletes; killed in between, the copy goes and the object stays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from streamops import quarantined
from streamops.adapters.action_lease import now
from streamops.adapters.cleaning_lock import CleaningLock
from streamops.adapters.file_trees import Tree
from streamops.adapters.state_files import StateFiles
from streamops.quarantined import DIRECTORY, Intent, Taken
from streamops.seen import Kind, Seen

Say = Callable[[str], object]


@dataclass(frozen=True)
class Outcome:
    """What became of one move; `kept` says why it was not made."""

    taken: Taken
    kept: str | None = None


@dataclass(frozen=True)
class Held:
    """Something in quarantine: where it came from, by which run, since when (UTC, ISO 8601), and why."""

    of: str
    run: int
    at: str
    taken: Taken

    @property
    def place(self) -> str:
        return quarantined.held_path(self.run, self.taken.path)

    def as_dict(self) -> dict[str, Any]:
        moved = self.taken
        return {"of": self.of, "run": self.run, "at": self.at, "path": moved.path, "kind": str(moved.kind),
                "bytes": moved.size_bytes, "files": moved.files, "rule": moved.rule, "proof": moved.proof}


class Quarantine:
    """The quarantine of one state directory: `tree` and `files` are both of it."""

    def __init__(self, tree: Tree, files: StateFiles, of: str) -> None:
        self._tree = tree
        self._files = files
        self._of = of
        self._next = 0

    # Taking

    def take(self, lock: CleaningLock, moves: Sequence[Taken]) -> list[Outcome]:
        """Make at most `MOST_MOVES` moves of one run; what is no longer as it was planned is kept.

        Raises what the storage raises: what was moved until then is in quarantine, and the next run finds it.
        """
        lock.check()
        intent = Intent(self._of, lock.number, self._next, now(), tuple(moves))
        self._next += 1
        self._files.replace(quarantined.intent_path(intent.run, intent.number), intent.to_text())
        outcomes = [Outcome(move, self._move(intent.run, move)) for move in moves]
        self._done(intent.run, intent.number, sum(each.kept is None for each in outcomes))
        return outcomes

    def _move(self, run: int, move: Taken) -> str | None:
        """Why it was kept, or None."""
        seen = self.observe(move.path)
        if (differs := difference(move, seen)) is not None:
            return differs
        target = quarantined.held_path(run, move.path)
        try:
            self._tree.move(move.path, target)
        except FileNotFoundError:
            return "it is gone: somebody else removed it"
        except FileExistsError:
            return "the same path is in quarantine already, by this very run"
        # Whoever wrote in the moment between look and rename wrote into what is now in quarantine.
        if (differs := difference(move, self.observe(target))) is not None:
            return f"{differs}, in the very moment of its move; {self._put_back(target, move.path)}"
        return None

    def _put_back(self, place: str, path: str) -> str:
        try:
            self._tree.move(place, path)
        except FileExistsError:
            return f"another one is there by now, so it stays in {place}"
        return "it was put back"

    def _done(self, run: int, number: int, moved: int) -> None:
        self._files.replace(quarantined.done_path(run, number), json.dumps({"moved": moved, "at": now()}))

    def observe(self, path: str) -> Taken | None:
        """What is at a path, in the words of a move without rule and proof; a folder with all that it holds."""
        seen = self._tree.look(path)
        if seen is None:
            return None
        if seen.kind is not Kind.FOLDER:
            return Taken(path, seen.kind, seen.size_bytes, seen.modified_ms, "", "")
        return folder(path, self._tree.walk(path))

    # Interrupted runs

    def finish_interrupted(self, say: Say) -> int:
        """Look at every move of runs that were killed; how many there were. Harmless to interrupt and to repeat."""
        looked = 0
        for run in self.runs():
            for number in quarantined.unfinished(self._files.names(quarantined.run_path(run))):
                intent = self._intent(run, number)
                if intent is None:
                    continue
                states = [self._settle(run, move) for move in intent.moves]
                looked += len(states)
                self._done(run, number, states.count(True))
                say(f"an earlier cleanup was killed (run {run}): of {len(states)} moves {states.count(True)} were made, "
                    f"{states.count(False)} were not and are not")
        return looked

    def _settle(self, run: int, move: Taken) -> bool:
        """Whether a move was made; what was half made is undone."""
        held = quarantined.held_path(run, move.path)
        there = self._tree.look(held)
        if there is None:
            return False
        self._tree.undo_half_move(move.path, held)
        return self._tree.look(held) is not None

    # What is there

    def runs(self) -> list[int]:
        return quarantined.runs(self._files.names(DIRECTORY))

    def held(self) -> Iterator[Held]:
        """Everything in quarantine, oldest run first."""
        for run in self.runs():
            for intent in self._intents(run):
                for move in intent.moves:
                    if self._tree.look(quarantined.held_path(run, move.path)) is not None:
                        yield Held(intent.of, run, intent.at, move)

    def _intents(self, run: int) -> Iterator[Intent]:
        for number in quarantined.intents(self._files.names(quarantined.run_path(run))):
            if (intent := self._intent(run, number)) is not None:
                yield intent

    def _intent(self, run: int, number: int) -> Intent | None:
        text = self._files.read(quarantined.intent_path(run, number))
        return None if text is None else Intent.from_text(text)

    # Back, or away

    def restore(self, lock: CleaningLock, chosen: Iterable[Held]) -> Iterator[Outcome]:
        """Bring things back to where they were. What has another thing in its place stays in quarantine."""
        for number, each in enumerate(chosen):
            if number % 100 == 0:
                lock.check()
            self._tree.undo_half_move(each.taken.path, each.place)
            kept = None
            try:
                self._tree.move(each.place, each.taken.path)
            except FileExistsError:
                kept = "something is at its path again; move that away first"
            except FileNotFoundError:
                # It came back by the line above: a restore was killed between the two halves of its move.
                kept = None if self._tree.look(each.taken.path) is not None else "it is not in quarantine any more"
            yield Outcome(each.taken, kept)
        self.forget_empty()

    def purge(self, lock: CleaningLock, over: Callable[[Intent, int], bool], say: Say) -> tuple[int, int]:
        """Remove runs for good; files and bytes that went. `over` is given an intent and when it was done, in ms.

        A run goes when all of its intents are over, so that nothing is half there for longer than it takes to delete.
        """
        files = size = 0
        for run in self.runs():
            path = quarantined.run_path(run)
            if quarantined.unfinished(self._files.names(path)):
                continue
            intents = list(self._intents(run))
            if not intents or not all(over(intent, self._done_ms(intent)) for intent in intents):
                continue
            lock.check()
            gone_files, gone_bytes = self._remove(quarantined.files_path(run))
            if self._tree.look(quarantined.files_path(run)) is not None:
                continue  # a listing on a network disk may pass over what it is changed behind; the next run comes
            say(f"run {run} of {intents[0].at} is over: {gone_files:,} files, {gone_bytes:,} bytes removed for good")
            files, size = files + gone_files, size + gone_bytes
            self._remove(path)
            self._tree.remove_folder(path)
        return files, size

    def forget_empty(self) -> None:
        """Drop the records of runs of which nothing is in quarantine any more."""
        for run in self.runs():
            path = quarantined.run_path(run)
            if quarantined.unfinished(self._files.names(path)):
                continue
            if all(seen.kind is Kind.FOLDER for seen in self._tree.walk(quarantined.files_path(run))):
                self._remove(path)
                self._tree.remove_folder(path)

    def _done_ms(self, intent: Intent) -> int:
        """When an intent was done, by the file system's clock, which a wrong clock of this machine does not move."""
        seen = self._tree.look(quarantined.done_path(intent.run, intent.number))
        return intent.at_ms if seen is None else max(seen.modified_ms, intent.at_ms)

    def _remove(self, path: str) -> tuple[int, int]:
        """All that is below a folder, and it; intents go last, since they say where things came from."""
        files = size = 0
        folders = []
        for seen in self._tree.walk(path):
            if seen.kind is Kind.FOLDER:
                folders.append(seen.path)
            else:
                self._tree.remove_file(seen.path)
                files, size = files + 1, size + seen.size_bytes
        for each in reversed(folders):
            self._tree.remove_folder(each)
        if path.rpartition("/")[2] == quarantined.FILES and self._tree.look(path) is not None:
            self._tree.remove_folder(path)
        return files, size


def folder(path: str, seen: Iterable[Seen]) -> Taken:
    """A folder in the words of a move, from all that is below it."""
    files = size = newest_ms = 0
    for each in seen:
        if each.kind is not Kind.FOLDER:
            files, size = files + 1, size + each.size_bytes
            newest_ms = max(newest_ms, each.modified_ms)
    return Taken(path, Kind.FOLDER, size, newest_ms, "", "", files)


def difference(planned: Taken, found: Taken | None) -> str | None:
    """What is other than it was planned, in words; None where nothing is."""
    if found is None:
        return "it is gone: somebody else removed it"
    if found.kind is not planned.kind:
        return f"it was a {planned.kind} and is a {found.kind} now"
    if (found.size_bytes, found.files) != (planned.size_bytes, planned.files):
        return (f"it changed since the plan: {planned.files} files, {planned.size_bytes:,} bytes then, "
                f"{found.files} files, {found.size_bytes:,} bytes now")
    if found.modified_ms != planned.modified_ms:
        return "it was written again since the plan"
    return None
