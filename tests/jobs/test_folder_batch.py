"""The word count over a folder, in this process: exact, whole, and anew at each run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from folder_batch import FolderBatch
from hadoop_files import HadoopFiles
from job import Job
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.sink.sink_reader import SinkReader
from streamops.errors import ConfigurationError, LeaseLostError
from streamops.state import batch_log, generations, numbered_files, word_totals
from streamops.state.job_spec import FolderSpec, JobSpec
from streamops.state.word_totals import WordTotals

Spec = Callable[..., JobSpec]
Run = Callable[..., WordTotals]


@pytest.fixture
def run(spark: SparkSession, folder_spec: Spec) -> Run:
    """Runs the batch once, as a driver of its own."""
    drivers = iter(range(1, 100))

    def once(**changes: object) -> WordTotals:
        job = Job(spark, folder_spec("folder_batch", **changes), f"driver-{next(drivers)}")
        try:
            return FolderBatch(job).run()
        finally:
            if job.held is not None:
                job.held.end()

    return once


def lines(contents: list[bytes]) -> list[bytes]:
    return [line for content in contents for line in content.splitlines() if line]


def words(contents: list[bytes]) -> Counter[str]:
    return Counter(word for line in lines(contents) for word in line.decode(errors="replace").split(" ") if word)


def ranked(counts: Counter[str], most: int) -> list[tuple[str, int]]:
    """The most frequent first; where counts are equal, by the word."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]


def test_real_sources_are_counted_to_the_last_word(
    run: Run, files: HadoopFiles, folder: Path, tmp_path: Path
) -> None:
    contents = [path.read_bytes() for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:120]]
    for number, content in enumerate(contents):
        (folder / f"{number}.py").write_bytes(content)
    expected = words(contents)
    totals = run()
    assert totals.lines == len(lines(contents))
    assert (totals.words, totals.different_words) == (expected.total(), len(expected))
    assert list(totals.top) == ranked(expected, 100)
    written = files.read(word_totals.path(1))
    assert written is not None
    assert WordTotals.from_json(written) == totals
    (entry,) = batch_log.entries(files, 1)
    assert (entry.rows, entry.output, entry.ranges) == (len(expected), "generation=1/batch=0", ())
    in_sink = SinkReader(StateFiles((tmp_path / "state").as_uri())).word_counts([entry])
    assert {word.decode(): count for word, count in in_sink.items()} == expected, "the sink has every word"


def test_words_of_equal_counts_come_in_their_order(run: Run, folder: Path) -> None:
    (folder / "text").write_bytes("b a ä Z 日 \U0001f600 \uffee a b\n".encode())
    expected = [("a", 2), ("b", 2), ("Z", 1), ("ä", 1), ("日", 1), ("\uffee", 1), ("\U0001f600", 1)]
    assert list(run().top) == expected == ranked(words([(folder / "text").read_bytes()]), 100)
    assert list(run(folder=FolderSpec(folder.as_uri(), top=3)).top) == expected[:3]


def test_odd_files(run: Run, folder: Path) -> None:
    contents = {"empty": b"", "crlf": b"a b\r\n\r\nb\r\n", "cr": b"a\rb", "blanks": b"  \n\n c \n", "bytes": b"\xff\n"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "_making").write_bytes(b"half")
    totals = run()
    assert dict(totals.top) == words(list(contents.values())) == {"a": 2, "b": 3, "c": 1, "\ufffd": 1}
    # A line of blanks is not empty.
    assert totals.lines == len(lines(list(contents.values()))) == 7


def test_an_empty_folder_has_a_result_and_no_output(run: Run, files: HadoopFiles, tmp_path: Path) -> None:
    totals = run()
    assert (totals.lines, totals.words, totals.different_words, totals.top) == (0, 0, 0, ())
    (entry,) = batch_log.entries(files, 1)
    assert (entry.rows, entry.output) == (0, None)
    assert not (tmp_path / "state/output/generation=1").exists()


