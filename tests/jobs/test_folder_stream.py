"""The stream over a folder, in this process: every file once, whole, whatever becomes of its driver."""

from __future__ import annotations

import gzip
import os
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import SparkSession

from hadoop_files import HadoopFiles
from planned_files import PlannedFiles
from streamops.adapters.sink.sink_reader import SinkReader
from streamops.adapters.sink.verifying import verify
from streamops.errors import BadRecordError, ConfigurationError, DataLossError, LeaseLostError
from streamops.state import batch_log, generations
from streamops.state.job_spec import FolderSpec, JobSpec

from .observing import counts, dying_at, entries, is_idle, until

if TYPE_CHECKING:
    from .conftest import OnHdfs, RunningStream

Spec = Callable[..., JobSpec]
Driver = Callable[..., "RunningStream"]

SOURCES = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:60]


def put(folder: Path, name: str, content: bytes) -> None:
    """A file that appears whole, as producers are told to do it."""
    aside = folder / f".{name}.part"
    aside.write_bytes(content)
    aside.rename(folder / name)


def words(contents: Iterable[bytes]) -> Counter[str]:
    """An independent count: bytes.splitlines knows the same ends of lines, and words are between single spaces."""
    lines = (line.decode(errors="replace") for content in contents for line in content.splitlines())
    return Counter(word for line in lines for word in line.split(" ") if word)


def test_real_sources_are_counted_to_the_last_word_over_three_drivers(
    spark: SparkSession, folder_spec: Spec, driver: Driver, files: HadoopFiles, folder: Path, tmp_path: Path
) -> None:
    assert len(SOURCES) == 60
    # Not by their own names: `__future__.py` would be hidden, as every name with a leading underscore is.
    contents = {f"source-{number}": path.read_bytes() for number, path in enumerate(SOURCES)}
    names = list(contents)

    def add(some: list[str]) -> None:
        for name in some:
            put(folder, name, contents[name])

    def expect(some: list[str]) -> None:
        expected = words(contents[name] for name in some)
        until(lambda: counts(spark, tmp_path) == expected, f"the count of {len(some)} files")

    add(names[:10])
    first = driver(folder_spec("folder_stream"), "driver-1")
    until(lambda: bool(entries(files)), "the first batch")
    add(names[10:20])
    expect(names[:20])
    add(names[20:30])
    first.stop()  # in the middle of whatever it does with the last ten
    add(names[30:40])
    second = driver(folder_spec("folder_stream"), "driver-2")
    expect(names[:40])
    add(names[40:50])
    second.stop()
    driver(folder_spec("folder_stream"), "driver-3")
    add(names[50:])
    expect(names)
    logged = entries(files)
    assert [entry.batch for entry in logged] == list(range(len(logged)))
    assert len({entry.output for entry in logged}) == len(logged), "each batch has a folder of its own"
    assert {entry.ranges for entry in logged} == {()}


def test_a_batch_that_is_run_again_reads_the_same_files(
    spark: SparkSession, folder_spec: Spec, driver: Driver, files: HadoopFiles, folder: Path, tmp_path: Path
) -> None:
    put(folder, "first", b"one two\n")
    with dying_at("_append"):  # between the output and the log
        assert isinstance(driver(folder_spec("folder_stream"), "driver-1").join(), LeaseLostError)
    put(folder, "second", b"two three\n")
    driver(folder_spec("folder_stream"), "driver-2")
    until(lambda: len(entries(files)) == 2, "both batches")
    assert [(entry.batch, entry.rows) for entry in entries(files)] == [(0, 2), (1, 2)]
    assert counts(spark, tmp_path) == {"one": 1, "two": 2, "three": 1}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"a b\r\nb c\r\n", {"a": 1, "b": 2, "c": 1}, id="CRLF"),
        pytest.param(b"a b\rb", {"a": 1, "b": 2}, id="CR, and no end of the last line"),
        pytest.param(b"  a  b \n\n   \nb", {"a": 1, "b": 2}, id="blanks and empty lines"),
        pytest.param(b"\xfc \xff\xfe \xfc\n", {"\ufffd": 2, "\ufffd\ufffd": 1}, id="not UTF-8"),
        pytest.param("Grüße 日本 Grüße\n".encode(), {"Grüße": 2, "日本": 1}, id="UTF-8"),
        pytest.param(b"a\0b \x0bc\x0c\n", {"a\0b": 1, "\x0bc\x0c": 1}, id="control characters"),
        pytest.param(b"x" * 200_000 + b" y", {"x" * 200_000: 1, "y": 1}, id="a very long word"),
    ],
)
def test_odd_files(
    spark: SparkSession, folder_spec: Spec, driver: Driver, folder: Path, tmp_path: Path,
    content: bytes, expected: dict[str, int],
) -> None:
    put(folder, "odd", content)
    driver(folder_spec("folder_stream"))
    until(lambda: counts(spark, tmp_path) == expected, "the count")
    assert words([content]) == expected


