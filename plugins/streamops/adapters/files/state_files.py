"""Reading and writing the small files of a pipeline's state directory, wherever it is.

    files = StateFiles.at(connection("streamops_storage"), "lines_direct")
    files.read("generations/000001.json")            # the text, or None
    files.names("batch_log/000001")                  # [] where there is no such directory
    files.write_new("generations/000002.json", text) # False when somebody else was first

What Spark writes there, it writes through Hadoop's file systems; both see the same files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from streamops.adapters.files.storage_options import StorageConnection, storage_options
from streamops.adapters.files.stores import FileStore, open_store
from streamops.errors import ConfigurationError, RefusedError, StateError, UnavailableError


class StateFiles:
    """The files below one directory. Paths are relative to it, with `/` between parts, and never leave it.

    Raises UnavailableError where the storage does not answer, ConfigurationError where it denies access, StateError
    where what is there is no text file, RefusedError for a path that leaves the directory.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        self.url = url.rstrip("/")
        self._options = dict(options or {})
        self._store: FileStore
        self._store, self._root = open_store(self.url, self._options)

    @classmethod
    def at(cls, storage: StorageConnection, state_directory: str) -> StateFiles:
        """The state directory of a pipeline, below the URL of the storage connection."""
        url = storage.extra.get("url")
        if not isinstance(url, str) or not url:
            raise ConfigurationError(
                f"the storage connection {storage.conn_id!r} has no `url` in its extra",
                'Give it one, for example {"url": "file:///var/lib/streams"}.',
            )
        return cls(f"{url.rstrip('/')}/{_inside(state_directory)}", storage_options(storage))

    def under(self, directory: str) -> StateFiles:
        """The files below a directory of this one."""
        return StateFiles(f"{self.url}/{_inside(directory)}", self._options)

    def read(self, path: str) -> str | None:
        """The file's text, or None where there is no such file."""
        with self._worded("read", path):
            try:
                return self._store.read(self._absolute(path)).decode()
            except FileNotFoundError:
                return None

    def open(self, path: str) -> BinaryIO | None:
        """The file, open for reading its bytes, or None where there is no such file."""
        with self._worded("read", path):
            try:
                return self._store.open(self._absolute(path))
            except FileNotFoundError:
                return None

    def names(self, directory: str) -> list[str]:
        """The names in a directory, in no order; empty where there is no such directory.

        Hidden files are left out: temporary ones, and the checksums of Hadoop's local file system.
        """
        with self._worded("list", directory):
            try:
                return [name for name in self._store.names(self._absolute(directory)) if not name.startswith(".")]
            except FileNotFoundError:
                return []

    def exists(self, path: str) -> bool:
        return self.size(path) is not None

    def size(self, path: str) -> int | None:
        """Bytes in the file, or None where there is no such file."""
        with self._worded("look at", path):
            try:
                return self._store.size(self._absolute(path))
            except FileNotFoundError:
                return None

    def sizes(self, directory: str) -> dict[str, int]:
        """Bytes of each file in a directory by its name; empty where there is no such directory."""
        with self._worded("list", directory):
            try:
                found = self._store.sizes(self._absolute(directory))
            except FileNotFoundError:
                return {}
        return {name: size for name, size in found.items() if not name.startswith(".")}

    def write_new(self, path: str, text: str) -> bool:
        """Create a file whole, for exactly one of all who try; False when it is there already."""
        with self._worded("write", path):
            return self._store.create(self._absolute(path), text.encode())

    def replace(self, path: str, text: str) -> None:
        """Write a file whole, whether it is there or not; a reader sees the old text or the new one."""
        with self._worded("write", path):
            self._store.replace(self._absolute(path), text.encode())

    def delete(self, path: str) -> None:
        """Remove a file; nothing happens where there is none."""
        with self._worded("delete", path), contextlib.suppress(FileNotFoundError):
            self._store.delete(self._absolute(path))

    def _absolute(self, path: str) -> str:
        return f"{self._root}/{_inside(path)}"

    @contextlib.contextmanager
    def _worded(self, verb: str, path: str) -> Iterator[None]:
        """Word what the storage's libraries raise; their own messages can be pages long."""
        try:
            yield
        except PermissionError as error:
            raise ConfigurationError(
                f"may not {verb} {self.url}/{path}: {_short(error)}",
                "Grant access to the user that runs streamops, or correct the storage connection.",
            ) from error
        except UnicodeDecodeError as error:
            raise StateError(
                f"{self.url}/{path} is not text in UTF-8",
                "Something else changed this file. Restore it from a copy.",
            ) from error
        except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
            raise StateError(
                f"cannot {verb} {self.url}/{path}: {_short(error)}",
                "A file is where a directory belongs, or the other way round. Move away what is in the way.",
            ) from error
        except (OSError, RuntimeError) as error:  # WebHDFS raises RuntimeError for a NameNode in standby or safe mode
            raise UnavailableError(
                f"cannot {verb} {self.url}/{path}: {_short(error)}",
                "See that the storage is up and has space, then try again.",
            ) from error


def _inside(path: str) -> str:
    """The path without needless parts, refused where it leaves the directory that it is relative to."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or not parts or "\\" in path or "\0" in path:
        raise RefusedError(
            f"the path {path!r} is not inside a state directory",
            "Give a path relative to the state directory, without `..`.",
        )
    return "/".join(parts)


def _short(error: BaseException, most: int = 200) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[:most]}…"
