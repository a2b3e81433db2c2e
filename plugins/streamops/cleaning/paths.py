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

    def __str__(self) -> str:
        return f"the state of {self.pipeline}" if self.pipeline is not None else self.url


class Bounds:
    """What may be touched below one root, given all that are declared."""

    def __init__(self, root: Root, roots: Iterable[Root] = ()) -> None:
        self.root = root
        self._whole = _why_not_a_root(root)
        others = [other for other in roots if other != root]
        # A root that lies in this one, under either of its names, is somebody else's.
        self._inner = [(inside, other) for other in others for inside in (
            _below(root.url, other.url), _below(root.resolved, other.resolved)) if inside is not None]
        for other in others:
            if self._whole is None and _are_confused(root, other):
                self._whole = f"{root} lies in {other}, so nobody knows whose it is"

    def refusal(self, path: str, resolved: str | None = None) -> str | None:
        """See `refusal` of this module."""
        if self._whole is not None:
            return self._whole
        if not path:
            return "it is the root itself"
        if path[0] == "/" or "\\" in path or "://" in path:
            return "it is not a path below the root"
        if not path.isprintable():
            return "its name has characters in it that cannot be shown"
        if {"", ".", ".."} & set(path.split("/")):
            return "it has an empty part, `.` or `..` in it"
        for inside, other in self._inner:
            if path == inside or path.startswith(f"{inside}/") or inside.startswith(f"{path}/"):
                return f"{other} is there, and not a part of {self.root}"
        if resolved is None:
            return None
        if resolved != f"{self.root.resolved.rstrip('/')}/{path}":
            return f"it leads to {resolved}: a link is on the way, or something was moved"
        return None


def refusal(root: Root, path: str, others: Iterable[Root] = (), *, resolved: str | None = None) -> str | None:
    """Why `path`, relative to `root`, must not be touched, in words; None where it may be.

    `others` are all declared roots. `resolved` is where the path really is, links followed, asked at the moment of
    acting; None while planning, where the text alone is judged.
    """
    return Bounds(root, others).refusal(path, resolved)


def _why_not_a_root(root: Root) -> str | None:
    """A root that holds everything, or nothing in particular, is a mistake in a setting."""
    place = root.resolved.rstrip("/")
    if "/" not in place:
        return f"its root is {root.resolved or 'empty'!r}, which is no folder of one pipeline"
    if root.url != root.url.rstrip("/") or "/../" in f"{place}/" or "/./" in f"{place}/":
        return f"its root is written as {root.url!r}, which is not its only name"
    return None


def _are_confused(root: Root, other: Root) -> bool:
    """Whether `root` is in `other`, and nobody can tell whose it is: the same place, or state in state."""
    inside = _is_in(root.url, other.url) or _is_in(root.resolved, other.resolved)
    around = _is_in(other.url, root.url) or _is_in(other.resolved, root.resolved)
    return inside and (around or root.kind is other.kind is RootKind.STATE)


def _below(outer: str, inner: str) -> str | None:
    """The path of `inner` in `outer`; None where it is not strictly below."""
    start = f"{outer.rstrip('/')}/"
    return inner[len(start):].strip("/") or None if inner.startswith(start) else None


def _is_in(inner: str, outer: str) -> bool:
    """Whether `inner` is `outer` or lies in it."""
    return f"{inner.rstrip('/')}/".startswith(f"{outer.rstrip('/')}/")
