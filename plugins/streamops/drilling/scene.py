"""What a fault is inflicted on: one pipeline, where it runs, and who is told."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streamops.declared.pipeline import Pipeline
from streamops.drilling.backend import Backend
from streamops.settings import Settings

Say = Callable[[str], None]
#: What a fault hits, as JSON.
Aim = dict[str, Any]
#: Adds to what is written down of an open fault, before the step that it is about.
Note = Callable[[Aim], None]


@dataclass(frozen=True)
class Scene:
    """One pipeline with its backend. `chance` chooses among what there are several of."""

    pipeline: Pipeline
    backend: Backend
    settings: Settings
    say: Say
    chance: random.Random = field(default_factory=random.Random)
