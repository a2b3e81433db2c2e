"""Which runbooks there are, by their names."""

from __future__ import annotations

import importlib
from typing import Any

from streamops.runbooks import restore_offsets
from streamops.runbooks.runbook import Runbook

#: Each is a module of this package with its `RUNBOOK`.
NAMES = (
    "broker_down",
    "driver_lost",
    "lag_growing",
    "offset_out_of_range",
    "poison_record",
    "stuck_batch",
)


def find(name: str) -> Runbook[Any]:
    """The runbook of that name, one of NAMES."""
    module = importlib.import_module(f"streamops.runbooks.{name}")
    runbook: Runbook[Any] = module.RUNBOOK
    return runbook


def pages() -> dict[str, str]:
    """The page of every runbook by its name, also of the one that has a procedure of its own; sorted."""
    return dict(sorted({**{name: find(name).page for name in NAMES}, "restore_offsets": restore_offsets.PAGE}.items()))


def symptom(page: str) -> str:
    """The paragraph of a page that says when this is the runbook."""
    return " ".join(page.partition("**Symptom**:")[2].partition("\n\n")[0].split())
