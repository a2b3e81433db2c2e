"""The stream over a folder, in this process: every file once, whole, whatever becomes of its driver."""

from __future__ import annotations

import gzip
import os
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from hadoop_files import HadoopFiles
from planned_files import PlannedFiles
from streamops import batch_log, generations, lease
from streamops.adapters.sink_reader import SinkReader
from streamops.batch_log import Entry
from streamops.cli.verify import verify
from streamops.errors import BadRecordError, ConfigurationError, DataLossError, LeaseLostError
from streamops.job_spec import FolderSpec, JobSpec
from streamops.lease import Beat, JobState

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


def counted(spark: SparkSession, tmp_path: Path) -> Counter[str]:
    if not list((tmp_path / "state" / "output").glob("generation=1/batch=*")):
        return Counter()
    rows = spark.read.parquet((tmp_path / "state/output").as_uri())
    return Counter({row[0]: row[1] for row in rows.groupBy("word").agg(F.sum("count")).collect()})


def until(holds: Callable[[], bool], what: str, timeout_s: float = 240) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s:.0f} s"
        time.sleep(0.1)


def logged(files: HadoopFiles) -> list[Entry]:
    return list(batch_log.entries(files, 1))


def ended(running: RunningStream) -> None:
    running.stream.stop_with(LeaseLostError("the test ends this driver"))
    running.join()


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
        until(lambda: counted(spark, tmp_path) == expected, f"the count of {len(some)} files")

    add(names[:10])
    first = driver(folder_spec("folder_stream"), "driver-1")
    until(lambda: bool(logged(files)), "the first batch")
    add(names[10:20])
    expect(names[:20])
    add(names[20:30])
    ended(first)  # in the middle of whatever it does with the last ten
    add(names[30:40])
    second = driver(folder_spec("folder_stream"), "driver-2")
    expect(names[:40])
    add(names[40:50])
    ended(second)
    driver(folder_spec("folder_stream"), "driver-3")
    add(names[50:])
    expect(names)
    entries = logged(files)
    assert [entry.batch for entry in entries] == list(range(len(entries)))
    assert len({entry.output for entry in entries}) == len(entries), "each batch has a folder of its own"
    assert {entry.ranges for entry in entries} == {()}