def test_each_run_counts_the_whole_folder_anew(run: Run, files: HadoopFiles, folder: Path, tmp_path: Path) -> None:
    (folder / "first").write_bytes(b"a b\n")
    assert run().top == (("a", 1), ("b", 1))
    (folder / "second").write_bytes(b"b\n")
    assert run().top == (("b", 2), ("a", 1))
    assert sorted(files.names(word_totals.DIRECTORY)) == ["000001.json", "000002.json"]
    assert sorted(path.name for path in (tmp_path / "state/output").glob("generation=*")) == [
        "generation=1", "generation=2"]


def test_a_driver_that_dies_in_the_middle_is_followed_by_a_whole_run(
    run: Run, files: HadoopFiles, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from micro_batch import MicroBatches

    def dies(*_: object) -> None:
        raise LeaseLostError("the driver dies between the output and the log")

    (folder / "first").write_bytes(b"a b\n")
    with monkeypatch.context() as patch:
        patch.setattr(MicroBatches, "_append", dies)
        with pytest.raises(LeaseLostError):
            run()
    assert files.names(word_totals.DIRECTORY) == []
    (folder / "second").write_bytes(b"b\n")
    totals = run()
    assert (totals.generation, totals.top) == (2, (("b", 2), ("a", 1)))
    (entry,) = batch_log.entries(files, 2)
    assert entry.rows == 2


def test_a_failure_that_passes_is_tried_again(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyspark.errors import PySparkException

    from sinks.parquet import ParquetSink

    (folder / "first").write_bytes(b"a b\n")
    prepare, failures = ParquetSink.prepare, iter([PySparkException("a server is away")])

    def fails_once(*given: object) -> int:
        for failure in failures:
            raise failure
        return prepare(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(ParquetSink, "prepare", fails_once)
    assert run().words == 2


def test_a_folder_that_is_not_there_is_said(run: Run, tmp_path: Path) -> None:
    nowhere = (tmp_path / "nowhere").as_uri()
    with pytest.raises(ConfigurationError, match=f"there is no folder {nowhere}"):
        run(folder=FolderSpec(nowhere))


def test_a_stream_that_becomes_a_batch_is_refused(
    run: Run, files: HadoopFiles, folder_spec: Spec, spark: SparkSession
) -> None:
    run()
    job = Job(spark, folder_spec("folder_stream"), "driver-9")
    job.take_lease(lambda _lost: None)
    with pytest.raises(ConfigurationError, match="belongs to a folder_batch pipeline"):
        job.generation()
    assert job.held is not None
    job.held.end()
    assert numbered_files.latest(files.names(generations.DIRECTORY)) == 1


def test_the_command_line_shows_the_newest_result(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pipelines.yaml").write_text(
        f"version: 1\npipelines:\n  p:\n    source: folder\n    folder: {{path: '{folder.as_uri()}', mode: batch}}\n"
        "    transform: word_count\n    sink: {type: parquet}\n    state_directory: state\n"
    )

    def counts(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "streamops.cli.main", "counts", "p", *options],
            env={
                **os.environ,
                "STREAMOPS_PIPELINES": str(tmp_path / "pipelines.yaml"),
                "AIRFLOW_CONN_STREAMOPS_STORAGE": json.dumps(
                    {"conn_type": "generic", "extra": {"url": tmp_path.as_uri()}}),
            },
            capture_output=True, text=True, check=False,
        )

    none = counts()
    assert none.returncode == 5
    assert "p has no result yet" in none.stderr
    (folder / "text").write_bytes(b"a b a\n\n\xff\n")
    run()
    shown = counts()
    assert shown.stdout == "2  a\n1  b\n1  \N{REPLACEMENT CHARACTER}\n"
    assert "2 lines that are not empty, 4 words, 3 of them different" in shown.stderr
    assert json.loads(counts("--json", "--top", "1").stdout) == {"a": 2}
