"""Files of a directory that are numbered, one after the other: `000004.json`. The highest number is the current one.

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

from collections.abc import Iterable


def name(number: int) -> str:
    return f"{number:06d}.json"


def latest(names: Iterable[str]) -> int | None:
    """The highest number among the names in the directory, or None when there is none yet; other files do not count."""
    numbers = [int(stem) for name in names if (stem := name.removesuffix(".json")) != name and stem.isdigit()]
    return max(numbers, default=None)
