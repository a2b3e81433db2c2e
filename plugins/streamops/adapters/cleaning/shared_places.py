"""Folders of no one pipeline that are cleaned: frozen code, a standalone worker's folder, Spark's event logs.

What is directly below such a root is judged and taken as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from streamops.adapters.cleaning.ground import now_ms
from streamops.adapters.cleaning.place import Place, Say, found_of
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.files.trees import Tree
from streamops.cleaning import folders, quarantined
from streamops.cleaning.cleanup import Found, Item
from streamops.cleaning.folders import CodeUse, Quarantined, SparkNow
from streamops.cleaning.judge import recheck
from streamops.cleaning.paths import Root
from streamops.cleaning.quarantined import Taken
from streamops.cleaning.seen import Kind
from streamops.declared.pipeline import Cleanup

#: Judges some of what is below a root, on what is so when it is called.
Judged = Callable[[Root, Iterable[Found]], Iterator[Item]]


class SharedPlace(Place):
    """A root of which each entry is judged as a whole."""

    def __init__(self, name: str, root: Root, roots: tuple[Root, ...], tree: Tree, files: StateFiles,
                 settings: Cleanup, judged: Judged) -> None:
        super().__init__(name, root, roots, tree, files)
        self._settings = settings
        self._judged = judged

    def items(self, say: Say) -> Iterator[Item]:
        yield from self._judged(self.root, self._listing(say))
        yield from self.purged(self.quarantined())

    def purged(self, found: Iterable[Quarantined]) -> Iterator[Item]:
        return folders.quarantine_items(self.root, found, self._settings, now_ms())

    def again(self, planned: list[Item]) -> list[Item]:
        found = {item.path: self.found(item) for item in planned}
        listing = [each for each in found.values() if isinstance(each, Found)]
        now = {item.path: item for item in self._judged(self.root, listing)}
        judged = []
        for item in planned:
            seen = found[item.path]
            judged.append(seen if isinstance(seen, Item) else recheck(item, seen, now.get(item.path)))
        return judged

    def taken(self, item: Item) -> Taken:
        observed = self._observed(item.path)
        assert item.rule is not None
        if observed is None:
            return super().taken(item)
        return Taken(item.path, observed.kind, item.size_bytes, item.modified_ms or 0, item.rule.value,
                     item.proof or "", observed.files)

    def _observed(self, path: str) -> Taken | None:
        return self.quarantine.observe(path)

    def _listing(self, say: Say) -> Iterator[Found]:
        """What is directly below the root, each with the bytes and the newest time of all that it holds."""
        for seen in self.tree.entries():
            if seen.path == quarantined.DIRECTORY:
                continue
            if seen.problem is not None:
                say(f"{self.name}: the folder {seen.path} cannot be listed, so it is kept: {seen.problem}")
                continue
            if seen.kind is Kind.FOLDER:
                found = found_of(self._observed(seen.path))
                if found is not None:
                    yield found
            else:
                yield Found(seen.path, seen.size_bytes, seen.modified_ms, link=seen.kind is not Kind.FILE)


def code(settings: Cleanup, use: Callable[[], CodeUse]) -> Judged:
    """Judges frozen code; `use` is asked each time."""
    return lambda root, listing: folders.code_items(root, listing, use(), settings, now_ms())


def work(settings: Cleanup, spark: Callable[[], SparkNow]) -> Judged:
    """Judges the folders of a worker."""
    return lambda root, listing: folders.work_items(root, listing, spark(), settings, now_ms())


def events(settings: Cleanup, spark: Callable[[], SparkNow]) -> Judged:
    """Judges event logs."""
    return lambda root, listing: folders.event_items(root, listing, spark(), settings, now_ms())
