"""How each kind of file system creates a file exclusively and replaces one whole.

Three kinds, by the scheme of the URL:

    file:            a temporary file in the same directory, then a hard link (fails where the name is taken) or rename
    hdfs: webhdfs:   over WebHDFS: a temporary file, then the NameNode's rename, without or with overwriting
    s3: and others   one conditional PUT, as fsspec's `mode="create"` does it; an object appears whole or not at all

Every method takes paths inside the file system, without a scheme. They raise FileNotFoundError for a missing file and
leave every other error as the library raised it; `StateFiles` words them.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast
from urllib.parse import urlsplit

import fsspec

from streamops.errors import ConfigurationError

#: The NameNode's HTTP port since Hadoop 3 (`dfs.namenode.http-address`). An hdfs: URL names its RPC port instead.
NAMENODE_HTTP_PORT = 9870

#: Seconds until one HTTP request to HDFS is given up; fsspec's client has no limit of its own.
HDFS_TIMEOUT_S = 30.0


#: Files on HDFS and object stores up to this size are read whole; of larger ones (a write-ahead log's segment may have
#: gigabytes) as much as is looked at, on HDFS in requests of a range each.
WHOLE_BYTES, HDFS_RANGE_BYTES = 8 * 2**20, 2**18

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class FileStore(Protocol):
    """One file system, with the two ways of writing that state needs."""

    def read(self, path: str) -> bytes: ...

    def open(self, path: str) -> BinaryIO:
        """The file for reading at any place in it, as Parquet wants it."""

    def names(self, directory: str) -> list[str]: ...

    def size(self, path: str) -> int: ...

    def sizes(self, directory: str) -> dict[str, int]:
        """Bytes of each file in a directory by its name, in one listing; what is said of a directory in it is void."""

    def create(self, path: str, content: bytes) -> bool:
        """Write a file that is not there yet, whole; False when it is there."""

    def replace(self, path: str, content: bytes) -> None: ...

    def delete(self, path: str) -> None: ...


def open_store(url: str, options: Mapping[str, Any]) -> tuple[FileStore, str]:
    """The store of a URL, and the path of the URL inside it.

    `options` go to fsspec's file system, for example {"host": "nn1", "port": 9870, "user": "etl"} for hdfs, or
    {"key": …, "secret": …, "endpoint_url": …} for s3. An hdfs: URL names the port that Spark uses, so WebHDFS takes
    its port from the options, or the default one.
    """
    parts = urlsplit(url)
    match parts.scheme:
        case "" | "file":
            if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or set(url) & set("%?#"):
                # Hadoop reads an escape such as %20 as three characters, so there is no form that both understand.
                raise ConfigurationError(
                    f"the storage URL {url!r} is no absolute path on this machine, or has one of %?# in it",
                    "Write it as file:///absolute/path, with spaces as they are.",
                )
            return LocalStore(), parts.path.rstrip("/")
        case "hdfs" | "webhdfs":
            port = parts.port if parts.scheme == "webhdfs" else None
            reached = {"host": parts.hostname, "port": port or NAMENODE_HTTP_PORT, **options}
            return HdfsStore(fsspec.filesystem("webhdfs", **reached)), parts.path.rstrip("/")
        case scheme:
            try:
                # Listings are not cached: other processes write here.
                filesystem = fsspec.filesystem(scheme, **{"use_listings_cache": False, **options})
            except (ImportError, ValueError) as error:
                raise ConfigurationError(
                    f"storage with {scheme}: URLs is not available: {error}",
                    "Install the package of that file system (s3fs for s3:), or use a file: or hdfs: URL.",
                ) from error
            return ObjectStore(filesystem), f"{parts.netloc}{parts.path}".rstrip("/")


class LocalStore:
    """Files on this machine, or on a mounted disk that has hard links."""

    def read(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def open(self, path: str) -> BinaryIO:
        return Path(path).open("rb")

    def names(self, directory: str) -> list[str]:
        return os.listdir(directory)  # noqa: PTH208  # names are wanted, thousands of Path objects are not

    def size(self, path: str) -> int:
        return Path(path).stat().st_size

    def sizes(self, directory: str) -> dict[str, int]:
        found = {}
        with os.scandir(directory) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # cleaned while it is listed
                    found[entry.name] = entry.stat().st_size
        return found

    def create(self, path: str, content: bytes) -> bool:
        target = Path(path)
        with self._temporary(target, content) as temporary:
            if not target.exists():
                _drop_checksum(target)
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
        return True

    def replace(self, path: str, content: bytes) -> None:
        target = Path(path)
        with self._temporary(target, content) as temporary:
            _drop_checksum(target)
            temporary.replace(target)

    def delete(self, path: str) -> None:
        _drop_checksum(Path(path))
        Path(path).unlink()

    @staticmethod
    @contextlib.contextmanager
    def _temporary(target: Path, content: bytes) -> Iterator[Path]:
        """A file beside `target` that holds `content`, on the disk; it is gone afterwards."""
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(_temporary_name(target.name))
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


class HdfsStore:
    """HDFS through WebHDFS.

    Reads and writes go past fsspec's file objects, which overwrite whatever is there and take an error page of a
    DataNode for the file's content.
    """

    def __init__(self, filesystem: Any) -> None:
        session = filesystem.session
        if not isinstance(session.request, functools.partial):  # fsspec hands out one instance for equal arguments
            session.request = functools.partial(session.request, timeout=HDFS_TIMEOUT_S)
        if urlsplit(filesystem.url).hostname in _LOOPBACK:
            session.trust_env = False  # a proxy of the environment does not know this machine by that name
        self.filesystem = filesystem

    def read(self, path: str, **part: str) -> bytes:
        """The whole file, or the part that WebHDFS's `offset` and `length` say."""
        answer = self.filesystem._call("OPEN", path=path, redirect=False, **part)
        if location := answer.headers.get("Location"):
            answer = _accepted(self.filesystem.session.get(self.filesystem._apply_proxy(location)))
        return bytes(answer.content)

    def open(self, path: str) -> BinaryIO:
        size = self.size(path)
        if size <= WHOLE_BYTES:
            return io.BytesIO(self.read(path))
        return cast(BinaryIO, io.BufferedReader(_HdfsRanges(self, path, size), HDFS_RANGE_BYTES))

    def names(self, directory: str) -> list[str]:
        listed = self.filesystem._call("LISTSTATUS", path=directory).json()["FileStatuses"]["FileStatus"]
        return [status["pathSuffix"] for status in listed]

    def size(self, path: str) -> int:
        return int(self.filesystem.info(path)["size"])

    def sizes(self, directory: str) -> dict[str, int]:
        listed = self.filesystem._call("LISTSTATUS", path=directory).json()["FileStatuses"]["FileStatus"]
        return {status["pathSuffix"]: int(status["length"]) for status in listed}

    def create(self, path: str, content: bytes) -> bool:
        with self._temporary(path, content) as temporary:
            # Without options the NameNode refuses to rename onto a file, and says so with `false`.
            answer = self.filesystem._call("RENAME", method="put", path=temporary, destination=path)
            return bool(answer.json()["boolean"])

    def replace(self, path: str, content: bytes) -> None:
        with self._temporary(path, content) as temporary:
            self.filesystem._call("RENAME", method="put", path=temporary, destination=path, renameoptions="OVERWRITE")

    def delete(self, path: str) -> None:
        if not self.filesystem._call("DELETE", method="delete", path=path, recursive="false").json()["boolean"]:
            raise FileNotFoundError(path)

    @contextlib.contextmanager
    def _temporary(self, path: str, content: bytes) -> Iterator[str]:
        """A file beside `path` that holds `content`; unless it is renamed, it is gone afterwards."""
        parent, _, name = path.rpartition("/")
        temporary = f"{parent}/{_temporary_name(name)}"
        try:
            # The NameNode makes the directories above. The answer names a DataNode, which takes the content.
            answer = self.filesystem._call("CREATE", method="put", path=temporary, redirect=False, overwrite="false")
            location = self.filesystem._apply_proxy(answer.headers["Location"])
            headers = {"content-type": "application/octet-stream"}
            _accepted(self.filesystem.session.put(location, data=content, headers=headers))
            yield temporary
        finally:
            with contextlib.suppress(OSError, RuntimeError):  # what it failed with is what the caller must know
                self.filesystem._call("DELETE", method="delete", path=temporary, recursive="false")


