"""When the next run of a continuous DAG may start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from streamops.running.run_backoff import FIRST_WAIT, HAS_WORKED, LONGEST_WAIT, PastRun, not_before

END = datetime(2026, 11, 20, 3, tzinfo=UTC)


def run(*, failed: bool, took: timedelta = timedelta(seconds=40), ended_ago: timedelta = timedelta()) -> PastRun:
    return PastRun(failed, END - ended_ago - took, END - ended_ago)


QUICK = run(failed=True)


@pytest.mark.parametrize(("past", "expected"), [
    pytest.param([], None, id="the first run ever"),
    pytest.param([run(failed=False), QUICK], None, id="the last one was marked success"),
    pytest.param([QUICK], END + FIRST_WAIT, id="one failed"),
    pytest.param([QUICK, QUICK], END + FIRST_WAIT * 2, id="two failed"),
    pytest.param([QUICK, QUICK, run(failed=False), QUICK], END + FIRST_WAIT * 2, id="only those in a row count"),
    pytest.param([QUICK] * 6, END + LONGEST_WAIT, id="many failed"),
    pytest.param([run(failed=True, took=HAS_WORKED)], None, id="it had worked before it failed"),
    pytest.param([QUICK, run(failed=True, took=HAS_WORKED), QUICK], END + FIRST_WAIT, id="one that worked starts anew"),
    pytest.param([run(failed=True, ended_ago=timedelta(hours=1))], END - timedelta(hours=1) + FIRST_WAIT,
                 id="counted from its end, so it is over already"),
])
def test_the_next_run_waits_longer_after_each_that_failed(past: list[PastRun], expected: datetime | None) -> None:
    assert not_before(past) == expected
