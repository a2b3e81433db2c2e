"""Recovery points as a form offers them: the newest, and one an hour of each pipeline."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from streamops.errors import ConfigurationError

#: The newest point that knows what was processed, in place of a number.
NEWEST = "newest"


class Summary(Protocol):
    """What is asked of a stored point."""

    @property
    def id(self) -> int: ...
    @property
    def pipeline(self) -> str: ...
    @property
    def taken_at(self) -> datetime: ...
    @property
    def generation(self) -> int | None: ...


def offered(summaries: Iterable[Summary]) -> list[str]:
    """`newest`, then a pipeline's last point of each hour, newest first: `412 lines 2026-11-20 02:59 UTC`.

    Points that do not know what was processed are left out: nothing can be restored to them.
    """
    last: dict[tuple[str, str], Summary] = {}
    for each in summaries:
        if each.generation is None:
            continue
        hour = (each.pipeline, f"{each.taken_at:%Y-%m-%d %H}")
        if hour not in last or last[hour].taken_at < each.taken_at:
            last[hour] = each
    newest_first = sorted(last.values(), key=lambda each: each.taken_at, reverse=True)
    ordered = sorted(newest_first, key=lambda each: each.pipeline)
    return [NEWEST, *(f"{each.id} {each.pipeline} {each.taken_at:%Y-%m-%d %H:%M} UTC" for each in ordered)]


def number(chosen: str) -> str:
    """The number, or `newest`, of what `offered` gave or somebody typed. Raises ConfigurationError."""
    words = chosen.split()
    if not words:
        raise ConfigurationError("no recovery point is named", f"Give its number, or `{NEWEST}`.")
    return words[0]
