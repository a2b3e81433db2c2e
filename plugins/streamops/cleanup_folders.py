"""Folders that are judged as a whole: frozen code, Spark's work folders and event logs, the quarantine. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from streamops.cleanup import Found, Item
from streamops.cleanup_paths import Root
from streamops.pipeline import Cleanup


@dataclass(frozen=True)
class CodeUse:
    """Names of frozen code (`3f9a0c1d52ab`) that something uses. `unknown` says what could not be asked."""

    used: frozenset[str]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class SparkNow:
    """Ids of applications and drivers that the masters say live. `unknown` says which master did not answer."""

    living: frozenset[str]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Quarantined:
    """One thing in quarantine: where it came from and is (relative to its root), when it was put there."""

    path: str
    place: str
    size_bytes: int
    quarantined_ms: int | None
    rule: str


def code_items(root: Root, listing: Iterable[Found], use: CodeUse, settings: Cleanup, now_ms: int) -> Iterator[Item]:
    """Each `Found` is a folder `<hash>` of the code root, its size the sum and its time the newest in it."""
    raise NotImplementedError


def work_items(root: Root, listing: Iterable[Found], spark: SparkNow, settings: Cleanup, now_ms: int) -> Iterator[Item]:
    """Each `Found` is a folder `app-…` or `driver-…` of a worker's folder."""
    raise NotImplementedError


def event_items(
    root: Root, listing: Iterable[Found], spark: SparkNow, settings: Cleanup, now_ms: int
) -> Iterator[Item]:
    """Each `Found` is a file or a folder of the event logs: `app-…`, `app-….inprogress`, `eventlog_v2_app-…`."""
    raise NotImplementedError


def quarantine_items(root: Root, listing: Iterable[Quarantined], settings: Cleanup, now_ms: int) -> Iterator[Item]:
    """What may be purged. `Item.path` is the `place` in quarantine."""
    raise NotImplementedError
