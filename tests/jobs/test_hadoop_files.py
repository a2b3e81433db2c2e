"""The state directory through Hadoop: exclusive, whole, and the same answers by both of its ways to write."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hadoop_files import HadoopFiles


@pytest.fixture(params=["hard links", "CheckpointFileManager"])
def way(request: pytest.FixtureRequest, files: HadoopFiles) -> HadoopFiles:
    if request.param == "CheckpointFileManager":
        files._local = None  # what every file system but `file:` uses
    return files


def test_a_file_that_is_missing_reads_as_none(way: HadoopFiles) -> None:
    assert way.read("lease/000001.json") is None
    assert not way.exists("lease/000001.json")
    assert way.names("lease") == []


def test_what_is_written_is_read_back(way: HadoopFiles) -> None:
    assert way.write_new("a/b.json", "Grüße\n")
    assert way.read("a/b.json") == "Grüße\n"
    assert way.exists("a/b.json")
    assert [name for name in way.names("a") if not name.startswith(".")] == ["b.json"]


def test_a_new_file_never_replaces_an_older_one(way: HadoopFiles) -> None:
    assert way.write_new("a.json", "first")
    assert not way.write_new("a.json", "second")
    assert way.read("a.json") == "first"


def test_replace_replaces(way: HadoopFiles) -> None:
    way.replace("a.json", "first")
    way.replace("a.json", "second")
    assert way.read("a.json") == "second"


def test_of_many_who_create_one_file_exactly_one_does(files: HadoopFiles) -> None:
    for round_ in range(20):
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda who, to=f"lease/{round_}": files.write_new(to, str(who)), range(8)))
        assert won.count(True) == 1
        assert files.read(f"lease/{round_}") == str(won.index(True))


def test_a_folder_is_published_once(way: HadoopFiles, tmp_path: Path) -> None:
    way.write_new("_aside/one/part", "one")
    way.write_new("_aside/two/part", "two")
    assert way.publish_new("_aside/one", "output/batch=1")
    assert not way.publish_new("_aside/two", "output/batch=1")
    assert way.read("output/batch=1/part") == "one"
    assert way.read("_aside/two/part") == "two"
    assert not (tmp_path / "state/output/batch=1/two").exists()


def test_delete_takes_a_folder_whole_and_is_harmless_twice(way: HadoopFiles) -> None:
    way.write_new("a/b/c", "text")
    way.delete("a")
    way.delete("a")
    assert way.read("a/b/c") is None
