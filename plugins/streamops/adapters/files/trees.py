"""Trees of files, listed as a stream and changed one rename at a time, on each kind of file system.

    tree, root = open_tree(url, options)
    for seen in tree.walk("lines/checkpoint"):     # every file, folder, link, each folder before what is in it
        …
    tree.move("lines/checkpoint/…/log-1", "lines/quarantine/…/log-1")

Paths are relative to the tree's root, with `/` between parts; `""` is the root. Symbolic links are listed and never
followed, also when somebody puts one in place of a folder while this works: on `file:` every step goes through an open
folder. Memory holds one folder of each level, or one page of it.

Errors are those of the libraries, FileNotFoundError for what is not there, FileExistsError for a target that is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from streamops.adapters.files.stores import HdfsStore, LocalStore, ObjectStore, open_store
from streamops.cleaning.seen import Kind, Seen
from streamops.errors import RefusedError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

class Tree(Protocol):
    """One file system below one root. `keeps_times`: whether a file that is moved keeps the time of its last change."""

    keeps_times: bool

    def walk(self, start: str = "", *, skip: str | None = None) -> Iterator[Seen]:
        """All that is below a folder, but not the folder; nothing where there is none. What vanishes is passed over.

        `skip` is a folder that is not looked into. A folder that may not be read comes as one whose `problem` says so.
        """

    def entries(self) -> Iterator[Seen]:
        """What is directly below the root; folders without a problem, since none of them is opened."""

    def look(self, path: str) -> Seen | None:
        """What is at a path now; None where nothing is, or where a parent is no folder."""

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it; nothing happens where it is. A store without folders has nothing to do."""

    def move(self, source: str, target: str) -> None:
        """Rename a file or folder; folders above the target are made. A target that is there stays as it is."""

    def undo_half_move(self, source: str, target: str) -> None:
        """Drop the second of two names, or copies, that a move which was killed left; else nothing happens."""

    def remove_file(self, path: str) -> None: ...

    def remove_folder(self, path: str) -> bool:
        """Remove an empty folder; False where it holds something, and nothing happened."""


def open_tree(url: str, options: Mapping[str, Any] | None = None) -> Tree:
    """The tree below a URL; `options` are those of fsspec, see file_stores.open_store."""
    from streamops.adapters.files.remote_trees import HdfsTree, ObjectTree

    store, root = open_store(url.rstrip("/"), dict(options or {}))
    if isinstance(store, HdfsStore):
        return HdfsTree(store.filesystem, root)
    if isinstance(store, ObjectStore):
        return ObjectTree(store.filesystem, root)
    assert isinstance(store, LocalStore)
    return LocalTree(root)


