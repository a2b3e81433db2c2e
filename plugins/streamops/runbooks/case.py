"""What a runbook is called to: one pipeline, who asks, and with which options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamops.declared.pipeline import Pipeline
from streamops.declared.pipelines import Pipelines
from streamops.settings import Settings

Say = Callable[[str], None]


@dataclass(frozen=True)
class Case:
    """One call. `by` is who asks, for an order and whoever meets it; `say` is told of progress."""

    declared: Pipelines
    pipeline: Pipeline
    settings: Settings
    by: str
    say: Say
    options: Mapping[str, Any] = field(default_factory=dict)

    def number(self, option: str) -> float | None:
        """An option that is a number; None where it was left out."""
        given = self.options.get(option)
        return None if given is None else float(given)
