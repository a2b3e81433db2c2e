"""Where faults are inflicted: a backend finds what is to be hit, and hits it.

A victim is data, so that it can be written down before it is hit, and healed by another process.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from streamops.declared.pipeline import Pipeline
from streamops.drills.faults import Target
from streamops.errors import RefusedError

#: One process, container or pod, as the backend names it: JSON.
Victim = dict[str, Any]


class Backend(Protocol):
    """Everything but `aim` may be repeated without harm, and passes over what is gone."""

    @property
    def name(self) -> str: ...

    @property
    def around(self) -> Mapping[str, str]:
        """Connections of jobs through something that can be cut -> those that lead there past it."""

    def aim(self, target: Target, pipeline: Pipeline, chance: random.Random) -> list[Victim]:
        """What a fault on this target hits now; changes nothing. Raises RefusedError where there is no such thing."""

    def whole(self, victims: Sequence[Victim]) -> list[Victim]:
        """Processes, and what they have started, where that goes on without them."""

    def kill(self, victims: Sequence[Victim]) -> None:
        """End them at once, without a chance to clean up."""

    def end(self, victims: Sequence[Victim]) -> None:
        """Tell them to end, and return when they have, where that can be seen."""

    def pause(self, victims: Sequence[Victim]) -> None:
        """Let them stand still."""

    def resume(self, victims: Sequence[Victim]) -> None:
        """Let them go on."""

    def revive(self, victims: Sequence[Victim]) -> None:
        """Start again what does not come back by itself, and return when it works."""


def there_is_none(backend: str, target: Target, repair: str) -> RefusedError:
    """For a target that a backend does not have, or cannot hit."""
    return RefusedError(f"there is no {target.replace('_', ' ')} to hit by the backend {backend}", repair)
