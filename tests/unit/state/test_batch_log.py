"""The batch log: entries, roll-ups, the head, and reading while a driver writes."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamops.errors import StateError
from streamops.state import batch_log
from streamops.state.batch_log import (
    ROLL_UP,
    Entry,
    backwards,
    entries,
    entry_path,
    newest_first,
    overdue_roll_ups,
    read_head,
    roll_ups_due,
)
from streamops.state.offsets import OffsetRange


class MemoryFiles:
    """A state directory in memory."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.listings = 0

    def read(self, path: str) -> str | None:
        return self.texts.get(path)

    def names(self, directory: str) -> list[str]:
        self.listings += 1
        return [path.rpartition("/")[2] for path in self.texts if path.rpartition("/")[0] == directory]


def entry(batch: int, generation: int = 1) -> Entry:
    return Entry(
        pipeline="lines",
        generation=generation,
        batch=batch,
        ranges=(OffsetRange("lines", 0, batch * 10, batch * 10 + 10),),
        rows=7,
        output=f"generation={generation}/batch={batch}",
        epoch=1,
        driver="driver-1",
        attempt=1,
        started_at="2026-11-20T03:00:00.000+00:00",
        finished_at="2026-11-20T03:00:01.000+00:00",
        sink_ms=400,
    )


def writing(files: MemoryFiles, batches: int) -> Iterator[None]:
    """A driver's writes, one file operation at a time, in the order in which a job makes them."""
    for batch in range(batches):
        files.texts[entry_path(1, batch)] = entry(batch).to_json()
        yield
        due = roll_ups_due(1, batch)
        if due or batch % 10 == 0:
            files.texts[batch_log.head_path(1)] = json.dumps({"batch": batch})
            yield
        for roll_up in due:
            files.texts[roll_up.target] = "".join(files.texts[name].rstrip("\n") + "\n" for name in roll_up.sources)
            yield
            for name in roll_up.sources:
                del files.texts[name]
                yield


def written(batches: int) -> MemoryFiles:
    files = MemoryFiles()
    for _ in writing(files, batches):
        pass
    return files