class LocalTree:
    """Files on this machine, or on a mounted disk."""

    keeps_times = True

    def __init__(self, root: str) -> None:
        self._root = root or "/"

    def walk(self, start: str = "", *, skip: str | None = None) -> Iterator[Seen]:
        try:
            opened = self._folder(start)
        except FileNotFoundError:
            return
        yield from self._walk(opened, f"{start}/" if start else "", skip)

    def _walk(self, opened: int, prefix: str, skip: str | None) -> Iterator[Seen]:
        """Closes `opened`. A loop, not a recursion: a generator inside each other's would cost a step a level."""
        levels = [(opened, os.scandir(opened), prefix)]
        try:
            while levels:
                folder, entries, above = levels[-1]
                entry = next(entries, None)
                if entry is None:
                    levels.pop()
                    entries.close()
                    os.close(folder)
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except PermissionError as error:
                    yield Seen(above + entry.name, Kind.OTHER, 0, 0, _words(error))
                    continue
                path = above + entry.name
                mode = found.st_mode
                if stat.S_ISREG(mode):
                    yield Seen(path, Kind.FILE, found.st_size, found.st_mtime_ns // 1_000_000)
                elif stat.S_ISDIR(mode):
                    problem = None
                    if path == skip:
                        continue
                    try:
                        inner = os.open(entry.name, _FOLDER, dir_fd=folder)
                    except (FileNotFoundError, NotADirectoryError):
                        continue
                    except OSError as error:
                        if error.errno == errno.ELOOP:
                            continue
                        inner, problem = -1, _words(error)
                    if inner >= 0:
                        levels.append((inner, os.scandir(inner), f"{path}/"))
                    yield Seen(path, Kind.FOLDER, 0, found.st_mtime_ns // 1_000_000, problem)
                else:
                    kind = Kind.LINK if stat.S_ISLNK(mode) else Kind.OTHER
                    yield Seen(path, kind, 0, found.st_mtime_ns // 1_000_000)
        finally:
            for folder, entries, _ in levels:
                entries.close()
                os.close(folder)

    def entries(self) -> Iterator[Seen]:
        try:
            listed = os.scandir(self._root)
        except FileNotFoundError:
            return
        with listed:
            for entry in listed:
                if (seen := self.look(entry.name)) is not None:
                    yield seen

    def look(self, path: str) -> Seen | None:
        found = self._stat(path)
        if found is None:
            return None
        return Seen(path, _kind(found.st_mode), found.st_size if stat.S_ISREG(found.st_mode) else 0,
                    found.st_mtime_ns // 1_000_000)

    def make_folder(self, path: str) -> None:
        Path(self._root).mkdir(parents=True, exist_ok=True)
        os.close(self._folder(path, make=True))

    def move(self, source: str, target: str) -> None:
        above, _, name = source.rpartition("/")
        target_above, _, target_name = target.rpartition("/")
        folder = self._folder(above)
        try:
            there = self._folder(target_above, make=True)
            try:
                _rename(folder, name, there, target_name, target)
            finally:
                os.close(there)
        finally:
            os.close(folder)

    def undo_half_move(self, source: str, target: str) -> None:
        first, second = self._identity(source), self._identity(target)
        if first is not None and first == second:
            self.remove_file(target)

    def _identity(self, path: str) -> tuple[int, int] | None:
        """Device and number of a file: the same for all its names. None where there is none, or no file."""
        found = self._stat(path)
        return None if found is None or stat.S_ISDIR(found.st_mode) else (found.st_dev, found.st_ino)

    def _stat(self, path: str) -> os.stat_result | None:
        """What is there, of a link itself; None where there is nothing."""
        above, _, name = path.rpartition("/")
        try:
            folder = self._folder(above)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return os.stat(name or ".", dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        finally:
            os.close(folder)

    def remove_file(self, path: str) -> None:
        above, _, name = path.rpartition("/")
        folder = self._folder(above)
        try:
            os.unlink(name, dir_fd=folder)
        finally:
            os.close(folder)

    def remove_folder(self, path: str) -> bool:
        above, _, name = path.rpartition("/")
        folder = self._folder(above)
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        finally:
            os.close(folder)
        return True

    def _folder(self, path: str, *, make: bool = False) -> int:
        """The folder, open, reached from the root without following a link. The root itself is as it was declared."""
        if path and not set(path.split("/")).isdisjoint(("", ".", "..")):
            raise RefusedError(f"the path {path!r} is not inside {self._root}", "Give a path below it, without `..`.")
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        done = ""
        for part in path.split("/") if path else ():
            done = f"{done}/{part}"
            try:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, dir_fd=folder)
                inner = os.open(part, _FOLDER, dir_fd=folder)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(part, folder):
                    raise RefusedError(f"{self._root}{done} is a symbolic link, which is never followed",
                                       "It is kept. Put what it leads to in its place, or leave it.") from error
                raise
            finally:
                os.close(folder)
            folder = inner
        return folder


def _rename(folder: int, name: str, there: int, target_name: str, target: str) -> None:
    """A hard link and the removal of the old name: of all ways the one that overwrites nothing.

    Killed in between, the file has both names; whoever looks finds one file twice, and drops either name. A folder has
    no second name, and a file of another user may be refused one: those are renamed, after a look at the target.
    """
    is_folder = stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    if not is_folder:
        try:
            os.link(name, target_name, src_dir_fd=folder, dst_dir_fd=there, follow_symlinks=False)
        except PermissionError:
            is_folder = True  # /proc/sys/fs/protected_hardlinks
        else:
            os.unlink(name, dir_fd=folder)
            return
    with contextlib.suppress(FileNotFoundError):
        os.stat(target_name, dir_fd=there, follow_symlinks=False)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    os.rename(name, target_name, src_dir_fd=folder, dst_dir_fd=there)


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.FOLDER
    return Kind.LINK if stat.S_ISLNK(mode) else Kind.OTHER


def _is_link(name: str, folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _words(error: OSError) -> str:
    return error.strerror or type(error).__name__
