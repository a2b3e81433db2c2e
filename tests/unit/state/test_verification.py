"""Verification of a batch log and its sink: each thing that can be wrong is found and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from streamops.errors import StateError
from streamops.state.batch_log import Entry
from streamops.state.generations import Generation, Restored
from streamops.state.offsets import OffsetRange, TopicPartition
from streamops.state.superseded import NOTHING, Span
from streamops.state.verification import MOST_SHOWN, Verification, verify_generation, verify_start

P0 = TopicPartition("lines", 0)
GENERATION = Generation("lines", 1, "direct", {P0: 5}, "first start", "2026-11-20T03:00:00+00:00")


def entry(batch: int, epoch: int = 1) -> Entry:
    first = 5 + batch * 10
    return Entry("lines", 1, batch, (OffsetRange("lines", 0, first, first + 10),), 3, f"generation=1/batch={batch}",
                 epoch, f"driver-{epoch}", 1, "2026-11-20T03:00:00+00:00", "2026-11-20T03:00:01+00:00", 5)


SOUND = [entry(0), entry(1), entry(2, epoch=2), entry(3, epoch=2)]
FOLDERS = range(4)


def agrees(_: Entry) -> None:
    """A sink that holds what the log says."""


def verified(
    entries: list[Entry], folders: range | set[int] = FOLDERS, sink: Callable[[Entry], None] = agrees
) -> Verification:
    found = Verification("lines")
    verify_generation(found, GENERATION, entries, sink, folders)
    return found


def test_a_sound_pipeline() -> None:
    found = verified(SOUND)
    assert found.sound
    assert found.describe() == (
        "lines: 4 batches cover 40 offsets and hold 12 rows (generations: 1, drivers: 2); no hole, no overlap, and the "
        "sink agrees"
    )
    assert found.ends == {P0: 45}


@pytest.mark.parametrize(("entries", "problem"), [
    pytest.param([entry(0), entry(2), entry(3)], "after batch 0 comes batch 2", id="a batch is missing"),
    pytest.param([entry(0), entry(2), entry(3)], "hole of 10 in lines-0 before batch 2", id="its records too"),
    pytest.param([replace(entry(0), ranges=(OffsetRange("lines", 0, 0, 15),)), *SOUND[1:]],
                 "overlap of 5 in lines-0 before batch 0", id="before the start of the generation"),
    pytest.param([*SOUND[:3], replace(entry(3), epoch=1)],
                 "batch 3: driver driver-1 wrote under epoch 1, after epoch 2", id="an older driver after a newer one"),
])
def test_what_is_wrong_with_the_log(entries: list[Entry], problem: str) -> None:
    found = verified(entries)
    assert not found.sound
    assert any(problem in text for text in found.problems), found.problems


def test_rows_that_differ_are_named_and_the_rest_is_checked_too() -> None:
    def sink(checked: Entry) -> None:
        if checked.batch in (1, 3):
            raise StateError(f"batch={checked.batch} holds 2 rows")

    assert verified(SOUND, sink=sink).problems == [
        "generation 1, batch 1: batch=1 holds 2 rows", "generation 1, batch 3: batch=3 holds 2 rows"]


@pytest.mark.parametrize(("folders", "problems"), [
    pytest.param(range(4), 0, id="one for each entry"),
    pytest.param(range(5), 0, id="and the batch that runs now"),
    pytest.param(range(6), 1, id="and one that nobody logged"),
])
def test_folders_without_an_entry(folders: range, problems: int) -> None:
    assert len(verified(SOUND, folders).problems) == problems


def test_a_batch_without_output_needs_no_folder() -> None:
    def never(_: Entry) -> None:
        raise AssertionError("there is nothing to look at")

    assert verified([replace(found, output=None) for found in SOUND], folders=set(), sink=never).sound


def test_one_cause_does_not_print_thousands_of_lines() -> None:
    found = Verification("lines")
    for number in range(MOST_SHOWN + 7):
        found.add(f"problem {number}")
    assert len(found.problems) == MOST_SHOWN
    assert found.describe().endswith("and 7 more")
    assert found.as_dict()["more_problems"] == 7


def test_superseded_batches_are_counted_apart_and_need_not_be_in_the_sink() -> None:
    def sink(checked: Entry) -> None:
        if checked.batch >= 2:
            raise StateError("the folder is gone")

    found = Verification("lines")
    verify_generation(found, GENERATION, SOUND, sink, {0, 1, 3, 8}, NOTHING.adding([Span(1, 2)]))
    assert found.sound
    assert (found.batches, found.superseded) == (4, 2)
    assert "(generations: 1, drivers: 2, superseded: 2); no hole" in found.describe()


def test_what_a_restore_skipped_is_no_hole() -> None:
    found = Verification("lines")
    verify_start(found, {P0: 45}, replace(GENERATION, start={P0: 50}, restored=Restored("latest", undo_point=3)))
    assert found.sound


@pytest.mark.parametrize(("start", "problems"), [
    pytest.param(45, [], id="goes on where the last one ended"),
    pytest.param(20, [], id="a rewind"),
    pytest.param(50, ["generation 1: hole of 5 in lines-0 before batch 0: expected offset 45, found 50"], id="a gap"),
])
def test_the_seam_between_generations(start: int, problems: list[str]) -> None:
    found = Verification("lines")
    verify_start(found, {P0: 45}, replace(GENERATION, start={P0: start}))
    assert found.problems == problems


def test_what_a_restore_within_a_batch_repeats_is_counted() -> None:
    found = Verification("lines")
    verify_generation(found, GENERATION, SOUND, lambda _: None, {0, 1, 3})
    again = replace(GENERATION, number=2, start=GENERATION.start, restored=Restored("earliest", undo_point=3))
    verify_generation(found, again, SOUND[:2], lambda _: None, {0, 1})
    assert found.sound
    assert found.repeated == found.as_dict()["repeated_offsets"] == sum(entry.span for entry in SOUND[:2])
    assert f"no hole, and the sink agrees; {found.repeated} offsets count more than once" in found.describe()


def test_what_is_superseded_is_not_repeated() -> None:
    found, superseded = Verification("lines"), NOTHING.adding([Span(1, 0)])
    verify_generation(found, GENERATION, SOUND, lambda _: None, {0, 1, 3}, superseded)
    verify_generation(found, replace(GENERATION, number=2), SOUND, lambda _: None, {0, 1, 3}, superseded)
    assert (found.sound, found.repeated) == (True, 0)


def test_what_no_restore_repeated_is_a_problem() -> None:
    found = Verification("lines")
    verify_generation(found, GENERATION, SOUND, lambda _: None, {0, 1, 3})
    verify_generation(found, replace(GENERATION, number=2), SOUND, lambda _: None, {0, 1, 3})
    assert found.problems == [
        "generation 2: 40 offsets are in batches of earlier generations too, and no restore says so"]