def rolled_twice(batches: int) -> MemoryFiles:
    """As `written`, without the files in between: 20,000 batches in a moment."""
    files = MemoryFiles()
    size = ROLL_UP * ROLL_UP
    big = max(batches // size - 1, 0) * size
    small = max(batches // ROLL_UP - 1, 0) * ROLL_UP
    for first in range(0, big, size):
        path = batch_log.roll_up_path(1, first, first + size - 1)
        files.texts[path] = "".join(entry(batch).to_json() + "\n" for batch in range(first, first + size))
    for first in range(big, small, ROLL_UP):
        path = batch_log.roll_up_path(1, first, first + ROLL_UP - 1)
        files.texts[path] = "".join(entry(batch).to_json() + "\n" for batch in range(first, first + ROLL_UP))
    for batch in range(small, batches):
        files.texts[entry_path(1, batch)] = entry(batch).to_json()
    return files


# Entries

def test_an_entry_is_read_as_it_was_written() -> None:
    full = replace(entry(3), lost=(OffsetRange("lines", 0, 30, 32),), dead_letters=2, output=None)
    assert Entry.from_json(full.to_json()) == full
    assert "\n" not in full.to_json()


def test_the_span_is_over_all_partitions() -> None:
    both = replace(entry(0), ranges=(OffsetRange("lines", 0, 5, 9), OffsetRange("lines", 1, 0, 3)))
    assert both.span == 7


@pytest.mark.parametrize("text", [
    pytest.param("", id="empty"),
    pytest.param(entry(0).to_json()[:-20], id="cut off"),
    pytest.param("[]", id="no object"),
    pytest.param('{"format": "streamops.batch/1"}', id="keys missing"),
    pytest.param(entry(0).to_json().replace("batch/1", "batch/2"), id="another format"),
    pytest.param(entry(1).to_json().replace('"until":20', '"until":2'), id="a range that runs backwards"),
])
def test_an_entry_that_cannot_be_read_is_a_state_error(text: str) -> None:
    with pytest.raises(StateError, match="a batch log entry"):
        Entry.from_json(text)


# Roll-ups

@pytest.mark.parametrize(("batch", "targets"), [
    pytest.param(0, [], id="the first batch"),
    pytest.param(99, [], id="a hundred entries stay"),
    pytest.param(198, [], id="199 entries"),
    pytest.param(199, ["000000000000-000000000099.jsonl"], id="the older of two hundred"),
    pytest.param(299, ["000000000100-000000000199.jsonl"], id="then the next hundred"),
    pytest.param(9_999, ["000000009800-000000009899.jsonl"], id="ten thousand entries"),
    pytest.param(19_999, ["000000019800-000000019899.jsonl", "000000000000-000000009999.jsonl"], id="twice that"),
])
def test_what_is_due(batch: int, targets: list[str]) -> None:
    due = roll_ups_due(1, batch)
    assert [roll_up.target.rpartition("/")[2] for roll_up in due] == targets
    assert all(len(roll_up.sources) == ROLL_UP for roll_up in due)


@pytest.mark.parametrize("batches", [1, 100, 199, 200, 201, 999, 2_345])
def test_nothing_is_lost_and_the_newest_hundred_stay(batches: int) -> None:
    files = written(batches)
    assert [found.batch for found in entries(files, 1)] == list(range(batches))
    own = {path for path in files.texts if path.endswith(".json")}
    assert {entry_path(1, batch) for batch in range(max(0, batches - 100), batches)} <= own


def test_the_log_stays_small() -> None:
    files = written(40_123)
    assert len(files.texts) < 300 + 40_123 // 10_000
    assert [found.batch for found in entries(files, 1)] == list(range(40_123))
    assert set(files.texts) - {batch_log.head_path(1)} == set(rolled_twice(40_123).texts)


@settings(max_examples=60, deadline=None)
@given(st.integers(200, 700), st.data())
def test_a_driver_that_died_in_a_roll_up_leaves_nothing_that_another_does_not_finish(
    batches: int, data: st.DataObject
) -> None:
    files = MemoryFiles()
    steps = sum(1 for _ in writing(MemoryFiles(), batches))
    for _ in itertools.islice(writing(files, batches), data.draw(st.integers(1, steps), label="dies after")):
        pass
    head = read_head(files, 1)
    assert head is not None
    before = [found.batch for found in entries(files, 1)]
    for roll_up in overdue_roll_ups(1, files.names(batch_log.directory(1)), head.batch):
        texts = [files.texts.get(name) for name in roll_up.sources]
        files.texts.setdefault(roll_up.target, "".join(f"{text}\n" for text in texts if text is not None))
        for name in roll_up.sources:
            files.texts.pop(name, None)
    assert [found.batch for found in entries(files, 1)] == before
    assert overdue_roll_ups(1, files.names(batch_log.directory(1)), head.batch) == []
    assert set(files.texts) - {batch_log.head_path(1)} == set(written(head.batch + 1).texts) - {batch_log.head_path(1)}


# The head

@pytest.mark.parametrize("batches", [1, 2, 9, 10, 11, 99, 100, 101, 205, 1_000, 1_009])
def test_the_head_is_found_by_probing(batches: int) -> None:
    files = written(batches)
    found = read_head(files, 1)
    assert found is not None
    assert found.batch == batches - 1
    assert files.listings == 0


def test_a_generation_without_entries_has_no_head() -> None:
    assert read_head(MemoryFiles(), 1) is None


@pytest.mark.parametrize("batches", [1, 150, 500])
def test_a_head_whose_hint_is_gone_is_found_by_listing(batches: int) -> None:
    files = written(batches)
    del files.texts[batch_log.head_path(1)]
    found = read_head(files, 1)
    assert found is not None
    assert found.batch == batches - 1


@pytest.mark.parametrize("hint", ["{}", "{", "[]", '{"batch": null}', "batch 7"])
def test_a_hint_that_cannot_be_read_says_what_to_do(hint: str) -> None:
    files = written(5)
    files.texts[batch_log.head_path(1)] = hint
    with pytest.raises(StateError, match=r"Delete that head\.json"):
        read_head(files, 1)


def test_a_hint_without_its_entry_is_a_state_error() -> None:
    files = written(15)
    del files.texts[entry_path(1, 10)]
    with pytest.raises(StateError, match="says that batch 10 was its last"):
        read_head(files, 1)


def test_backwards_from_the_head() -> None:
    files = written(500)
    found = [seen.batch for seen in backwards(files, 1)]
    assert found == list(range(499, 499 - len(found), -1))
    assert len(found) >= ROLL_UP
    assert files.listings == 0
    assert list(backwards(MemoryFiles(), 1)) == []


# Reading everything

@pytest.mark.parametrize("first", [0, 1, 99, 100, 150, 399, 499, 500, 900])
def test_entries_from_a_batch_on(first: int) -> None:
    assert [found.batch for found in entries(written(500), 1, first)] == list(range(first, 500))


def test_generations_do_not_mix() -> None:
    files = written(3)
    files.texts[entry_path(2, 0)] = entry(0, generation=2).to_json()
    assert [(found.generation, found.batch) for found in entries(files, 2)] == [(2, 0)]


def test_other_files_in_the_directory_are_left_alone() -> None:
    files = written(3)
    for name in (".000000000009.json.tmp", "notes.txt", "000000000004.json.crc", "5.json"):
        files.texts[f"{batch_log.directory(1)}/{name}"] = "x"
    assert [found.batch for found in entries(files, 1)] == [0, 1, 2]


@pytest.mark.parametrize("gone", [0, 7, 13])
def test_a_missing_entry_is_a_state_error(gone: int) -> None:
    files = written(15)
    del files.texts[entry_path(1, gone)]
    with pytest.raises(StateError, match="entries after"):
        list(entries(files, 1))


class RacingFiles(MemoryFiles):
    """A directory in which a driver goes on writing while somebody reads: each look lets it make some steps."""

    def __init__(self, batches: int, seed: int, most_steps: int) -> None:
        super().__init__()
        self.writer = writing(self, batches)
        self.random = random.Random(seed)
        self.most_steps = most_steps

    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            next(self.writer, None)

    def read(self, path: str) -> str | None:
        self.go_on(self.random.randint(0, self.most_steps))
        return super().read(path)

    def names(self, directory: str) -> list[str]:
        """A listing is no snapshot: what changes while it is made may be in it or not."""
        before = super().names(directory)
        self.go_on(self.random.randint(0, self.most_steps))
        after = super().names(directory)
        union = list(dict.fromkeys(before + after))
        stable = set(before) & set(after)
        return [name for name in union if name in stable or self.random.random() < 0.5]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 900), st.sampled_from([1, 3, 20, 150]))
