"""Moving what a cleanup takes into quarantine, and back; and removing it for good when its time is over.

    with cleaning_lock.held(files, "lines", say) as lock:
        store = Quarantine(tree, files, "lines")
        store.finish_interrupted(say)
        outcomes = store.take(lock, moves)

Killed at any step, everything is at its place or in quarantine, whole, and the next run finds out which: an intent is
written before its first move (see cleaning/quarantined.py), and a rename has no half on `file:` and HDFS. An object
store copies and deletes; killed in between, the copy goes and the object stays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from streamops.adapters.cleaning.lock import CleaningLock
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.files.trees import Tree
from streamops.adapters.pipelines.action_lease import now
from streamops.cleaning import quarantined
from streamops.cleaning.quarantined import DIRECTORY, Intent, Taken
from streamops.cleaning.seen import Kind, Seen
from streamops.errors import RefusedError, StateError

Say = Callable[[str], object]
#: Makes one move of something that is no file.
Act = Callable[[Taken, str], str | None]


@dataclass(frozen=True)
class Outcome:
    """What became of one move; `kept` says why it was not made."""

    taken: Taken
    kept: str | None = None


@dataclass(frozen=True)
class Held:
    """Something in quarantine: where it came from, by which run, since when (UTC, ISO 8601), and why.

    `done_ms` is when it was there, in ms since 1970; None while that run is at work, or when it was killed.
    """

    of: str
    run: int
    at: str
    taken: Taken
    done_ms: int | None

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

    def take(self, lock: CleaningLock, moves: Sequence[Taken], act: Act | None = None) -> list[Outcome]:
        """Make at most `MOST_MOVES` moves of one run; what is no longer as it was planned is kept.

        `act` is for what is no file: given the move and the path of its record in quarantine, it says why the thing was
        kept. Raises what the storage raises: what was moved until then is in quarantine, and the next run finds it.
        """
        lock.check()
        intent = Intent(self._of, lock.number, self._next, now(), tuple(moves))
        self._next += 1
        if not self._files.write_new(quarantined.intent_path(intent.run, intent.number), intent.to_text()):
            raise StateError(f"run {intent.run} of a cleanup of {self._of} was there before it began",
                             "Somebody has put an older copy of the quarantine back. Run the cleanup again.")
        outcomes = []
        for move in moves:
            made = self._move(intent.run, move) if act is None else act(
                move, quarantined.held_path(intent.run, move.path))
            outcomes.append(Outcome(move, made))
        self._done(intent.run, intent.number, sum(each.kept is None for each in outcomes))
        return outcomes

    def _move(self, run: int, move: Taken) -> str | None:
        """Why it was kept, or None."""
        target = quarantined.held_path(run, move.path)
        try:
            if (differs := difference(move, self.observe(move.path))) is not None:
                return differs
            self._tree.move(move.path, target)
        except RefusedError as error:
            return error.found
        except FileNotFoundError:
            return "it is gone: somebody else removed it"
        except FileExistsError:
            return "the same path is in quarantine already, by this very run"
        # Whoever wrote in the moment between look and rename wrote into what is now in quarantine.
        moved = self.observe(target)
        if moved is not None and not self._tree.keeps_times:
            moved = replace(moved, modified_ms=move.modified_ms)
        if (differs := difference(move, moved)) is not None:
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
                say(f"an earlier cleanup was killed (run {run}): of {len(states)} moves {states.count(True)} were "
                    f"made, {states.count(False)} were not and are not")
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
            if not quarantined.intents(self._files.names(quarantined.run_path(run))):
                yield from self._without_intent(run)
            for intent in self._intents(run):
                done_ms = self._done_ms(intent)
                for move in intent.moves:
                    if self._tree.look(quarantined.held_path(run, move.path)) is not None:
                        yield Held(intent.of, run, intent.at, move, done_ms)

    def _without_intent(self, run: int) -> Iterator[Held]:
        """What a run moved after another one thought it dead, found it empty, and dropped its records."""
        place = f"{quarantined.files_path(run)}/"
        for seen in self._tree.walk(place.rstrip("/")):
            if seen.kind is not Kind.FOLDER:
                path = seen.path.removeprefix(place)
                lost = Taken(path, seen.kind, seen.size_bytes, seen.modified_ms, "unknown", "its record is gone")
                yield Held(self._of, run, "", lost, None)

    def _intents(self, run: int) -> Iterator[Intent]:
        for number in quarantined.intents(self._files.names(quarantined.run_path(run))):
            if (intent := self._intent(run, number)) is not None:
                yield intent

    def _intent(self, run: int, number: int) -> Intent | None:
        text = self._files.read(quarantined.intent_path(run, number))
        return None if text is None else Intent.from_text(text)

    # Back, or away

    def restore(self, lock: CleaningLock, chosen: Iterable[Held], act: Act | None = None) -> Iterator[Outcome]:
        """Bring things back to where they were. What has another thing in its place stays in quarantine.

        `act` is for what is no file: it says why the thing stays, and its record goes once it is back.
        """
        for number, each in enumerate(chosen):
            if number % 100 == 0:
                lock.check()
            if each.taken.kind is Kind.GROUP:
                kept = "only a pipeline that is declared has groups" if act is None else act(each.taken, each.place)
                if kept is None:
                    self.remove(each.place)
                yield Outcome(each.taken, kept)
                continue
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

    def remove(self, place: str) -> bool:
        """Remove something in quarantine for good; False where it is not there. Killed in between, the rest stays."""
        seen = self._tree.look(place)
        if seen is None:
            return False
        if seen.kind is Kind.FOLDER:
            self._remove(place)
            self._tree.remove_folder(place)
        else:
            self._tree.remove_file(place)
        return True

    def forget_empty(self) -> None:
        """Drop the records of runs of which nothing is in quarantine any more."""
        for run in self.runs():
            path = quarantined.run_path(run)
            if quarantined.unfinished(self._files.names(path)):
                continue
            if all(seen.kind is Kind.FOLDER for seen in self._tree.walk(quarantined.files_path(run))):
                self._remove(path)
                self._tree.remove_folder(path)

    def _done_ms(self, intent: Intent) -> int | None:
        """When an intent was done, by the later of this machine's and the file system's clock; None before it was."""
        seen = self._tree.look(quarantined.done_path(intent.run, intent.number))
        return None if seen is None else max(seen.modified_ms, intent.at_ms)

    def _remove(self, path: str) -> None:
        """All that is below a folder."""
        folders = []
        for seen in self._tree.walk(path):
            if seen.kind is Kind.FOLDER:
                folders.append(seen.path)
            else:
                self._tree.remove_file(seen.path)
        for each in reversed(folders):
            self._tree.remove_folder(each)


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
