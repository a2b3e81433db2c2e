"""What is wrong with a file: each problem with its line and its repair, all of them in one report.

Standard library only.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

#: Where something stands in a document: keys and list positions from the root.
Path = tuple[str | int, ...]

#: A value quoted in a message is cut here: enough to recognise it, and no more of what may not be for logs.
_QUOTED_LENGTH = 60

#: User and password in a URL: never repeated in a message.
_CREDENTIALS = re.compile(r"//[^/@\s]*@")


@dataclass(frozen=True, order=True)
class Problem:
    """One thing to correct: `line` from 1, `found` says what is wrong, `repair` what to write instead."""

    line: int
    path: Path
    found: str
    repair: str

    def as_dict(self) -> dict[str, Any]:
        return {"line": self.line, "path": dotted(self.path), "found": self.found, "repair": self.repair}


class Mistake(ValueError):
    """A value that is refused: what was found, and the repair. The one who knows the place makes it a Problem."""

    def __init__(self, found: str, repair: str) -> None:
        super().__init__(found)
        self.found = found
        self.repair = repair


def dotted(path: Path) -> str:
    """`pipelines.orders.topics[0]`; "the file" for the root."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".") or "the file"


def quoted(value: Any) -> str:
    """A value as a message shows it: in YAML's words, cut when long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = _CREDENTIALS.sub("//***@", repr(value))
    return text if len(text) <= _QUOTED_LENGTH else text[:_QUOTED_LENGTH] + "…"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be; None when nothing is close."""
    by_folded = {other.lower().replace("-", "_"): other for other in known}
    close = difflib.get_close_matches(name.lower().replace("-", "_"), by_folded, n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None


def choices(known: Iterable[str]) -> str:
    """`a`, `b` or `c`."""
    names = [f"`{name}`" for name in known]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def report(file: str, problems: Iterable[Problem]) -> str:
    """Every problem as `file:line: found` with its repair below, in the order of lines."""
    ordered = sorted(set(problems), key=lambda problem: (problem.line, str(problem.path), problem.found))
    count = "1 problem" if len(ordered) == 1 else f"{len(ordered)} problems"
    return "\n".join([
        f"{file} has {count}:",
        *(f"{file}:{problem.line}: {problem.found}\n    {problem.repair}" for problem in ordered),
    ])