def test_a_compressed_file_is_read_by_its_ending(
    spark: SparkSession, folder_spec: Spec, driver: Driver, folder: Path, tmp_path: Path
) -> None:
    put(folder, "text.gz", gzip.compress(b"a b\n"))
    driver(folder_spec("folder_stream"))
    until(lambda: counts(spark, tmp_path) == {"a": 1, "b": 1}, "the count")


def test_an_empty_batch_is_logged_and_not_saved(
    spark: SparkSession, folder_spec: Spec, driver: Driver, files: HadoopFiles, folder: Path, tmp_path: Path
) -> None:
    put(folder, "empty", b"")
    driver(folder_spec("folder_stream"))
    until(lambda: len(entries(files)) == 1, "the batch with the empty file")
    put(folder, "blanks", b"  \n\n")
    until(lambda: len(entries(files)) == 2, "the batch with lines and no words")
    put(folder, "text", b"a\n")
    until(lambda: len(entries(files)) == 3, "the batch with a word")
    assert [(entry.rows, entry.output) for entry in entries(files)] == [
        (0, None), (0, None), (1, "generation=1/batch=2")]
    kept = [path.name for path in (tmp_path / "state/output").rglob("*") if path.name.startswith("batch=")]
    assert kept == ["batch=2"]
    assert files.names("output/_aside") == []


def test_a_file_in_the_making_is_not_read(
    spark: SparkSession, folder_spec: Spec, driver: Driver, files: HadoopFiles, folder: Path, tmp_path: Path
) -> None:
    for name in (".text.part", "_text.part"):
        (folder / name).write_bytes(b"half")
    (folder / "below").mkdir()
    (folder / "below" / "text").write_bytes(b"below")
    driver(folder_spec("folder_stream"))
    put(folder, "text", b"whole\n")
    until(lambda: bool(entries(files)), "the batch")
    put(folder, "more", b"more\n")
    until(lambda: counts(spark, tmp_path) == {"whole": 1, "more": 1}, "both files")


def test_a_file_with_an_old_date_is_read(
    spark: SparkSession, folder_spec: Spec, driver: Driver, folder: Path, tmp_path: Path
) -> None:
    put(folder, "new", b"new\n")
    driver(folder_spec("folder_stream"))
    until(lambda: counts(spark, tmp_path) == {"new": 1}, "the new file")
    aside = folder / ".old"
    aside.write_bytes(b"old\n")
    os.utime(aside, (86_400 * 365, 86_400 * 365))  # of 1971, as `cp -p` would bring it
    aside.rename(folder / "old")
    until(lambda: counts(spark, tmp_path) == {"new": 1, "old": 1}, "the old file")


def test_a_folder_without_files_lets_the_beat_say_idle(folder_spec: Spec, driver: Driver, files: HadoopFiles) -> None:
    driver(folder_spec("folder_stream"))
    until(lambda: is_idle(files), "the idle beat")
    assert entries(files) == []


def test_a_folder_that_is_not_there_ends_the_job(folder_spec: Spec, driver: Driver, tmp_path: Path) -> None:
    nowhere = FolderSpec((tmp_path / "nowhere").as_uri())
    ended_with = driver(folder_spec("folder_stream", folder=nowhere)).join()
    assert isinstance(ended_with, ConfigurationError)
    assert f"there is no folder {nowhere.path}" in str(ended_with)


