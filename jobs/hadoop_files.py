"""The pipeline's state directory as the driver sees it: through Hadoop's file systems.

A file is written aside and renamed, so it is there whole or not at all. Replacing is done by Spark's own
CheckpointFileManager. An exclusive file, or folder, is renamed without overwriting, which HDFS's NameNode does for just
one of all who try. On `file:` Hadoop looks for an older file and then renames, which two drivers can pass at the same
time; there it is a hard link, which the operating system makes for just one of them.
"""

from __future__ import annotations

import errno
import os
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from py4j.protocol import Py4JJavaError

from streamops.errors import UnavailableError

#: Seconds until a file that was left open is closed: a DataNode that lives takes part within a few heartbeats.
ABANDONED_S = 60.0

_MISSING = {"java.io.FileNotFoundException", "java.nio.file.NoSuchFileException"}
_EXISTS = {"org.apache.hadoop.fs.FileAlreadyExistsException", "java.nio.file.FileAlreadyExistsException"}


class HadoopFiles:
    """Files below one directory. Paths are relative to it, with `/` between parts."""

    def __init__(self, gateway: Any, hadoop_conf: Any, url: str) -> None:
        """`gateway` is py4j's, `hadoop_conf` Hadoop's settings; `url` is made when the first file is written."""
        self._gateway = gateway
        self._jvm = jvm = gateway.jvm
        self._conf = hadoop_conf
        self.url = url.rstrip("/")
        root = jvm.org.apache.hadoop.fs.Path(self.url)
        package = jvm.org.apache.spark.sql.execution.streaming.checkpointing
        self._manager = package.CheckpointFileManager.create(root, hadoop_conf)
        self._file_system = root.getFileSystem(hadoop_conf)
        # Hadoop takes a path as it is written, so `%20` is no blank here either.
        split = urlsplit(self.url)
        self._local = Path(split.path) if split.scheme in ("", "file") else None
        self._made: set[str] = set()

    def at(self, path: str) -> Any:
        """Hadoop's Path of a relative path."""
        return self._jvm.org.apache.hadoop.fs.Path(f"{self.url}/{path}")

    def read(self, path: str) -> str | None:
        """The file's text, or None where there is no such file."""
        if self._local is not None:
            try:
                return (self._local / path).read_text("utf-8")
            except FileNotFoundError:
                return None
        try:
            stream = self._manager.open(self.at(path))
        except Py4JJavaError as error:
            if _is(error, _MISSING):
                return None
            raise
        try:
            return str(self._jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
        finally:
            stream.close()

    def exists(self, path: str) -> bool:
        if self._local is not None:
            return (self._local / path).exists()
        return bool(self._manager.exists(self.at(path)))

    def names(self, directory: str) -> list[str]:
        """The names in a directory, in no order; empty where there is no such directory."""
        try:
            return [status.getPath().getName() for status in self._file_system.listStatus(self.at(directory))]
        except Py4JJavaError as error:
            if _is(error, _MISSING):
                return []
            raise

    def write_new(self, path: str, text: str) -> bool:
        """Create a file, whole; False, and nothing changed, when it is there already."""
        if self._local is not None:
            return self._link_new(self._local / path, text)
        parent, _, name = path.rpartition("/")
        aside = f"{parent}/.{name}.{uuid.uuid4().hex}.tmp".lstrip("/")
        stream = self._file_system.create(self.at(aside), False)
        try:
            stream.write(bytearray(text, "utf-8"))
        finally:
            stream.close()
        created = self._rename_new(aside, path)
        if not created:
            self._file_system.delete(self.at(aside), False)
        return created

    def replace(self, path: str, text: str) -> None:
        """Write a file, whole, over an older one."""
        if self._local is not None:
            target = self._local / path
            target.parent.mkdir(parents=True, exist_ok=True)
            aside = _write_aside(target, text)
            aside.replace(target)
            return
        parent = path.rpartition("/")[0]
        if parent not in self._made:
            self._file_system.mkdirs(self.at(parent))
            self._made.add(parent)
        stream = self._manager.createAtomic(self.at(path), True)
        try:
            stream.write(bytearray(text, "utf-8"))
            stream.close()
        except Exception:
            stream.cancel()
            raise

    def delete(self, path: str) -> None:
        """Delete a file or a directory with all that it holds; harmless when there is none."""
        self._file_system.delete(self.at(path), True)

    def close_abandoned(self, directory: str) -> None:
        """Close every file below a directory that a writer which is gone left open. Does nothing but on HDFS.

        There, the end of such a file cannot be read once its DataNode was started again ("Cannot obtain block length"),
        until the NameNode has closed it, which it does by itself only after up to 20 minutes. A writer that was merely
        thought dead is cut off by this. Raises UnavailableError when the DataNode does not take part in time.
        """
        if self._file_system.getUri().getScheme() != "hdfs" or not self._manager.exists(self.at(directory)):
            return
        found = self._file_system.listFiles(self.at(directory), True)
        paths = []
        while found.hasNext():
            paths.append(found.next().getPath())
        deadline = time.monotonic() + ABANDONED_S
        for path in paths:
            while not self._file_system.isFileClosed(path) and not self._file_system.recoverLease(path):
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"{path.toString()} was left open, and HDFS has not closed it within {ABANDONED_S:.0f} s",
                        "See that the DataNodes are up.",
                    )
                time.sleep(0.5)

    def publish_new(self, source: str, target: str) -> bool:
        """Rename the directory `source` to `target`; False, and nothing changed, when `target` is there already.

        One step on `file:` and HDFS. Object stores copy object by object.
        """
        if self._local is not None:
            (self._local / target).parent.mkdir(parents=True, exist_ok=True)
            try:
                # rename(2) puts a directory only in the place of an empty one.
                (self._local / source).rename(self._local / target)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    return False
                raise
            return True
        self._file_system.mkdirs(self.at(target).getParent())
        return self._rename_new(source, target)

    def _rename_new(self, source: str, target: str) -> bool:
        fs = self._jvm.org.apache.hadoop.fs
        context = fs.FileContext.getFileContext(self.at(target).toUri(), self._conf)
        options = self._gateway_array(fs.Options.Rename, fs.Options.Rename.NONE)
        try:
            context.rename(self.at(source), self.at(target), options)
        except Py4JJavaError as error:
            if _is(error, _EXISTS):
                return False
            raise
        return True

    def _gateway_array(self, element_class: Any, *elements: Any) -> Any:
        array = self._gateway.new_array(element_class, len(elements))
        for index, element in enumerate(elements):
            array[index] = element
        return array

    @staticmethod
    def _link_new(target: Path, text: str) -> bool:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = _write_aside(target, text)
        try:
            os.link(aside, target)
        except FileExistsError:
            return False
        finally:
            aside.unlink()
        return True


def _write_aside(target: Path, text: str) -> Path:
    """The text in a file beside `target`, on the disk before it is given its name (a crash leaves no empty file)."""
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    with aside.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    return aside


def _is(error: Py4JJavaError, names: set[str]) -> bool:
    return error.java_exception.getClass().getName() in names
