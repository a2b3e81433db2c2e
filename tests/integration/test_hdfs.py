"""State on a real HDFS: what the command line reads and writes there, servers that are killed, and a whole pipeline."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streamops.adapters.connections import Connection, connection
from streamops.adapters.files import stores
from streamops.adapters.files.state_files import StateFiles
from streamops.errors import StateError, UnavailableError
from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack

if TYPE_CHECKING:
    from .conftest import Streamops

pytestmark = pytest.mark.integration


@pytest.fixture
def files(hdfs: Connection) -> StateFiles:
    return StateFiles.at(hdfs, f"test-{uuid.uuid4().hex[:12]}/lines")


def test_a_file_is_read_as_it_was_written(files: StateFiles) -> None:
    assert files.read("generations/000001.json") is None
    assert files.size("generations/000001.json") is None
    assert files.names("generations") == []
    assert files.open("generations/000001.json") is None
    assert files.write_new("generations/000001.json", "Grüße\n")
    assert files.read("generations/000001.json") == "Grüße\n"
    assert files.size("generations/000001.json") == 8
    assert files.names("generations") == ["000001.json"]
    opened = files.open("generations/000001.json")
    assert opened is not None
    with opened:
        opened.seek(2)
        assert opened.read() == "üße\n".encode()


def test_of_a_large_file_as_much_is_read_as_is_looked_at(files: StateFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(stores, "HDFS_RANGE_BYTES", 100)
    text = "".join(f"{number:07d}\n" for number in range(1000))
    files.replace("large", text)
    opened = files.open("large")
    assert opened is not None
    with opened:
        assert opened.seek(0, os.SEEK_END) == 8000
        opened.seek(8 * 500)
        assert opened.read(16) == b"0000500\n0000501\n"
        opened.seek(-8, os.SEEK_END)
        assert opened.read() == b"0000999\n"
        opened.seek(0)
        assert opened.read().decode() == text


def test_an_empty_file_is_there(files: StateFiles) -> None:
    assert files.write_new("empty", "")
    assert files.read("empty") == ""
    assert files.exists("empty")


def test_names_with_signs_are_taken_as_they_are(files: StateFiles) -> None:
    for name in ("generation=1/batch=0/part-0.parquet", "a b", "50%25", "Grüße", "a+b", "a&b=c", "a~b,(c)"):
        files.replace(name, name)
        assert files.read(name) == name
    assert set(files.under("generation=1").names("batch=0")) == {"part-0.parquet"}


def test_write_new_never_overwrites_and_replace_does(files: StateFiles) -> None:
    assert files.write_new("lease/000001.json", "first")
    assert not files.write_new("lease/000001.json", "second")
    assert files.read("lease/000001.json") == "first"
    files.replace("lease/000001.json", "third")
    assert files.read("lease/000001.json") == "third"
    files.delete("lease/000001.json")
    files.delete("lease/000001.json")
    assert files.read("lease/000001.json") is None


def test_exactly_one_of_many_writers_creates_a_file(files: StateFiles) -> None:
    for round_ in range(10):
        path = f"lease/{round_}"
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda who, to=path: files.write_new(to, str(who) * 100_000), range(8)))
        assert won.count(True) == 1
        assert files.read(path) == str(won.index(True)) * 100_000
    assert len(files._store.names(files._absolute("lease"))) == 10, "temporary files are left"


def test_a_reader_never_sees_half_a_file(files: StateFiles) -> None:
    files.replace("beat.json", "a" * 200_000)
    done = threading.Event()

    def rewrite() -> None:
        try:
            for turn in range(30):
                files.replace("beat.json", "ab"[turn % 2] * 200_000)
        finally:
            done.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    while not done.is_set():
        assert files.read("beat.json") in ("a" * 200_000, "b" * 200_000)
    writer.join()


def test_more_files_than_a_listing_holds_are_all_named(files: StateFiles, hdfs: Connection) -> None:
    # The NameNode lists a thousand at a time.
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: files.replace(f"log/{number:05d}", ""), range(1100)))
    assert len(files.names("log")) == 1100


def test_a_file_in_the_way_of_a_directory_is_a_state_error(files: StateFiles) -> None:
    files.replace("lease", "")
    with pytest.raises(StateError, match="A file is where a directory belongs"):
        files.write_new("lease/000001.json", "")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose servers these tests kill."""
    made = Stack(StackSettings.on_free_ports(tmp_path_factory.mktemp("own-hdfs")))
    try:
        yield made
    finally:
        made.down()


