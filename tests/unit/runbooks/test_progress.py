"""What counts as well again after a runbook has acted."""

from __future__ import annotations

import pytest

from streamops.runbooks.progress import Mark, judge

from ..on_call import NOW, OBSERVED, evidence

BEFORE = Mark(0, 1, 7, batch_epoch=2, epoch=2, lag=500, latest=1000)


def mark(at_s: float, batch: int, lag: int | None, *, epoch: int = 3, latest: int | None = None, works: bool = True,
         generation: int = 1) -> Mark:
    return Mark(at_s, generation, batch, 2 if batch == 7 else epoch, epoch, works, lag,
                "no broker answers" if lag is None else None, 1000 if latest is None else latest)


@pytest.mark.parametrize(("seen", "is_well", "text"), [
    pytest.param([mark(5, 7, 600)], False, "no batch was logged by a new driver; 600 records wait", id="nothing yet"),
    pytest.param([mark(5, 8, 0, epoch=2)], False, "no batch was logged by a new driver", id="the old driver's"),
    pytest.param([mark(5, 8, 0)], True, "is in the batch log, and nothing waits", id="all done"),
    pytest.param([mark(5, 0, 0, generation=2)], True, "batch 0 of generation 2", id="the first of another generation"),
    pytest.param([mark(5, 7, 0)], True, "there is nothing to read", id="a new driver without anything to do"),
    pytest.param([mark(5, 7, 0, works=False)], False, "no batch", id="nothing to read, and nobody who would"),
    pytest.param([mark(5, 8, 700), mark(7, 8, 100)], False, "does not fall yet", id="between two batches"),
    pytest.param([mark(5, 8, 400)], True, "the lag falls: 400 records wait, 500 did", id="less than before"),
    pytest.param([mark(5, 8, 900), mark(7, 9, 800)], True, "the lag falls: 800 records wait, 900 did",
                 id="falling from what it grew to meanwhile"),
    pytest.param([mark(5, 8, 900), mark(7, 9, 950)], False, "950 records wait", id="batches end, and it still grows"),
    pytest.param([mark(10, 8, 900, latest=11_000), mark(12, 9, 1000, latest=13_000)], True, "it keeps up",
                 id="what comes in a batch or two waits"),
    pytest.param([mark(5, 8, None)], False, "no broker answers", id="the lag is unknown"),
])
def test_judged_with_a_new_driver(seen: list[Mark], is_well: bool, text: str) -> None:
    verdict = judge(BEFORE, seen, 1.0, needs_new_epoch=True)
    assert verdict.is_well is is_well
    assert text in verdict.text


def test_a_batch_of_the_same_driver_counts_where_no_new_one_is_needed() -> None:
    assert judge(BEFORE, [mark(5, 8, 100, epoch=2)], 1.0, needs_new_epoch=False).is_well


def test_a_mark_is_made_of_a_status_and_comes_back_from_another_task() -> None:
    made = Mark.of(NOW.timestamp(), evidence(waiting=30).status, OBSERVED)
    assert (made.place, made.batch_epoch, made.lag, made.latest, made.works) == ((1, 2), 2, 30, 380, True)
    assert Mark.from_data(made.to_data()) == made
