"""What a runbook takes back: its own stop, and nobody else's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.pipelines.files import state_files
from streamops.declared.pipelines import Pipelines
from streamops.runbooks import actions
from streamops.runbooks.case import Case
from streamops.settings import Settings
from streamops.state import orders
from streamops.state.orders import Order, Wish

from ..on_call import PIPELINE, ago

ME = "alice@host, runbook stuck_batch"


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    storage = json.dumps({"conn_type": "generic", "extra": {"url": tmp_path.as_uri()}})
    monkeypatch.setenv("AIRFLOW_CONN_STREAMOPS_STORAGE", storage)
    declared = Pipelines("pipelines.yaml", {}, {"lines": PIPELINE}, PIPELINE.connections)
    return Case(declared, PIPELINE, Settings.load(), ME, lambda _line: None)


def ordered(files: StateFiles, number: int, wish: Wish, by: str) -> None:
    files.write_new(orders.path(number), Order("lines", number, wish, by, ago(number)).to_json())


def test_its_own_stop_is_lifted_once(case: Case) -> None:
    files = state_files(PIPELINE)
    ordered(files, 1, Wish.STOP, ME)
    assert actions.lift_own_stop(case) == "took back the runbook's own stop: lines is ordered to run"
    standing = orders.standing(files)
    assert standing is not None
    assert (standing.number, standing.wish, standing.by) == (2, Wish.RUN, ME)
    assert actions.lift_own_stop(case) is None


@pytest.mark.parametrize("wish", [Wish.STOP, Wish.PAUSE])
def test_a_stop_that_somebody_else_gave_stands(case: Case, wish: Wish) -> None:
    files = state_files(PIPELINE)
    ordered(files, 1, Wish.STOP, ME)
    ordered(files, 2, wish, "bob@host")
    assert actions.lift_own_stop(case) is None
    standing = orders.standing(files)
    assert standing is not None
    assert standing.by == "bob@host"


def test_without_any_order_there_is_nothing_to_lift(case: Case) -> None:
    assert actions.lift_own_stop(case) is None