@pytest.fixture
def own_files(own: Stack) -> StateFiles:
    own.up(["hdfs"])
    return StateFiles.at(connection("streamops_hdfs", own.environment()), f"test-{uuid.uuid4().hex[:12]}")


def killed(stack: Stack, *servers: str) -> None:
    """`kill -9`, and gone."""
    for server in servers:
        pid = stack.pid(server)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    while any(stack.pid(server) for server in servers):
        time.sleep(0.05)


def test_both_servers_are_optional_and_stop_without_a_trace(own: Stack, own_files: StateFiles) -> None:
    assert {status.name: status.state for status in own.status() if "hdfs" in status.name} == {
        "hdfs-namenode": "healthy",
        "hdfs-datanode": "healthy",
    }
    own_files.replace("kept", "over a clean stop")
    own.down(["hdfs"])
    assert not [status for status in own.status() if "hdfs" in status.name]
    own.up(["hdfs"])
    assert own_files.read("kept") == "over a clean stop"


@pytest.mark.parametrize(
    "servers",
    [("hdfs-datanode",), ("hdfs-namenode",), ("hdfs-namenode", "hdfs-datanode")],
    ids=["the DataNode", "the NameNode", "both"],
)
def test_files_outlive_kill_9(own: Stack, own_files: StateFiles, servers: tuple[str, ...]) -> None:
    own_files.replace("before", "b" * 100_000)
    killed(own, *servers)
    with pytest.raises(UnavailableError):
        own_files.replace("between", "")
    states = {status.name: status.state for status in own.status()}
    assert [states[server] for server in servers] == ["dead"] * len(servers)
    own.up(["hdfs"])
    assert own_files.read("before") == "b" * 100_000
    assert own_files.read("between") is None
    own_files.replace("after", "a" * 100_000)
    assert own_files.read("after") == "a" * 100_000
    assert sorted(own_files._store.names(own_files._root)) == ["after", "before"]


def test_an_interrupted_formatting_is_done_again(tmp_path: Path) -> None:
    stack = Stack(StackSettings.on_free_ports(tmp_path))
    (tmp_path / "hdfs" / "name.new" / "current").mkdir(parents=True)
    (tmp_path / "hdfs" / "name.new" / "current" / "VERSION").write_text("half")
    try:
        stack.up(["hdfs"])
        assert not (tmp_path / "hdfs" / "name.new").exists()
    finally:
        stack.down()


def test_a_pipeline_keeps_its_state_and_output_on_hdfs(
    spark_cluster: Stack, kafka: str, hdfs: Connection, streamops: Streamops, tmp_path: Path
) -> None:
    """Submitted to the cluster, read by every command, with nothing of it on this machine's own disk."""
    name = f"hdfs_{uuid.uuid4().hex[:8]}"
    declared = tmp_path / "pipelines.yaml"
    declared.write_text(
        "version: 1\n"
        f"topics: {{{name}: {{partitions: 2, replication: 1}}}}\n"
        "pipelines:\n"
        f"  {name}:\n"
        "    approach: direct\n"
        f"    topics: [{name}]\n"
        "    transform: word_count\n"
        "    sink: {type: parquet}\n"
        "    interval_s: 1\n"
        "    connections: {storage: streamops_hdfs}\n"
    )
    where = ("--pipelines", str(declared))
    streamops("topics", "apply", "--yes", *where)
    text = tmp_path / "text"
    text.write_text("".join(f"line {number} of the text\n" for number in range(500)))
    streamops("feed", "--topic", name, str(text))
    driver = streamops("submit", name, *where).stdout.strip()
    try:
        deadline = time.monotonic() + 300
        while json.loads(streamops("status", name, "--json", *where).stdout)["pipelines"][0]["lag_records"] != 0:
            assert time.monotonic() < deadline, "the text is not processed"
            time.sleep(1)
        expected = Counter(text.read_text().split())
        assert json.loads(streamops("counts", name, "--json", *where).stdout) == expected
        assert "the sink agrees" in streamops("verify", name, *where).stdout
        batch = json.loads(streamops("batches", name, "--json", *where).stdout.splitlines()[0])
        assert batch["driver"] == driver
    finally:
        streamops("drivers", "kill", driver, *where)
    assert not (spark_cluster.settings.streams / name).exists()
    part = StateFiles.at(hdfs, name)
    replication = part._store.filesystem.info(part._absolute("generations/000001.json"))["replication"]
    assert replication == 1, "the driver does not know the settings for clients"
