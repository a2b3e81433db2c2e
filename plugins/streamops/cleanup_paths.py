"""Which paths cleanup may touch: those strictly below a declared root, with nothing that leads out of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class RootKind(StrEnum):
    """What lies below a root, and so which rules are about it."""

    STATE = "state"  # a pipeline's state directory
    CODE = "code"  # `home/code`
    WORK = "work"  # a standalone worker's folder
    EVENTS = "events"  # Spark's event logs


@dataclass(frozen=True)
class Root:
    """A declared root. `url` without a slash at its end; `resolved` is where it really is once links are followed.

    On stores without links `resolved` is the path of the URL. `pipeline` is whose state it is.
    """

    kind: RootKind
    url: str
    resolved: str
    pipeline: str | None = None


def refusal(root: Root, path: str, others: Iterable[Root] = (), *, resolved: str | None = None) -> str | None:
    """Why `path`, relative to `root`, must not be touched, in words; None where it may be.

    `others` are all declared roots. `resolved` is where the path really is, links followed, asked at the moment of
    acting; None while planning, where the text alone is judged.
    """
    raise NotImplementedError
