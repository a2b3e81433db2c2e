"""One root that is cleaned: listed, judged, and what goes taken into its quarantine, chunk by chunk.

    for item in place.items(say): …                       the plan
    with place.locked(say) as lock:
        for item in place.apply(lock, planned, say): …    each planned item as it ended: gone, or kept and why

Each chunk is judged once more right before it is taken, on what is so by then: a driver that started meanwhile, a new
recovery point, a file that changed.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import islice

from streamops.adapters.cleaning import lock as cleaning_lock
from streamops.adapters.cleaning.lock import CleaningLock
from streamops.adapters.cleaning.quarantine import Held, Outcome, Quarantine
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.files.trees import LocalTree, Tree
from streamops.cleaning import paths
from streamops.cleaning.cleanup import Found, Item, Reason, Rule
from streamops.cleaning.folders import Quarantined
from streamops.cleaning.paths import Root
from streamops.cleaning.quarantined import MOST_MOVES, Taken
from streamops.cleaning.seen import Kind
from streamops.errors import RefusedError

Say = Callable[[str], object]


class Place(ABC):
    """One root. `name` is the pipeline's, an orphan's folder, or `code`, `work`, `events`."""

    def __init__(self, name: str, root: Root, roots: tuple[Root, ...], tree: Tree, files: StateFiles) -> None:
        self.name = name
        self.root = root
        self.roots = roots
        self.tree = tree
        self.files = files
        self.quarantine = Quarantine(tree, files, name)

    @abstractmethod
    def items(self, say: Say) -> Iterator[Item]:
        """Everything that is judged here, as it is now. Raises what the storage raises."""

    @abstractmethod
    def again(self, planned: list[Item]) -> list[Item]:
        """What becomes of planned items of this root's files or folders, judged anew; in their order."""

    def locked(self, say: Say) -> AbstractContextManager[CleaningLock]:
        """The right to change something here. Raises RefusedError while another cleanup has it."""
        # A NameNode in safe mode refuses this at once. A file is written by a DataNode, which waits for it for minutes.
        self.tree.make_folder(cleaning_lock.PLACE)
        return cleaning_lock.held(self.files, self.name, say)

    def apply(self, lock: CleaningLock, planned: Iterable[Item], say: Say) -> Iterator[Item]:
        """Take what was planned to go and still may; each item as it ended."""
        self.quarantine.finish_interrupted(say)
        left = iter(planned)
        while chunk := list(islice(left, MOST_MOVES)):
            for acts, mine in self._grouped(chunk):
                lock.check()
                yield from acts(lock, mine)
        self.quarantine.forget_empty()

    def _grouped(self, chunk: list[Item]) -> Iterator[tuple[Callable[[CleaningLock, list[Item]], Iterator[Item]],
                                                            list[Item]]]:
        purged = [item for item in chunk if item.rule is Rule.QUARANTINE]
        others = [item for item in chunk if item.rule is not Rule.QUARANTINE]
        if others:
            yield self._take, others
        if purged:
            yield self._purge, purged

    def found(self, item: Item) -> Found | Item | None:
        """What is at an item's path now; the item, kept, where a link is on the way."""
        try:
            return found_of(self.quarantine.observe(item.path))
        except RefusedError as error:
            return kept(item, Reason.REFUSED_PATH, error.found)

    # Into quarantine

    def _take(self, lock: CleaningLock, planned: list[Item]) -> Iterator[Item]:
        judged = [self._refused(item) if item.goes else item for item in self.again(planned)]
        yield from (item for item in judged if not item.goes)
        going = [item for item in judged if item.goes]
        if not going:
            return
        lock.check()
        outcomes = self.quarantine.take(lock, [self.taken(item) for item in going])
        yield from map(_ended, going, outcomes)
        self.after_moves([each.taken for each in outcomes if each.kept is None])

    def taken(self, item: Item) -> Taken:
        """An item in the words of a move."""
        assert item.rule is not None
        assert item.proof is not None
        return Taken(item.path, Kind.FILE, item.size_bytes, item.modified_ms or 0, item.rule.value, item.proof)

    def after_moves(self, moved: list[Taken]) -> None:  # noqa: ARG002  for those who override it
        """What is to be done once files are away: folders that are empty now."""
        return

    def _refused(self, item: Item) -> Item:
        """The item, kept where its path must not be touched; asked at the moment of acting, links followed."""
        resolved = None
        if isinstance(self.tree, LocalTree):
            resolved = os.path.realpath(f"{self.root.resolved}/{item.path}")
        words = paths.refusal(self.root, item.path, self.roots, resolved=resolved)
        return item if words is None else kept(item, Reason.REFUSED_PATH, words)

    # Quarantine

    def quarantined(self) -> Iterator[Quarantined]:
        """All that is in quarantine, for the rule that purges it."""
        for each in self.quarantine.held():
            yield Quarantined(each.taken.path, each.place, each.taken.size_bytes, each.done_ms, each.taken.rule)

    def _purge(self, lock: CleaningLock, planned: list[Item]) -> Iterator[Item]:
        """Remove for good what is in quarantine, and still over its time."""
        wanted = {item.path for item in planned}
        now = {item.path: item for item in self.purged(each for each in self.quarantined() if each.place in wanted)}
        lock.check()
        for item in planned:
            again = now.get(item.path)
            if again is None:
                yield kept(item, Reason.GONE, "it is not in quarantine any more")
                continue
            again = self._refused(again) if again.goes else again
            if again.goes and not self.quarantine.remove(item.path):
                again = kept(item, Reason.GONE, "it is not in quarantine any more")
            yield again

    @abstractmethod
    def purged(self, found: Iterable[Quarantined]) -> Iterator[Item]:
        """What becomes of things in quarantine."""

    def restore(self, lock: CleaningLock, chosen: Iterable[Held]) -> Iterator[Outcome]:
        """Bring things back from quarantine."""
        yield from self.quarantine.restore(lock, chosen)


def kept(item: Item, reason: Reason, words: str) -> Item:
    """A planned item that is kept after all."""
    return replace(item, proof=None, reason=reason, words=words)


def found_of(taken: Taken | None) -> Found | None:
    """What is at a path, as the rules take it."""
    if taken is None:
        return None
    return Found(taken.path, taken.size_bytes, taken.modified_ms, link=taken.kind is Kind.LINK)


def _ended(item: Item, outcome: Outcome) -> Item:
    return item if outcome.kept is None else kept(item, Reason.CHANGED, outcome.kept)