def test_a_file_that_is_taken_away_before_it_was_read_ends_the_job(
    folder_spec: Spec, driver: Driver, files: HadoopFiles, folder: Path
) -> None:
    put(folder, "taken", b"a\n")
    with dying_at("_prepare"):  # before it reads the file
        driver(folder_spec("folder_stream"), "driver-1").join()
    (folder / "taken").unlink()
    ended_with = driver(folder_spec("folder_stream"), "driver-2").join()
    assert isinstance(ended_with, DataLossError)
    assert "taken" in str(ended_with)
    assert entries(files) == []
    put(folder, "taken", b"a\n")
    driver(folder_spec("folder_stream"), "driver-3")
    until(lambda: len(entries(files)) == 1, "the batch, with the file back in its place")


def test_a_line_that_the_transform_cannot_process_ends_the_job_with_the_files_name(
    folder_spec: Spec, driver: Driver, files: HadoopFiles, folder: Path, as_number: str
) -> None:
    for name in ("first", "second", "third"):
        put(folder, name, b"oops\n" if name == "second" else b"1\n")
    ended_with = driver(folder_spec("folder_stream", transform=as_number)).join()
    assert isinstance(ended_with, BadRecordError)
    assert f"{folder}/second" in str(ended_with)
    assert entries(files) == []


def test_lines_have_the_columns_of_records(
    spark: SparkSession, folder_spec: Spec, driver: Driver, files: HadoopFiles, folder: Path, tmp_path: Path
) -> None:
    put(folder, "text", b"a l\xefne\r\n")
    running = driver(folder_spec("folder_stream", transform="identity"))
    until(lambda: bool(entries(files)), "the batch")
    of_kafka = (
        spark.readStream.format("kafka").option("kafka.bootstrap.servers", "127.0.0.1:1").option("subscribe", "t")
        .option("includeHeaders", "true").load().schema
    )
    generation = generations.Generation("p", 1, "folder_stream", {}, "", "")
    schema = running.stream.frame(generation).schema
    assert [(field.name, field.dataType) for field in schema] == [(field.name, field.dataType) for field in of_kafka]
    (row,) = spark.read.parquet((tmp_path / "state/output").as_uri()).collect()
    assert bytes(row["value"]) == b"a l\xefne", "the bytes are those of the file"
    assert row["topic"] == f"file:{folder}/text"
    assert (row["key"], row["partition"], row["offset"], row["timestampType"], row["headers"]) == (None, 0, 0, 0, None)


def test_the_files_of_every_batch_are_known_from_the_checkpoint(
    spark: SparkSession, folder_spec: Spec, driver: Driver, files: HadoopFiles, folder: Path
) -> None:
    """More batches than Spark keeps in logs of their own: it puts ten of them into one."""
    driver(folder_spec("folder_stream"))
    for number in range(12):
        put(folder, f"file {number}%", b"a\n")
        until(lambda wanted=number + 1: len(entries(files)) == wanted, f"batch {number}")  # type: ignore[misc]
    conf = spark.sparkContext._jsc.hadoopConfiguration()
    planned = PlannedFiles(spark._jvm, conf, files, generations.Generation("p", 1, "folder_stream", {}, "", ""))
    assert any(name.endswith(".compact") for name in files.names("checkpoint/000001/sources/0"))
    for number in range(12):
        (url,) = planned.of(number)
        assert url.endswith(f"/file%20{number}%25")
        planned.require(number)
    (folder / "file 3%").unlink()
    with pytest.raises(DataLossError, match="batch 3"):
        planned.require(3)


@pytest.mark.long
def test_a_folder_on_hdfs_with_its_state_beside_it(
    spark: SparkSession, folder_spec: Spec, driver: Driver, on_hdfs: OnHdfs
) -> None:
    state, incoming = on_hdfs.files.url, f"{on_hdfs.files.url}/incoming"
    on_hdfs.files.write_new("incoming/first", "a b\n")
    spec = folder_spec(
        "folder_stream", state_url=state, output_url=f"{state}/output", folder=FolderSpec(incoming)
    )
    first = driver(spec, "driver-1")
    until(lambda: len(entries(on_hdfs.files)) == 1, "the first batch")
    first.stop()
    on_hdfs.state_files.replace("incoming/second", "b\n")
    driver(spec, "driver-2")
    until(lambda: len(entries(on_hdfs.files)) == 2, "the second batch")
    logged = list(batch_log.entries(on_hdfs.state_files, 1))
    assert SinkReader(on_hdfs.state_files).word_counts(logged) == {b"a": 1, b"b": 2}
    assert verify("p", on_hdfs.state_files).sound