def test_a_batch_that_is_run_again_reads_the_same_files(
    spark: SparkSession, folder_spec: Spec, driver: Driver, files: HadoopFiles, folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from micro_batch import MicroBatches

    def dies(*_: object) -> None:
        raise LeaseLostError("the driver dies between the output and the log")

    put(folder, "first", b"one two\n")
    with monkeypatch.context() as patch:
        patch.setattr(MicroBatches, "_append", dies)
        assert isinstance(driver(folder_spec("folder_stream"), "driver-1").join(), LeaseLostError)
    put(folder, "second", b"two three\n")
    driver(folder_spec("folder_stream"), "driver-2")
    until(lambda: len(logged(files)) == 2, "both batches")
    assert [(entry.batch, entry.rows) for entry in logged(files)] == [(0, 2), (1, 2)]
    assert counted(spark, tmp_path) == {"one": 1, "two": 2, "three": 1}


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
    until(lambda: counted(spark, tmp_path) == expected, "the count")
    assert words([content]) == expected


def test_a_compressed_file_is_read_by_its_ending(
    spark: SparkSession, folder_spec: Spec, driver: Driver, folder: Path, tmp_path: Path
) -> None:
    put(folder, "text.gz", gzip.compress(b"a b\n"))
    driver(folder_spec("folder_stream"))
    until(lambda: counted(spark, tmp_path) == {"a": 1, "b": 1}, "the count")


def test_an_empty_batch_is_logged_and_not_saved(
    spark: SparkSession, folder_spec: Spec, driver: Driver, files: HadoopFiles, folder: Path, tmp_path: Path
) -> None:
    put(folder, "empty", b"")
    driver(folder_spec("folder_stream"))
    until(lambda: len(logged(files)) == 1, "the batch with the empty file")
    put(folder, "blanks", b"  \n\n")
    until(lambda: len(logged(files)) == 2, "the batch with lines and no words")
    put(folder, "text", b"a\n")
    until(lambda: len(logged(files)) == 3, "the batch with a word")
    assert [(entry.rows, entry.output) for entry in logged(files)] == [
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
    until(lambda: bool(logged(files)), "the batch")
    put(folder, "more", b"more\n")
    until(lambda: counted(spark, tmp_path) == {"whole": 1, "more": 1}, "both files")


def test_a_file_with_an_old_date_is_read(
    spark: SparkSession, folder_spec: Spec, driver: Driver, folder: Path, tmp_path: Path
) -> None:
    put(folder, "new", b"new\n")
    driver(folder_spec("folder_stream"))
    until(lambda: counted(spark, tmp_path) == {"new": 1}, "the new file")
    aside = folder / ".old"
    aside.write_bytes(b"old\n")
    os.utime(aside, (86_400 * 365, 86_400 * 365))  # of 1971, as `cp -p` would bring it
    aside.rename(folder / "old")
    until(lambda: counted(spark, tmp_path) == {"new": 1, "old": 1}, "the old file")


def test_a_folder_without_files_lets_the_beat_say_idle(folder_spec: Spec, driver: Driver, files: HadoopFiles) -> None:
    driver(folder_spec("folder_stream"))

    def idle() -> bool:
        text = files.read(lease.beat_path(1))
        return text is not None and Beat.from_json(text).state is JobState.IDLE

    until(idle, "the idle beat")
    assert logged(files) == []


def test_a_folder_that_is_not_there_ends_the_job(folder_spec: Spec, driver: Driver, tmp_path: Path) -> None:
    nowhere = FolderSpec((tmp_path / "nowhere").as_uri())
    ended_with = driver(folder_spec("folder_stream", folder=nowhere)).join()
    assert isinstance(ended_with, ConfigurationError)
    assert f"there is no folder {nowhere.path}" in str(ended_with)


def test_a_file_that_is_taken_away_before_it_was_read_ends_the_job(
    folder_spec: Spec, driver: Driver, files: HadoopFiles, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from micro_batch import MicroBatches

    def dies(*_: object) -> None:
        raise LeaseLostError("the driver dies before it reads the file")

    put(folder, "taken", b"a\n")
    with monkeypatch.context() as patch:
        patch.setattr(MicroBatches, "_prepare", dies)
        driver(folder_spec("folder_stream"), "driver-1").join()
    (folder / "taken").unlink()
    ended_with = driver(folder_spec("folder_stream"), "driver-2").join()
    assert isinstance(ended_with, DataLossError)
    assert "taken" in str(ended_with)
    assert logged(files) == []
    put(folder, "taken", b"a\n")
    driver(folder_spec("folder_stream"), "driver-3")
    until(lambda: len(logged(files)) == 1, "the batch, with the file back in its place")


@pytest.fixture
def as_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A team's own transform, which fails on a value that is no number."""
    import sys

    import transforms

    (tmp_path / "as_number.py").write_text(
        "from pyspark.sql import functions as F\n"
        "def transform(frame, batch):\n"
        "    return frame.select(F.col('value').cast('string').cast('int').alias('number'))\n"
    )
    monkeypatch.setattr(transforms, "__path__", [*transforms.__path__, str(tmp_path)])
    yield "as_number"
    sys.modules.pop("transforms.as_number", None)


def test_a_line_that_the_transform_cannot_process_ends_the_job_with_the_files_name(
    folder_spec: Spec, driver: Driver, files: HadoopFiles, folder: Path, as_number: str
) -> None:
    for name in ("first", "second", "third"):
        put(folder, name, b"oops\n" if name == "second" else b"1\n")
    ended_with = driver(folder_spec("folder_stream", transform=as_number)).join()
    assert isinstance(ended_with, BadRecordError)
    assert f"{folder}/second" in str(ended_with)
    assert logged(files) == []


def test_lines_have_the_columns_of_records(
    spark: SparkSession, folder_spec: Spec, driver: Driver, files: HadoopFiles, folder: Path, tmp_path: Path
) -> None:
    put(folder, "text", b"a l\xefne\r\n")
    running = driver(folder_spec("folder_stream", transform="identity"))
    until(lambda: bool(logged(files)), "the batch")
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
        until(lambda wanted=number + 1: len(logged(files)) == wanted, f"batch {number}")  # type: ignore[misc]
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


def test_a_folder_on_hdfs_with_its_state_beside_it(
    spark: SparkSession, folder_spec: Spec, driver: Driver, on_hdfs: OnHdfs
) -> None:
    state, incoming = on_hdfs.files.url, f"{on_hdfs.files.url}/incoming"
    on_hdfs.files.write_new("incoming/first", "a b\n")
    spec = folder_spec(
        "folder_stream", state_url=state, output_url=f"{state}/output", folder=FolderSpec(incoming)
    )
    first = driver(spec, "driver-1")
    until(lambda: len(logged(on_hdfs.files)) == 1, "the first batch")
    ended(first)
    on_hdfs.state_files.replace("incoming/second", "b\n")
    driver(spec, "driver-2")
    until(lambda: len(logged(on_hdfs.files)) == 2, "the second batch")
    entries = list(batch_log.entries(on_hdfs.state_files, 1))
    assert SinkReader(on_hdfs.state_files).word_counts(entries) == {b"a": 1, b"b": 2}
    assert verify("p", on_hdfs.state_files).sound
