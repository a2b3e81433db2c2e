"""The state directory through Hadoop: exclusive, whole, and the same answers by both of its ways to write."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest
from py4j.protocol import Py4JJavaError

from hadoop_files import HadoopFiles
from streamops.stack.stack import Stack

if TYPE_CHECKING:
    from .conftest import OnHdfs


@pytest.fixture(params=["hard links", "CheckpointFileManager", "HDFS"])
def way(request: pytest.FixtureRequest, files: HadoopFiles) -> HadoopFiles:
    if request.param == "HDFS":
        on_hdfs: OnHdfs = request.getfixturevalue("on_hdfs")
        return on_hdfs.files
    if request.param == "CheckpointFileManager":
        files._local = None  # what every file system but `file:` uses
    return files


@pytest.fixture(params=["hard links", "HDFS"])
def shared(request: pytest.FixtureRequest, files: HadoopFiles) -> HadoopFiles:
    """Where drivers on several machines may write: what one of them creates, no other one does."""
    on_hdfs: OnHdfs | None = request.getfixturevalue("on_hdfs") if request.param == "HDFS" else None
    return on_hdfs.files if on_hdfs else files


def names(files: HadoopFiles, directory: str) -> list[str]:
    return sorted(name for name in files.names(directory) if not name.startswith("."))


def test_a_file_that_is_missing_reads_as_none(way: HadoopFiles) -> None:
    assert way.read("lease/000001.json") is None
    assert not way.exists("lease/000001.json")
    assert way.names("lease") == []


def test_what_is_written_is_read_back(way: HadoopFiles) -> None:
    assert way.write_new("a/b.json", "Grüße\n")
    assert way.read("a/b.json") == "Grüße\n"
    assert way.exists("a/b.json")
    assert names(way, "a") == ["b.json"]


def test_a_new_file_never_replaces_an_older_one(way: HadoopFiles) -> None:
    assert way.write_new("a.json", "first")
    assert not way.write_new("a.json", "second")
    assert way.read("a.json") == "first"


def test_replace_replaces(way: HadoopFiles) -> None:
    way.replace("a.json", "first")
    way.replace("a.json", "second")
    assert way.read("a.json") == "second"


def test_of_many_who_create_one_file_exactly_one_does(shared: HadoopFiles) -> None:
    for round_ in range(20):
        won = raced([partial(shared.write_new, f"lease/{round_}", str(who)) for who in range(8)])
        assert won.count(True) == 1
        assert shared.read(f"lease/{round_}") == str(won.index(True))
    assert len(shared.names("lease")) == 20, "what the losers wrote is left"


def test_of_many_who_publish_one_folder_exactly_one_does(shared: HadoopFiles) -> None:
    for round_ in range(5):
        for who in range(8):
            shared.write_new(f"_aside/{round_}-{who}/part", str(who))
        won = raced([partial(shared.publish_new, f"_aside/{round_}-{who}", f"output/{round_}") for who in range(8)])
        assert won.count(True) == 1
        assert names(shared, f"output/{round_}") == ["part"]
        assert shared.read(f"output/{round_}/part") == str(won.index(True))


def raced(calls: list[Callable[[], bool]]) -> list[bool]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda call: call(), calls))


def test_a_reader_never_sees_half_a_file(shared: HadoopFiles) -> None:
    shared.replace("beat.json", "0" * 100_000)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [shared.replace("beat.json", str(turn) * 100_000) for turn in range(10)])
        while not writing.done():
            text = shared.read("beat.json")
            assert text is not None, "a replaced file is there at every moment"
            assert (len(text), len(set(text))) == (100_000, 1)
        writing.result()


def test_a_folder_is_published_once(way: HadoopFiles) -> None:
    way.write_new("_aside/one/part", "one")
    way.write_new("_aside/two/part", "two")
    assert way.publish_new("_aside/one", "output/batch=1")
    assert not way.publish_new("_aside/two", "output/batch=1")
    assert way.read("output/batch=1/part") == "one"
    assert way.read("_aside/two/part") == "two"
    assert names(way, "output/batch=1") == ["part"], "a rename into the folder would have put `two` there"


def test_delete_takes_a_folder_whole_and_is_harmless_twice(way: HadoopFiles) -> None:
    way.write_new("a/b/c", "text")
    way.delete("a")
    way.delete("a")
    assert way.read("a/b/c") is None


def test_the_driver_and_the_command_line_see_the_same_files_on_hdfs(on_hdfs: OnHdfs) -> None:
    driver, outside = on_hdfs.files, on_hdfs.state_files
    assert driver.write_new("generations/000001.json", "Grüße")
    assert outside.read("generations/000001.json") == "Grüße"
    assert outside.size("generations/000001.json") == len("Grüße".encode())
    assert outside.names("generations") == ["000001.json"]
    assert not outside.write_new("generations/000001.json", "other")
    outside.replace("generations/000002.json", "two")
    assert not driver.write_new("generations/000002.json", "other")
    assert names(driver, "generations") == ["000001.json", "000002.json"]
    outside.delete("generations/000001.json")
    assert driver.read("generations/000001.json") is None


def test_exactly_one_of_a_driver_and_the_command_line_creates_a_file_on_hdfs(on_hdfs: OnHdfs) -> None:
    driver, outside = on_hdfs.files, on_hdfs.state_files
    for round_ in range(10):
        path = f"lease/{round_}"
        won = raced([partial(each.write_new, path, str(who)) for who, each in enumerate([driver, outside] * 3)])
        assert won.count(True) == 1
        assert outside.read(path) == driver.read(path) == str(won.index(True))


def test_a_block_on_hdfs_has_one_copy(on_hdfs: OnHdfs) -> None:
    """More of them are wanted in vain where there is one DataNode, and appending then fails."""
    on_hdfs.files.write_new("a", "text")
    stream = on_hdfs.files._file_system.create(on_hdfs.files.at("b"))
    stream.close()
    for name in ("a", "b"):
        assert on_hdfs.files._file_system.getFileStatus(on_hdfs.files.at(name)).getReplication() == 1


def test_what_a_writer_left_open_on_hdfs_can_be_read_to_its_end(on_hdfs: OnHdfs, stack: Stack) -> None:
    """The DataNode is killed while a file is open: what was flushed is there, and is read once the file is closed."""
    driver = on_hdfs.files
    driver.write_new("log/closed", "whole")
    stream = driver._file_system.create(driver.at("log/0/open"))
    stream.write(bytearray(b"flushed"))
    stream.hflush()
    datanode = stack.pid("hdfs-datanode")
    assert datanode is not None
    os.kill(datanode, signal.SIGKILL)
    while stack.pid("hdfs-datanode"):
        time.sleep(0.05)
    stack.up(["hdfs"])
    with pytest.raises(Py4JJavaError, match="Cannot obtain block length"):
        driver.read("log/0/open")
    driver.close_abandoned("log")
    assert driver.read("log/0/open") == "flushed"
    assert driver.read("log/closed") == "whole"
    driver.close_abandoned("nowhere")


@pytest.mark.parametrize("kind", ["LocalFileSystem", "RawLocalFileSystem"])
def test_on_a_local_disk_nothing_is_left_open(files: HadoopFiles, kind: str) -> None:
    files._file_system = getattr(files._jvm.org.apache.hadoop.fs, kind)()  # receivers that log have the raw one
    files._file_system.initialize(files.at("").toUri(), files._conf)
    files.write_new("log/closed", "whole")
    files.close_abandoned("log")
    assert files.read("log/closed") == "whole"