def test_a_reader_sees_every_batch_once_while_a_driver_writes_and_rolls_up(
    seed: int, steps_before: int, most_steps: int
) -> None:
    files = RacingFiles(450, seed, most_steps)
    files.go_on(steps_before)
    head = max((int(p[-17:-5]) for p in files.texts if p.endswith(".json") and "head" not in p), default=-1)
    found = [seen.batch for seen in entries(files, 1)]
    assert found == list(range(len(found)))
    assert len(found) > head


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 900), st.sampled_from([1, 3, 20]))
def test_a_reader_from_the_newest_back_sees_every_batch_once(seed: int, steps_before: int, most_steps: int) -> None:
    files = RacingFiles(450, seed, most_steps)
    files.go_on(steps_before)
    logged = max((int(p[-17:-5]) for p in files.texts if p.endswith(".json") and "head" not in p), default=-1)
    found = [seen.batch for seen in newest_first(files, 1)]
    assert found == list(range(len(found) - 1, -1, -1))
    assert len(found) > logged


def test_from_the_newest_back_no_more_is_read_than_asked_for() -> None:
    files = rolled_twice(20_500)
    assert [found.batch for found in itertools.islice(newest_first(files, 1), 3)] == [20_499, 20_498, 20_497]
    assert sum(1 for _ in newest_first(files, 1)) == 20_500
    del files.texts[entry_path(1, 20_450)]
    with pytest.raises(StateError, match="entries after batch 20450, but none for it"):
        list(newest_first(files, 1))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 900), st.sampled_from([1, 3, 20]))
def test_the_head_is_never_older_than_when_it_was_asked_for(seed: int, steps_before: int, most_steps: int) -> None:
    files = RacingFiles(450, seed, most_steps)
    files.go_on(steps_before)
    logged = max((int(p[-17:-5]) for p in files.texts if p.endswith(".json") and "head" not in p), default=None)
    found = read_head(files, 1)
    if logged is not None:
        assert found is not None
        assert found.batch >= logged
