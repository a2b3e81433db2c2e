"""A skip given, given again, awaited and withdrawn, in a real state directory; recovery points are counted only."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamops.actions import snapshots
from streamops.adapters.pipelines.files import state_files
from streamops.declared import pipelines
from streamops.errors import AlarmError
from streamops.runbooks import poison_actions
from streamops.runbooks.case import Case
from streamops.settings import Settings
from streamops.state import batch_log, skips
from streamops.state.batch_log import Entry
from streamops.state.offsets import OffsetRange
from streamops.state.proofs import ProvenRecord

DECLARED = pipelines.load("pipelines.yaml", """
version: 1
topics: {lines: {partitions: 1, replication: 1}}
pipelines:
  lines: {approach: direct, topics: [lines], transform: word_count, sink: {type: console}, start_timeout_s: 0.1}
""")
BAD = ProvenRecord("lines", 0, 37, "ValueError: oops")


@dataclass
class Points:
    """Recovery points by their holders."""

    held: dict[int, tuple[str, ...]] = field(default_factory=lambda: {3: (poison_actions.HOLDER,), 4: ("audit",)})

    def hold(self, number: int, holder: str, _now: datetime) -> None:
        self.held[number] = (holder,)

    def release(self, number: int, _holder: str) -> bool:
        return bool(self.held.pop(number))

    def summaries(self, _pipeline: str) -> list[Any]:
        return [SimpleNamespace(id=number, holders=holders) for number, holders in self.held.items()]


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> Points:
    found = Points()
    monkeypatch.setattr(snapshots, "store", lambda: found)
    monkeypatch.setattr(snapshots, "take", lambda *_: [SimpleNamespace(number=7)])
    return found


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, points: Points) -> Case:
    storage = {"conn_type": "generic", "extra": {"url": f"file://{tmp_path}"}}
    monkeypatch.setenv("AIRFLOW_CONN_STREAMOPS_STORAGE", json.dumps(storage))
    return Case(DECLARED, DECLARED.pipeline("lines"), Settings.load(), "alice", print)


def logged(case: Case, batch: int, dead_letters: int) -> None:
    at = "2026-11-20T03:00:00+00:00"
    entry = Entry("lines", 1, batch, (OffsetRange("lines", 0, 0, 100),), 9, None, 1, "driver-1", 1, at, at, 5,
                  dead_letters=dead_letters)
    state_files(case.pipeline).write_new(batch_log.entry_path(1, batch), entry.to_json())


def test_a_skip_is_given_once_and_withdrawn_while_its_batch_is_not_done(case: Case, points: Points) -> None:
    files = state_files(case.pipeline)
    poison_actions.allow(case, (BAD,), 1, 7, "letters")
    poison_actions.allow(replace(case, by="bob"), (BAD,), 1, 7, "letters")
    given = skips.standing(files, 1, 7)
    assert given is not None
    assert (given.number, given.by, given.records, given.dead_letter_topic) == (1, "alice", (BAD,), "letters")
    assert points.held == {4: ("audit",), 7: (poison_actions.HOLDER,)}, "the point before it is kept, and no older one"

    poison_actions.allow(case, (BAD, replace(BAD, offset=40)), 1, 7, "letters")
    assert sorted(files.names(skips.DIRECTORY)) == ["000001.json", "000002.json"]
    assert "withdrew skip 2" in (poison_actions.withdraw(case, 1, 7) or "")
    assert skips.standing(files, 1, 7) is None
    assert poison_actions.withdraw(case, 1, 7) is None, "there is nothing to withdraw"

    poison_actions.allow(case, (BAD,), 1, 7, "letters")
    logged(case, 7, dead_letters=1)
    assert poison_actions.withdraw(case, 1, 7) is None, "the batch is done"


@pytest.mark.parametrize(("dead_letters", "expected"), [
    pytest.param(2, "of its records, 2 went to the dead-letter topic", id="skipped"),
    pytest.param(0, "none fails now", id="the transform was corrected meanwhile"),
])
def test_the_batch_is_awaited(case: Case, dead_letters: int, expected: str) -> None:
    with pytest.raises(AlarmError, match="not in the batch log"):
        poison_actions.await_batch(case, 1, 7)
    for batch in range(9):
        logged(case, batch, dead_letters if batch == 7 else 0)
    assert expected in poison_actions.await_batch(case, 1, 7)