class _HdfsRanges(io.RawIOBase):
    """A large file on HDFS, of which as much is fetched as is read."""

    def __init__(self, store: HdfsStore, path: str, size: int) -> None:
        self._store, self._path, self._size, self._at = store, path, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        part = self._store.read(self._path, offset=str(self._at), length=str(length))
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


#: Libraries below fsspec whose errors of the network are none of Python's own.
_FOREIGN = ("aiobotocore", "aiohttp", "botocore")


class _Translated:
    """A file system of fsspec's that raises OSError where a library below it raises what only it knows."""

    def __init__(self, filesystem: Any) -> None:
        self._filesystem = filesystem

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._filesystem, name)
        return functools.partial(self._call, found) if callable(found) else found

    @staticmethod
    def _call(method: Any, *given: Any, **options: Any) -> Any:
        try:
            return method(*given, **options)
        except Exception as error:
            if isinstance(error, OSError) or not type(error).__module__.startswith(_FOREIGN):
                raise
            raise OSError(f"{type(error).__name__}: {error}") from error


class ObjectStore:
    """S3 and whatever else fsspec writes in one exclusive request (S3: `If-None-Match: *`)."""

    def __init__(self, filesystem: Any) -> None:
        self.filesystem = _Translated(filesystem)
        self._is_exclusive = False  # once it has been seen that a second one is refused

    def read(self, path: str) -> bytes:
        return bytes(self.filesystem.cat_file(path))

    def open(self, path: str) -> BinaryIO:
        if self.size(path) <= WHOLE_BYTES:
            return io.BytesIO(self.read(path))
        return cast(BinaryIO, self.filesystem.open(path, "rb"))

    def names(self, directory: str) -> list[str]:
        return [name.rstrip("/").rpartition("/")[2] for name in self.filesystem.ls(directory, detail=False)]

    def size(self, path: str) -> int:
        return int(self.filesystem.size(path))

    def sizes(self, directory: str) -> dict[str, int]:
        listed = self.filesystem.ls(directory, detail=True)
        return {each["name"].rstrip("/").rpartition("/")[2]: int(each["size"] or 0) for each in listed}

    def create(self, path: str, content: bytes) -> bool:
        """As FileStore says. Raises ConfigurationError for a server that takes a file twice: nothing excludes there."""
        if not self._created(path, content):
            self._is_exclusive = True
            return False
        if not self._is_exclusive and self._created(path, content):
            raise ConfigurationError(
                f"the object store takes {path} a second time although it is there: it ignores conditional writes, and "
                "so nothing keeps two drivers, or two cleanups, apart",
                "Use a server that honours `If-None-Match: *` (AWS S3 does), or keep state on file: or hdfs:.",
            )
        self._is_exclusive = True
        return True

    def _created(self, path: str, content: bytes) -> bool:
        try:
            self.filesystem.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            code = _refusal(error)
            if code == "PreconditionFailed":  # of which s3fs makes an invalid argument
                return False
            if code == "NotImplemented":
                raise ConfigurationError(
                    f"the object store does not take a conditional write: {error}",
                    "Use a server that honours `If-None-Match: *`. One that knows that, but not the checksums of newer "
                    'clients, wants {"config_kwargs": {"request_checksum_calculation": "when_required"}} in the '
                    "connection's `options`.",
                ) from error
            raise
        return True

    def replace(self, path: str, content: bytes) -> None:
        self.filesystem.pipe_file(path, content, mode="overwrite")

    def delete(self, path: str) -> None:
        self.filesystem.rm_file(path)


