"""What a restore knows of the past: by a state directory, by the output of one that was deleted, and by nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.pipelines import restore_history
from streamops.points.recovery_points import PartitionPoint, RecoveryPoint
from streamops.state import batch_log, generations, numbered_files
from streamops.state.batch_log import Entry
from streamops.state.generations import Generation
from streamops.state.offsets import OffsetRange, TopicPartition
from streamops.state.superseded import NOTHING, Span

AT = "2026-11-20T03:00:00+00:00"
P0 = TopicPartition("lines", 0)
FIRST = Generation("lines", 1, "direct", {P0: 0}, "first start", AT)
KNOWN = RecoveryPoint("lines", "direct", AT, 3, 7, None, None, None, {"lines": "id1"},
                      {P0: PartitionPoint(processed=9)})


@pytest.fixture
def files(tmp_path: Path) -> StateFiles:
    return StateFiles(f"file://{tmp_path}")


def entry(batch: int, first: int, until: int, generation: int = 1) -> Entry:
    return Entry("lines", generation, batch, (OffsetRange("lines", 0, first, until),), 3,
                 f"generation={generation}/batch={batch}", 1, "driver-1", 1, AT, AT, 1)


def label(files: StateFiles, batch: int, first: int, until: int, generation: int = 1) -> None:
    ranges = [OffsetRange("lines", 0, first, until).as_dict()]
    files.replace(f"output/generation={generation}/batch={batch}/_batch.json",
                  json.dumps({"rows": 3, "ranges": ranges, "epoch": 4}))


def batches(history: restore_history.History) -> list[tuple[int, int]]:
    return [(each.generation, each.batch) for log in history.logs() for each in log]


def test_a_pipeline_that_was_never_started(files: StateFiles) -> None:
    history, made_up = restore_history.read(files, "lines", None, AT)
    assert (history.current, history.newest, batches(history), history.lost, made_up) == (None, 0, [], (), {})


def test_a_state_directory_gives_the_entries_that_count_newest_first(files: StateFiles) -> None:
    second = replace(FIRST, number=2, start={P0: 10}, superseded=NOTHING.adding([Span(1, 1)]))
    for generation in (FIRST, second):
        files.write_new(generations.path(generation.number), generation.to_json())
    for each in (entry(0, 0, 10), entry(1, 10, 20), entry(0, 10, 30, 2), entry(1, 30, 40, 2)):
        files.write_new(batch_log.entry_path(each.generation, each.batch), each.to_json())
    history, made_up = restore_history.read(files, "lines", None, AT)
    assert batches(history) == [(2, 1), (2, 0), (1, 0)]
    assert (history.current, history.last_batch, history.newest, made_up) == (second, 1, 2, {})
    assert list(history.closed.spans) == [Span(1, 1), Span(2, 2)]
    # A number that a point knows is never given twice.
    assert restore_history.read(files, "lines", KNOWN, AT)[0].newest == 3


def test_a_directory_that_is_gone_goes_on_counting_from_the_point(files: StateFiles) -> None:
    history, made_up = restore_history.read(files, "lines", KNOWN, AT)
    assert (history.current, history.newest, batches(history), made_up) == (None, 3, [], {})
    assert "the output was deleted with it" in history.lost[1]
    assert list(history.closed.spans) == [Span(1, 0), Span(2, 0), Span(3, 0)]


def test_the_output_gives_the_log_back(files: StateFiles) -> None:
    for batch, (first, until) in enumerate([(0, 10), (10, 20), (20, 30)]):
        label(files, batch, first, until)
    label(files, 1, 25, 35, generation=2)  # its batch 0 had no rows
    files.replace("output/_superseded.json", NOTHING.adding([Span(1, 2)]).to_json("lines", 2))
    files.replace("output/generation=2/_SUCCESS", "")
    history, made_up = restore_history.read(files, "lines", None, AT)
    assert batches(history) == [(2, 1), (2, 0), (1, 1), (1, 0)]
    assert (history.current, history.newest, len(history.lost)) == (None, 2, 1)
    assert list(history.closed.spans) == [Span(1, 2), Span(2, 2)]

    for _ in range(2):  # written twice, it is the same
        restore_history.write(files, made_up)
    assert [each.batch for each in batch_log.entries(files, 1)] == [0, 1, 2]
    assert [each.batch for each in batch_log.newest_first(files, 2)] == [1, 0]
    assert generations.current(files) is None  # nobody sees them before the restore opens a generation

    opened = replace(FIRST, number=3, superseded=NOTHING.adding([Span(1, 2)]))
    files.write_new(generations.path(3), opened.to_json())
    restore_history.write_generations(files, opened)
    restore_history.write_superseded(files, opened)
    assert restore_history.differing(files, opened) == []
    assert restore_history.differing(files, replace(opened, superseded=NOTHING)) != []
    assert sorted(files.names(generations.DIRECTORY)) == [numbered_files.name(number) for number in (1, 2, 3)]
    made = generations.read(files, 2)
    assert made is not None
    assert made.start == {P0: 25}
    assert "made up" in made.reason


def test_where_there_is_no_output_there_is_no_copy(files: StateFiles) -> None:
    restore_history.write_superseded(files, FIRST)
    assert files.names("output") == []
    assert restore_history.differing(files, FIRST) == []
