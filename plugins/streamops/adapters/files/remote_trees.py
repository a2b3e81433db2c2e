"""Trees on HDFS, over WebHDFS, and on object stores, over fsspec. See file_trees.Tree for what each method does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from streamops.cleaning.seen import Kind, Seen

#: What HDFS calls what is in a folder.
_HDFS_KINDS = {"FILE": Kind.FILE, "DIRECTORY": Kind.FOLDER, "SYMLINK": Kind.LINK}


class HdfsTree:
    """HDFS through WebHDFS. A folder is listed page by page, as many names as `dfs.ls.limit` says (1,000)."""

    keeps_times = True

    def __init__(self, filesystem: Any, root: str) -> None:
        self._filesystem = filesystem
        self._root = root

    def walk(self, start: str = "", *, skip: str | None = None) -> Iterator[Seen]:
        levels = [(start, self._entries(start))]
        while levels:
            above, entries = levels[-1]
            try:
                status = next(entries, None)
            except PermissionError as error:  # it comes once more, with the problem
                yield Seen(above, Kind.FOLDER, 0, 0, str(error)[:200])
                status = None
            if status is None:
                levels.pop()
                continue
            seen = _hdfs_seen(f"{above}/{status['pathSuffix']}".lstrip("/"), status)
            if seen.path == skip:
                continue
            if seen.kind is Kind.FOLDER:
                levels.append((seen.path, self._entries(seen.path)))
            yield seen

    def entries(self) -> Iterator[Seen]:
        for status in self._entries(""):
            yield _hdfs_seen(status["pathSuffix"], status)

    def look(self, path: str) -> Seen | None:
        try:
            status = self._call("GETFILESTATUS", path).json()["FileStatus"]
        except (FileNotFoundError, NotADirectoryError):
            return None
        return _hdfs_seen(path, status)

    def make_folder(self, path: str) -> None:
        self._call("MKDIRS", path, method="put")

    def move(self, source: str, target: str) -> None:
        self._call("MKDIRS", target.rpartition("/")[0], method="put")
        # With options, the NameNode says why it refuses, and renames nothing into a folder of that name.
        self._call("RENAME", source, method="put", destination=self._at(target), renameoptions="NONE")

    def undo_half_move(self, source: str, target: str) -> None:
        """Nothing: the NameNode renames in one step."""

    def remove_file(self, path: str) -> None:
        if not self._call("DELETE", path, method="delete", recursive="false").json()["boolean"]:
            raise FileNotFoundError(path)

    def remove_folder(self, path: str) -> bool:
        try:
            self.remove_file(path)
        except FileExistsError:
            return False
        return True

    def _entries(self, path: str) -> Iterator[dict[str, Any]]:
        after: dict[str, str] = {}
        while True:
            try:
                listing = self._call("LISTSTATUS_BATCH", path, **after).json()["DirectoryListing"]
            except FileNotFoundError:
                return
            page = listing["partialListing"]["FileStatuses"]["FileStatus"]
            yield from page
            if not listing["remainingEntries"] or not page:
                return
            after = {"startAfter": page[-1]["pathSuffix"]}

    def _call(self, operation: str, path: str, **given: Any) -> Any:
        try:
            return self._filesystem._call(operation, path=self._at(path), **given)
        except RuntimeError as error:
            # fsspec keeps of what the NameNode raised the message alone.
            text = str(error)
            if "already exists" in text or "non empty" in text or "rename destination" in text:
                raise FileExistsError(text) from error
            raise

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root or "/"


class ObjectTree:
    """Objects below a prefix. A move is a copy and a delete: killed in between, both are there, and equal."""

    keeps_times = False

    def __init__(self, filesystem: Any, root: str) -> None:
        self._filesystem = filesystem
        self._root = root

    def walk(self, start: str = "", *, skip: str | None = None) -> Iterator[Seen]:
        try:
            listed = self._filesystem.ls(self._at(start), detail=True)
        except FileNotFoundError:
            return
        for each in listed:
            seen = self._seen(each)
            if seen.path in (start, skip):
                continue
            yield seen
            if seen.kind is Kind.FOLDER:
                yield from self.walk(seen.path, skip=skip)

    def entries(self) -> Iterator[Seen]:
        try:
            listed = self._filesystem.ls(self._root, detail=True)
        except FileNotFoundError:
            return
        yield from (seen for each in listed if (seen := self._seen(each)).path)

    def look(self, path: str) -> Seen | None:
        try:
            return self._seen(self._filesystem.info(self._at(path)))
        except FileNotFoundError:
            return None

    def make_folder(self, path: str) -> None:
        """Nothing: an object's name is all there is of its folder."""

    def move(self, source: str, target: str) -> None:
        if (there := self.look(source)) is None:
            raise FileNotFoundError(source)
        if self.look(target) is not None:
            raise FileExistsError(target)
        moved = [there] if there.kind is Kind.FILE else [each for each in self.walk(source) if each.kind is Kind.FILE]
        for each in moved:
            to = target + each.path[len(source):]
            self._filesystem.cp_file(self._at(each.path), self._at(to))
            copied = self.look(to)
            if copied is None or copied.size_bytes != each.size_bytes:
                raise OSError(f"the copy of {each.path} is not what it was copied from")
            self._filesystem.rm_file(self._at(each.path))

    def undo_half_move(self, source: str, target: str) -> None:
        there = self.look(target)
        if there is None:
            return
        copies = [there] if there.kind is Kind.FILE else [each for each in self.walk(target) if each.kind is Kind.FILE]
        for copy in copies:
            origin = source + copy.path[len(target):]
            first = self.look(origin)
            if first is not None and first.size_bytes == copy.size_bytes and self._content(origin) == self._content(
                    copy.path):
                self.remove_file(copy.path)

    def _content(self, path: str) -> bytes:
        return bytes(self._filesystem.cat_file(self._at(path)))

    def remove_file(self, path: str) -> None:
        self._filesystem.rm_file(self._at(path))

    def remove_folder(self, path: str) -> bool:
        if next(self.walk(path), None) is not None:
            return False
        if self.look(path) is not None:  # a store without folders has none any more
            self._filesystem.rmdir(self._at(path))
        return True

    def _seen(self, each: dict[str, Any]) -> Seen:
        path = each["name"].strip("/").removeprefix(self._root.strip("/")).strip("/")
        changed = each.get("LastModified") or each.get("mtime") or each.get("created") or 0
        at_ms = round(changed.timestamp() * 1000) if isinstance(changed, datetime) else round(float(changed) * 1000)
        is_file = each["type"] == "file"
        return Seen(path, Kind.FILE if is_file else Kind.FOLDER, int(each["size"] or 0) if is_file else 0, at_ms)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root


def _hdfs_seen(path: str, status: dict[str, Any]) -> Seen:
    kind = _HDFS_KINDS.get(status["type"], Kind.OTHER)
    return Seen(path, kind, int(status["length"]) if kind is Kind.FILE else 0, int(status["modificationTime"]))