def _refusal(error: OSError) -> str | None:
    """The code of S3's own with which a request was refused, for example `PreconditionFailed`; s3fs keeps it aside."""
    response = getattr(error.__cause__, "response", None)
    return response.get("Error", {}).get("Code") if isinstance(response, dict) else None


def _accepted(answer: Any) -> Any:
    """A DataNode's answer, when it is no refusal; else what it says, which its status does not tell."""
    if answer.ok:
        return answer
    try:
        refusal = answer.json()["RemoteException"]
    except (ValueError, KeyError, TypeError):
        answer.raise_for_status()
    kinds = {"FileNotFoundException": FileNotFoundError, "ParentNotDirectoryException": NotADirectoryError}
    raise kinds.get(refusal["exception"], OSError)(f"{refusal['exception']}: {refusal['message']}")


def _temporary_name(name: str) -> str:
    # The dot hides it from listings, Spark's as well as ours.
    return f".{name}.{secrets.token_hex(8)}.tmp"


def _drop_checksum(target: Path) -> None:
    """Remove the checksum that Hadoop's local file system wrote beside a file that is about to change.

    It goes first: a file without one is read unchecked, a file with a wrong one is an error to Spark.
    """
    target.with_name(f".{target.name}.crc").unlink(missing_ok=True)
