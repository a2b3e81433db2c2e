"""StateFiles on a real local file system, and on fsspec's in-memory one for what object stores share."""

from __future__ import annotations

import os
import secrets
import stat
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.files.stores import ObjectStore
from streamops.errors import ConfigurationError, RefusedError, StateError, UnavailableError


@dataclass(frozen=True)
class Storage:
    conn_id: str = "streamops_storage"
    extra: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(params=["file", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> StateFiles:
    root = f"file://{tmp_path}/streams" if request.param == "file" else f"memory://streams-{secrets.token_hex(4)}"
    return StateFiles.at(Storage(extra={"url": root}), "lines_direct")


def test_a_file_is_read_as_it_was_written(files: StateFiles) -> None:
    assert files.read("generations/000001.json") is None
    assert files.size("generations/000001.json") is None
    assert not files.exists("generations/000001.json")

    assert files.write_new("generations/000001.json", "Grüße\n")

    assert files.read("generations/000001.json") == "Grüße\n"
    assert files.size("generations/000001.json") == 8
    assert files.exists("generations/000001.json")
    assert files.names("generations") == ["000001.json"]


def test_a_file_is_opened_for_its_bytes(files: StateFiles) -> None:
    assert files.open("part.parquet") is None
    files.replace("part.parquet", "PAR1")
    opened = files.open("part.parquet")
    assert opened is not None
    with opened:
        opened.seek(2)
        assert opened.read() == b"R1"


def test_names_of_a_directory_that_is_not_there_are_none(files: StateFiles) -> None:
    assert files.names("batch_log/000001") == []


def test_write_new_never_overwrites(files: StateFiles) -> None:
    assert files.write_new("lease/000001.json", "first")
    assert not files.write_new("lease/000001.json", "second")
    assert files.read("lease/000001.json") == "first"
    assert files.names("lease") == ["000001.json"]


def test_replace_and_delete(files: StateFiles) -> None:
    files.replace("head.json", "1")
    files.replace("head.json", "2")
    assert files.read("head.json") == "2"
    files.delete("head.json")
    files.delete("head.json")
    assert files.read("head.json") is None


def test_under_is_the_same_directory(files: StateFiles) -> None:
    files.replace("output/generation=1/batch=0/part", "x")
    assert files.under("output/generation=1").read("batch=0/part") == "x"


@pytest.mark.parametrize("path", ["../other/head.json", "a/../../b", "/etc/passwd", "", ".", "a\\b", "a\0b"])
def test_a_path_that_leaves_the_directory_is_refused(files: StateFiles, path: str) -> None:
    with pytest.raises(RefusedError, match="not inside a state directory"):
        files.read(path)
    with pytest.raises(RefusedError):
        files.write_new(path, "")


@pytest.mark.parametrize("directory", ["../lines", "/lines", ""])
def test_a_state_directory_outside_the_storage_is_refused(directory: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedError):
        StateFiles.at(Storage(extra={"url": f"file://{tmp_path}"}), directory)


def test_a_connection_without_url_says_what_to_add() -> None:
    with pytest.raises(ConfigurationError, match=r"'streamops_storage' has no `url`"):
        StateFiles.at(Storage(), "lines")


@pytest.mark.parametrize("url", ["file://streams/lines", "streams", "file:///my%20streams", "file:///a?b", "/a#b"])
def test_a_url_that_hadoop_would_read_otherwise_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="no absolute path"):
        StateFiles(url)


def test_a_scheme_without_its_package_says_so() -> None:
    with pytest.raises(ConfigurationError, match="nosuch: URLs is not available"):
        StateFiles("nosuch://bucket/lines")


class Careless(MemoryFileSystem):
    """An object store that knows no conditional writes, as older servers of S3 do not: they pass over the header."""

    protocol = "careless"

    def pipe_file(self, path: str, value: bytes, **_mode: Any) -> None:
        super().pipe_file(path, value)


def test_a_store_that_takes_a_file_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="ignores conditional writes") as refused:
        ObjectStore(Careless()).create(f"/{secrets.token_hex(4)}", b"mine")
    assert "If-None-Match" in refused.value.repair


