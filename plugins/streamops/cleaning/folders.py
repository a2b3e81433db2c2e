"""Folders that are judged as a whole: frozen code, Spark's work folders and event logs, the quarantine.

Pure but for reading which code a pipeline's state directory names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from streamops.cleaning.cleanup import Found, Item, Reason, Rule, Verdict, goes, keeps
from streamops.cleaning.paths import Bounds, Root
from streamops.cleaning.proofs import CLOCKS_MS, age
from streamops.declared.pipeline import Cleanup
from streamops.errors import StateError
from streamops.state import drivers, evidence, releases, versions
from streamops.state.batch_log import Files

_DAY_H = 24
_DAY_MS = 86_400_000
#: The name of frozen code (adapters/code_bundle.py), and of the folder that it is written in before it has that name.
_CODE = re.compile(r"[0-9a-f]{12}")
_CODE_ASIDE = re.compile(r"\.[0-9a-f]{12}\..+")
#: Ids that a standalone master gives, and the names that event logs have by them.
_OF_SPARK = re.compile(r"(app|driver)-\d{14}-\d{4,}")
_EVENTS = re.compile(r"(?:eventlog_v2_)?(app-\d{14}-\d{4,})(?:_\d+)?(?:\.(?:zstd|lz4|snappy|lzf))?(?:\.inprogress)?")


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


def code_used(files: Files, ended: Collection[str] = ()) -> frozenset[str]:
    """Names of the code that one pipeline's state directory needs: what runs, what is to run, what worked last.

    `ended` are drivers that the master says are over; every other one without an end in its record may be relaunched.
    Raises StateError for what cannot be read, and then the use of code is unknown.
    """
    wanted = set()
    if (standing := releases.standing(files)) is not None:
        wanted |= {standing.version, standing.healthy}
    held = evidence.holder(files)
    for name in files.names(drivers.DIRECTORY):
        record = evidence.record(files, name.removesuffix(".json")) if name.endswith(".json") else None
        if record is None or record.version is None or record.stop_kind is not None:
            continue
        if record.driver not in ended or (held is not None and held.driver == record.driver):
            wanted.add(record.version)
    last = versions.healthy(files)
    known = [last] if last is not None else []
    for version in sorted(wanted):
        if (found := versions.read(files, version)) is None:
            raise StateError(f"{versions.path(version)}, which a driver or a release is of, is missing",
                             "Put it back from a copy, or switch the rule off: `cleanup: {rules: {code: false}}`.")
        known.append(found)
    return frozenset(each.code for each in known)


def code_items(root: Root, listing: Iterable[Found], use: CodeUse, settings: Cleanup, now_ms: int) -> Iterator[Item]:
    """Each `Found` is a folder `<hash>` of the code root, its size the sum and its time the newest in it."""

    def verdict(name: str) -> Verdict:
        if _CODE_ASIDE.fullmatch(name):
            return goes(Rule.CODE, "it was written aside, and its writer would have renamed it at once")
        if not _CODE.fullmatch(name):
            return keeps(None, Reason.NO_RULE, "it is no frozen code")
        if use.unknown:
            return keeps(Rule.CODE, Reason.UNPROVEN, f"nobody knows what uses it: {'; '.join(use.unknown)}")
        if name in use.used:
            return keeps(Rule.CODE, Reason.NEEDED, "a driver, a release or what is deployed is of it")
        return goes(Rule.CODE, "no driver, no release and no last healthy version is of it, nor what is deployed")

    return _folders(root, listing, Rule.CODE, verdict, settings.rules.code, settings.code_d, now_ms)


def work_items(root: Root, listing: Iterable[Found], spark: SparkNow, settings: Cleanup, now_ms: int) -> Iterator[Item]:
    """Each `Found` is a folder `app-…` or `driver-…` of a worker's folder."""
    rule = Rule.WORK_FOLDER

    def verdict(name: str) -> Verdict:
        return _of_spark(rule, name if _OF_SPARK.fullmatch(name) else None, spark)

    return _folders(root, listing, rule, verdict, settings.rules.work_folder, settings.spark_d, now_ms)


