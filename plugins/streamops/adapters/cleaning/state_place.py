"""A state directory that is cleaned: a pipeline's, with its consumer groups and recovery points, or an orphan's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from streamops.adapters.cleaning.ground import GroundReader, now_ms
from streamops.adapters.cleaning.lock import CleaningLock
from streamops.adapters.cleaning.place import Place, Say, kept
from streamops.adapters.cleaning.quarantine import Held, Outcome
from streamops.adapters.files.trees import Tree
from streamops.cleaning import folders as cleanup_folders
from streamops.cleaning import groups, quarantined
from streamops.cleaning.cleanup import Found, Item, Reason, Rule
from streamops.cleaning.folders import Quarantined
from streamops.cleaning.ground import Ground
from streamops.cleaning.judge import Judge, recheck
from streamops.cleaning.paths import Root
from streamops.cleaning.quarantined import Taken
from streamops.cleaning.seen import Kind
from streamops.declared.pipeline import Cleanup, Pipeline
from streamops.errors import ConfigurationError, StateError, StreamopsError

if TYPE_CHECKING:
    from streamops.adapters.database.points import Points
    from streamops.points.retention import KeepRule

#: Folders below which a folder that became empty is removed. No driver makes these before it puts a file into them,
#: but in the current generation, which is left alone while a driver may live.
_EMPTIED = ("checkpoint/", "plans/", "output/_aside/")

#: Seconds between two lines of progress.
SAY_EVERY_S = 2.0


class StatePlace(Place):
    """A state directory. `pipeline` is None for an orphan."""

    def __init__(self, name: str, roots: tuple[Root, ...], tree: Tree, reader: GroundReader, settings: Cleanup,
                 pipeline: Pipeline | None, points: Points | None = None, rule: KeepRule | None = None,
                 other_groups: frozenset[str] = frozenset()) -> None:
        super().__init__(name, reader.root, roots, tree, reader.files)
        self._reader = reader
        self._settings = settings
        self._pipeline = pipeline
        self._points = points
        self._keep_rule = rule
        self._other_groups = other_groups
        self._ground: Ground | None = None

    # The plan

    def items(self, say: Say) -> Iterator[Item]:
        ground = self._reader.read(self.roots)
        yield from self._judged_files(ground, say)
        if self._pipeline is not None:
            yield from self._groups(ground, say)
            yield from self._expired(say)
        yield from self.purged(self.quarantined())

    def purged(self, found: Iterable[Quarantined]) -> Iterator[Item]:
        return cleanup_folders.quarantine_items(self.root, found, self._settings, now_ms())

    def _judged_files(self, ground: Ground, say: Say) -> Iterator[Item]:
        judge, said_s, count, going = Judge(ground, self.files), time.monotonic(), 0, 0
        for found in self._listing(say):
            item = self._item(judge, found)
            count, going = count + 1, going + item.goes
            if not count % 256 and time.monotonic() - said_s >= SAY_EVERY_S:
                said_s = time.monotonic()
                say(f"{self.name}: {count:,} files judged, {going:,} of them may go")
            yield item

    def _listing(self, say: Say) -> Iterator[Found]:
        """Every file and link but those in quarantine."""
        inside = f"{quarantined.DIRECTORY}/"
        for seen in self.tree.walk(skip=quarantined.DIRECTORY):
            if seen.problem is not None:
                say(f"{self.name}: {seen.path} cannot be looked at, so it is kept with all in it: {seen.problem}")
            elif seen.kind is not Kind.FOLDER and not seen.path.startswith(inside):
                yield Found(seen.path, seen.size_bytes, seen.modified_ms, link=seen.kind is not Kind.FILE)

    def _groups(self, ground: Ground, say: Say) -> Iterator[Item]:
        from streamops.adapters.kafka import stale_groups

        pipeline, broker = self._pipeline, self._reader.broker
        if pipeline is None or broker is None or pipeline.approach != "receiver":
            return
        prefix, connection = pipeline.consumer_group, pipeline.connections.kafka
        try:
            found = list(stale_groups.listed(broker, prefix))
        except StreamopsError as error:
            say(f"{self.name}: consumer groups are not judged: {error.found}")
            return
        yield from groups.group_items(found, ground, self.files, prefix, connection, self._other_groups)

    def _expired(self, say: Say) -> Iterator[Item]:
        from datetime import UTC, datetime

        if self._points is None or self._keep_rule is None:
            return
        try:
            summaries = self._points.summaries(self.name)
        except StreamopsError as error:
            say(f"{self.name}: recovery points are not judged: {error.found}")
            return
        expired = self._keep_rule.expired(summaries, datetime.now(UTC))
        yield from groups.point_items(
            self.name, expired, [each.id for each in summaries], self._settings.rules.recovery_point)

    # Acting

    def again(self, planned: list[Item]) -> list[Item]:
        self._ground = ground = self._reader.read(self.roots)
        judge = Judge(ground, self.files)
        judged = []
        for item in planned:
            found = self.found(item)
            judged.append(found if isinstance(found, Item) else recheck(
                item, found, None if found is None else self._item(judge, found)))
        return judged

    def _item(self, judge: Judge, found: Found) -> Item:
        """What becomes of a file; one that may not be read is kept, and so does the rest not fail for it."""
        try:
            return judge.item(found)
        except (ConfigurationError, StateError) as error:
            return Item(self.root.url, found.path, found.size_bytes, found.modified_ms, None,
                        reason=Reason.UNREADABLE, words=error.found)

    def _grouped(self, chunk: list[Item]) -> Iterator[tuple[Callable[[CleaningLock, list[Item]], Iterator[Item]],
                                                            list[Item]]]:
        special = {Rule.CONSUMER_GROUP: self._take_groups, Rule.RECOVERY_POINT: self._delete_points}
        for rule, act in special.items():
            if mine := [item for item in chunk if item.rule is rule]:
                yield act, mine
        yield from super()._grouped([item for item in chunk if item.rule not in special])

    def _take_groups(self, lock: CleaningLock, planned: list[Item]) -> Iterator[Item]:
        """Delete groups, once what they committed is written down in quarantine."""
        from streamops.adapters.kafka import stale_groups

        broker = self._reader.broker
        ground = self._reader.read(self.roots)
        now = {item.path: item for item in self._groups(ground, _silent)}
        going = []
        for item in planned:
            again = now.get(item.path)
            if again is None:
                yield kept(item, Reason.GONE, "Kafka has no such group any more, or does not answer")
            elif not again.goes:
                yield again
            else:
                going.append(again)

        def act(move: Taken, record: str) -> str | None:
            assert broker is not None
            self.files.replace(record, move.undo or "{}")
            refused = stale_groups.delete(broker, _group_of(move))
            if refused is not None:
                self.files.delete(record)
            return refused

        if not going:
            return
        moves = [Taken(f"groups/{quote(item.path, safe='')}", Kind.GROUP, 0, 0, Rule.CONSUMER_GROUP.value,
                       item.proof or "", undo=item.undo) for item in going]
        lock.check()
        for item, outcome in zip(going, self.quarantine.take(lock, moves, act), strict=True):
            yield item if outcome.kept is None else kept(item, Reason.IN_USE, outcome.kept)

    def _delete_points(self, lock: CleaningLock, planned: list[Item]) -> Iterator[Item]:
        """As each snapshot does: a point past its time has no quarantine. One that somebody holds by now stays."""
        assert self._points is not None
        due = {item.path for item in self._expired(_silent) if item.goes}
        numbers = [int(item.path) for item in planned if item.path in due]
        lock.check()
        self._points.delete(numbers)
        left = {str(each.id) for each in self._points.summaries(self.name)}
        for item in planned:
            if item.path in left:
                yield kept(item, Reason.NEEDED, "somebody holds it by now, or it is not past its time any more")
            else:
                yield item

    def restore(self, lock: CleaningLock, chosen: Iterable[Held]) -> Iterator[Outcome]:
        from streamops.adapters.kafka import stale_groups

        def act(move: Taken, _record: str) -> str | None:
            broker = self._reader.broker
            if broker is None:
                return "no Kafka broker answers"
            try:
                stale_groups.put_back(broker, _group_of(move), move.undo or "{}")
            except StreamopsError as error:
                return error.found
            return None

        yield from self.quarantine.restore(lock, chosen, act)

    def after_moves(self, moved: list[Taken]) -> None:
        """Remove folders that are empty now, from the deepest up."""
        ground = self._ground
        assert ground is not None
        current = ground.state.current
        alone = ground.living is False or current is None
        spared = () if alone else (f"checkpoint/{current:06d}/", f"plans/{current:06d}/")
        folders = {each.path.rpartition("/")[0] for each in moved}
        for path in sorted(folders, key=lambda path: -path.count("/")):
            at = path
            while at.startswith(_EMPTIED) and not f"{at}/".startswith(spared):
                try:
                    if not self.tree.remove_folder(at):
                        break
                except OSError:  # somebody else removed it, or may and we may not: it is a folder without files
                    break
                at = at.rpartition("/")[0]


def _group_of(move: Taken) -> str:
    return unquote(move.path.removeprefix("groups/"))


def _silent(_line: str) -> None:
    """Told again what the plan has said."""