class Refusing(MemoryFileSystem):
    """Refuses as s3fs does, which keeps the code of S3's own in the cause."""

    protocol = "refusing"
    code = ""

    def pipe_file(self, *_path: Any, **_mode: Any) -> None:
        cause = RuntimeError()
        cause.response = {"Error": {"Code": self.code}}  # type: ignore[attr-defined]
        raise OSError(22, "refused") from cause


def test_refusals_of_s3_are_told_apart() -> None:
    store = Refusing()
    store.code = "PreconditionFailed"
    assert not ObjectStore(store).create("/there", b"mine")
    store.code = "NotImplemented"
    with pytest.raises(ConfigurationError, match="does not take a conditional write"):
        ObjectStore(store).create("/there", b"mine")
    store.code = "SlowDown"
    with pytest.raises(OSError, match="refused"):
        ObjectStore(store).create("/there", b"mine")


def test_exactly_one_of_many_writers_creates_a_file(tmp_path: Path) -> None:
    files = StateFiles(f"file://{tmp_path}")
    together = threading.Barrier(8)
    won: list[int] = []

    def claim(who: int) -> None:
        together.wait()
        if files.write_new("lease/000001.json", f"{who}" * 100_000):
            won.append(who)

    threads = [threading.Thread(target=claim, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    assert files.read("lease/000001.json") == f"{won[0]}" * 100_000
    assert [path.name for path in (tmp_path / "lease").iterdir()] == ["000001.json"], "temporary files are left"


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    files = StateFiles(f"file://{tmp_path}")
    files.replace("beat.json", "a" * 200_000)
    done = threading.Event()

    def rewrite() -> None:
        for turn in range(100):
            files.replace("beat.json", "ab"[turn % 2] * 200_000)
        done.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    while not done.is_set():
        text = files.read("beat.json")
        assert text in ("a" * 200_000, "b" * 200_000)
    writer.join()


def test_a_checksum_of_hadoop_goes_before_the_file_changes(tmp_path: Path) -> None:
    files = StateFiles(f"file://{tmp_path}")
    for action in (lambda: files.replace("head.json", "2"), lambda: files.delete("head.json")):
        (tmp_path / "head.json").write_text("1")
        (tmp_path / ".head.json.crc").write_text("stale")
        assert files.names(".hidden") == []
        action()
        assert not (tmp_path / ".head.json.crc").exists()


def test_hidden_files_are_not_names(tmp_path: Path) -> None:
    files = StateFiles(f"file://{tmp_path}")
    files.replace("log/000000000001.json", "{}")
    (tmp_path / "log" / ".000000000001.json.crc").write_bytes(b"crc")
    (tmp_path / "log" / ".000000000002.json.0.tmp").write_bytes(b"")
    assert files.names("log") == ["000000000001.json"]


def test_a_file_in_the_way_of_a_directory_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "lease").write_text("")
    files = StateFiles(f"file://{tmp_path}")
    with pytest.raises(StateError, match="A file is where a directory belongs"):
        files.write_new("lease/000001.json", "")


def test_binary_content_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "head.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StateError, match="not text in UTF-8"):
        StateFiles(f"file://{tmp_path}").read("head.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_denied_access_is_for_a_person_to_correct(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed").chmod(0)
    try:
        with pytest.raises(ConfigurationError, match="may not list"):
            StateFiles(f"file://{tmp_path}").names("closed")
    finally:
        (tmp_path / "closed").chmod(stat.S_IRWXU)


def test_hdfs_that_does_not_answer_is_unavailable_in_few_words() -> None:
    # Port 1 on loopback: nothing listens there, so the connection is refused at once.
    files = StateFiles("hdfs://127.0.0.1:8020/streams/lines", {"port": 1})
    with pytest.raises(UnavailableError) as raised:
        files.read("head.json")
    assert raised.value.found.startswith("cannot read hdfs://127.0.0.1:8020/streams/lines/head.json: ")
    assert len(raised.value.found) < 300
