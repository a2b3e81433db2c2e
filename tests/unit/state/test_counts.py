"""Totals from the sink: real Parquet files in the layout that the job writes, on a local file system."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.sink import sink_reader
from streamops.adapters.sink.sink_reader import SinkReader
from streamops.errors import ConfigurationError, StateError
from streamops.state import batch_log, generations
from streamops.state.batch_log import Entry
from streamops.state.counts import CountsFollower, as_text, chunks, require_word_counts
from streamops.state.generations import Generation
from streamops.state.superseded import NOTHING, Span, Superseded


class Written:
    """A pipeline's state directory, written as a driver writes it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = StateFiles(f"file://{root}")
        self.expected: Counter[str] = Counter()

    def generation(self, number: int, superseded: Superseded = NOTHING) -> None:
        opened = Generation("lines", number, "direct", {}, "test", "2026-11-20T03:00:00+00:00", superseded)
        assert self.files.write_new(generations.path(number), opened.to_json())

    def folder(self, generation: int, batch: int) -> Path:
        return self.root / "output" / f"generation={generation}" / f"batch={batch}"

    def batch(self, generation: int, batch: int, counts: Mapping[str | bytes, int], parts: int = 1) -> Entry:
        folder = self.folder(generation, batch)
        folder.mkdir(parents=True)
        (folder / "_SUCCESS").touch()
        words = list(counts)
        for part in range(parts):
            mine = words[part::parts]
            raw = pa.array([word if isinstance(word, bytes) else word.encode() for word in mine], pa.binary())
            # What is no UTF-8 goes in as Spark writes it: bytes in a column that says it is text.
            column = pa.Array.from_buffers(pa.string(), len(raw), raw.buffers())
            table = pa.table({"word": column, "count": pa.array([counts[word] for word in mine], pa.int64())})
            pq.write_table(table, folder / f"part-{part:05}.snappy.parquet")
        self.expected.update({
            word.decode(errors="surrogateescape") if isinstance(word, bytes) else word: count
            for word, count in counts.items()
        })
        return self.log(generation, batch, rows=len(counts), output=f"generation={generation}/batch={batch}")

    def log(self, generation: int, batch: int, rows: int, output: str | None) -> Entry:
        entry = Entry("lines", generation, batch, (), rows, output, 1, "driver-1", 1,
                      "2026-11-20T03:00:00+00:00", "2026-11-20T03:00:01+00:00", 5)
        assert self.files.write_new(batch_log.entry_path(generation, batch), entry.to_json())
        return entry

    def follower(self) -> CountsFollower:
        return CountsFollower(self.files, SinkReader(self.files).word_counts)


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong here stays wrong, so there is no point in waiting before looking again."""
    monkeypatch.setattr(sink_reader, "_LOOK_AGAIN_S", 0)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    written = Written(tmp_path)
    written.generation(1)
    return written


def totals(written: Written) -> dict[str, int]:
    follower = written.follower()
    follower.update()
    return as_text(follower.totals)


def test_totals_over_batches_files_and_generations(written: Written) -> None:
    written.batch(1, 0, {"the": 3, "a": 1})
    written.batch(1, 1, {"the": 2, "Grüße": 1, "日本": 4}, parts=3)
    written.generation(2)
    written.batch(2, 0, {"the": 5})
    assert totals(written) == written.expected
    assert list(totals(written))[:2] == ["the", "日本"]


def test_superseded_batches_do_not_count_and_a_follower_notices(written: Written) -> None:
    written.batch(1, 0, {"a": 1})
    written.batch(1, 1, {"a": 2})
    written.batch(1, 2, {"a": 4})
    follower = written.follower()
    assert (follower.update(), follower.totals[b"a"]) == (3, 7)
    # What a driver that was thought dead adds to it later is superseded as well.
    written.generation(2, NOTHING.adding([Span(1, 1)]))
    written.batch(1, 3, {"a": 8})
    assert (follower.update(), follower.totals[b"a"], follower.batches) == (1, 1, 1)
    written.batch(2, 0, {"a": 16})
    assert (follower.update(), follower.totals[b"a"], follower.batches) == (1, 17, 2)
    assert totals(written) == {"a": 17}
    # The undo: the first two count again, and the restored generation does not.
    written.generation(3, NOTHING.adding([Span(1, 2), Span(2, 0)]))
    follower.update()
    assert (follower.totals[b"a"], follower.batches) == (3, 2)


def test_when_reading_fails_after_a_restore_the_totals_stay(written: Written) -> None:
    written.batch(1, 0, {"a": 1})
    broken = written.batch(1, 1, {"a": 2})
    follower = written.follower()
    follower.update()
    part = next(written.folder(1, broken.batch).glob("*.parquet"))
    whole = part.read_bytes()
    part.write_bytes(whole[:10])
    written.generation(2, NOTHING.adding([Span(1, 0, 0)]))
    with pytest.raises(StateError, match="no whole Parquet file"):
        follower.update()
    assert follower.totals[b"a"] == 3
    part.write_bytes(whole)
    follower.update()
    assert follower.totals[b"a"] == 2


def test_a_pipeline_without_generation_or_batch_has_no_words(tmp_path: Path) -> None:
    written = Written(tmp_path)
    assert totals(written) == {}
    written.generation(1)
    assert totals(written) == {}


def test_a_batch_without_rows_may_have_an_empty_file_or_none(written: Written) -> None:
    written.batch(1, 0, {})
    written.log(1, 1, rows=0, output="generation=1/batch=1")
    written.batch(1, 2, {"a": 1})
    assert totals(written) == {"a": 1}


def test_a_folder_without_entry_is_not_output(written: Written) -> None:
    written.batch(1, 0, {"a": 1})
    entry = written.batch(1, 1, {"b": 1})
    written.files.delete(batch_log.entry_path(1, entry.batch))
    assert totals(written) == {"a": 1}


def test_words_that_are_no_text_stay_apart(written: Written) -> None:
    written.batch(1, 0, {b"caf\xe9": 1, b"caf\xe8": 2, "café": 4, b"\x00": 8})
    assert list(totals(written).items()) == [("\x00", 8), ("café", 4), ("caf\udce8", 2), ("caf\udce9", 1)]
    assert json.loads(json.dumps(totals(written))) == totals(written)


def test_counts_beyond_32_bits(written: Written) -> None:
    written.batch(1, 0, {"a": 2**40})
    written.batch(1, 1, {"a": 2**40})
    assert totals(written) == {"a": 2**41}


def test_a_follower_reads_only_what_is_new(written: Written) -> None:
    read: list[int] = []
    sink = SinkReader(written.files)

    def reading(entries: list[Entry]) -> Mapping[bytes, int]:
        read.extend(entry.batch for entry in entries)
        return sink.word_counts(entries)

    follower = CountsFollower(written.files, reading)
    assert (follower.update(), follower.last) == (0, None)
    for batch in range(3):
        written.batch(1, batch, {"a": 1})
    assert follower.update() == 3
    assert follower.update() == 0
    written.batch(1, 3, {"a": 1, "b": 1})
    written.generation(2)
    written.batch(2, 0, {"c": 1})
    assert follower.update() == 2
    assert read == [0, 1, 2, 3, 0]
    assert as_text(follower.totals) == written.expected == {"a": 4, "b": 1, "c": 1}
    assert (follower.batches, follower.rows) == (5, 6)
    assert follower.last is not None
    assert (follower.last.generation, follower.last.batch) == (2, 0)


def test_a_failed_update_leaves_the_totals_and_is_made_up_for(written: Written) -> None:
    written.batch(1, 0, {"a": 1})
    follower = written.follower()
    follower.update()
    written.batch(1, 1, {"a": 1})
    folder = written.folder(1, 1)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(StateError):
        follower.update()
    assert as_text(follower.totals) == {"a": 1}
    folder.with_name("elsewhere").rename(folder)
    assert follower.update() == 1
    assert as_text(follower.totals) == {"a": 2}


# What contradicts the batch log

def test_a_missing_folder_is_named(written: Written) -> None:
    written.log(1, 0, rows=3, output="generation=1/batch=0")
    with pytest.raises(StateError, match=r"output/generation=1/batch=0 is missing or empty.* says 3"):
        totals(written)


@pytest.mark.parametrize("rows", [1, 3])
def test_other_rows_than_logged_are_named(written: Written, rows: int) -> None:
    entry = written.batch(1, 0, {"a": 1, "b": 1})
    written.files.replace(batch_log.entry_path(1, 0), replace(entry, rows=rows).to_json())
    with pytest.raises(StateError, match=f"batch=0 holds 2 rows, and the batch log says {rows} for batch 0"):
        totals(written)
    with pytest.raises(StateError, match="holds 2 rows"):
        SinkReader(written.files).check(replace(entry, rows=rows))


def test_a_file_that_is_no_parquet_is_named(written: Written) -> None:
    written.batch(1, 0, {"a": 1})
    next(written.folder(1, 0).glob("part-*")).write_bytes(b"PAR1 cut off")
    with pytest.raises(StateError, match=r"part-00000\.snappy\.parquet is no whole Parquet file"):
        totals(written)


def test_other_columns_are_named(written: Written) -> None:
    written.batch(1, 0, {"a": 1})
    pq.write_table(pa.table({"key": ["a"]}), next(written.folder(1, 0).glob("part-*")))
    with pytest.raises(StateError, match="has the columns key, and word counts have"):
        totals(written)


def test_the_sink_lists_its_folders(written: Written) -> None:
    written.batch(1, 0, {"a": 1})
    written.batch(1, 12, {"a": 1})
    (written.root / "output" / "generation=1" / "_aside").mkdir()
    assert SinkReader(written.files).folders(1) == {0, 12}
    assert SinkReader(written.files).folders(2) == set()


# What can be counted, and in which portions

@pytest.mark.parametrize(("transform", "sink", "found"), [
    ("identity", "parquet", "writes what `identity` gives"),
    ("orders:totals", "parquet", "writes what `orders:totals` gives"),
    ("word_count", "console", "keeps nothing that could be counted"),
])
def test_a_pipeline_without_word_counts_says_what_to_do_instead(transform: str, sink: str, found: str) -> None:
    with pytest.raises(ConfigurationError, match=found) as raised:
        require_word_counts("lines", transform, sink)
    assert "streamops" in str(raised.value.repair)


def test_word_counts_in_parquet_can_be_counted() -> None:
    require_word_counts("lines", "word_count", "parquet")


def test_portions_are_bounded_by_rows() -> None:
    base = Entry("lines", 1, 0, (), 0, None, 1, "d", 1, "", "", 0)
    entries = [replace(base, batch=batch, rows=rows) for batch, rows in enumerate([4, 4, 4, 100, 0, 1])]
    assert [[entry.rows for entry in chunk] for chunk in chunks(entries, most_rows=10)] == [[4, 4, 4], [100], [0, 1]]
    assert list(chunks([])) == []


def test_the_most_frequent_words_first() -> None:
    assert list(as_text({b"b": 2, b"a": 2, b"c": 9}, most=2)) == ["c", "a"]