def event_items(
    root: Root, listing: Iterable[Found], spark: SparkNow, settings: Cleanup, now_ms: int
) -> Iterator[Item]:
    """Each `Found` is a file or a folder of the event logs: `app-…`, `app-….inprogress`, `eventlog_v2_app-…`."""
    rule = Rule.EVENT_LOG

    def verdict(name: str) -> Verdict:
        named = _EVENTS.fullmatch(name)
        return _of_spark(rule, named[1] if named else None, spark)

    return _folders(root, listing, rule, verdict, settings.rules.event_log, settings.spark_d, now_ms)


def quarantine_items(root: Root, listing: Iterable[Quarantined], settings: Cleanup, now_ms: int) -> Iterator[Item]:
    """What may be purged. `Item.path` is the `place` in quarantine."""
    bounds, rule = Bounds(root), Rule.QUARANTINE
    for each in listing:
        since_ms = each.quarantined_ms
        if refused := bounds.refusal(each.place) or bounds.refusal(each.path):
            said = keeps(None, Reason.REFUSED_PATH, refused)
        elif not each.place.startswith(".quarantine/"):
            said = keeps(None, Reason.REFUSED_PATH, "it is not in the quarantine")
        elif not settings.rules.quarantine:
            said = keeps(rule, Reason.RULE_OFF)
        elif since_ms is None:
            said = keeps(rule, Reason.UNREADABLE, "nothing says when it was put there")
        elif since_ms > now_ms + CLOCKS_MS:
            said = keeps(rule, Reason.CLOCK, f"it was put there {(since_ms - now_ms) / 1000:,.0f} s from now")
        elif now_ms - since_ms < settings.quarantine_d * _DAY_MS:
            said = keeps(rule, Reason.YOUNG, f"{(now_ms - since_ms) / _DAY_MS:.1f} of {settings.quarantine_d:g} days")
        else:
            said = goes(rule, f"{(now_ms - since_ms) / _DAY_MS:.1f} days in quarantine, by the rule {each.rule}")
        yield Item(root.url, each.place, each.size_bytes, since_ms, said.rule, said.proof, said.reason, said.words)


def _of_spark(rule: Rule, name: str | None, spark: SparkNow) -> Verdict:
    if name is None:
        return keeps(None, Reason.NO_RULE, "its name is not one that a standalone master gives")
    if spark.unknown:
        return keeps(rule, Reason.UNPROVEN, f"nobody knows whether it lives: {'; '.join(spark.unknown)}")
    if name in spark.living:
        return keeps(rule, Reason.IN_USE, f"{name} lives")
    return goes(rule, f"no master knows {name} as living")


def _folders(
    root: Root, listing: Iterable[Found], rule: Rule, verdict: Callable[[str], Verdict], is_on: bool, least_d: float,
    now_ms: int,
) -> Iterator[Item]:
    """What becomes of the entries of a root, each by its name, and by its age where nothing else stands against it."""
    bounds = Bounds(root)
    for found in listing:
        if found.link:
            said = keeps(None, Reason.REFUSED_PATH, "it is a symbolic link")
        elif (refused := bounds.refusal(found.path)) or "/" in found.path:
            said = keeps(None, Reason.REFUSED_PATH, refused or "it is not directly in its root")
        else:
            said = verdict(found.path)
            if said.proof is not None and not is_on:
                said = keeps(rule, Reason.RULE_OFF)
            elif said.proof is not None and (young := age(found, least_d * _DAY_H, now_ms)):
                said = keeps(rule, *young)
        yield Item(root.url, found.path, found.size_bytes, found.modified_ms, said.rule, said.proof, said.reason,
                   said.words)
