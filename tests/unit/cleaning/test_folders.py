"""Frozen code, Spark's folders and the quarantine: what goes, and what somebody may still need."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamops.cleaning.cleanup import Found, Item, Reason
from streamops.cleaning.folders import (
    CodeUse,
    Quarantined,
    SparkNow,
    code_items,
    code_used,
    event_items,
    quarantine_items,
    work_items,
)
from streamops.cleaning.paths import Root, RootKind
from streamops.declared.pipeline import Cleanup, CleanupRules
from streamops.errors import StateError
from streamops.state import drivers, releases, versions
from streamops.state.drivers import DriverRecord
from streamops.state.lease import Owner, OwnerKind
from streamops.state.releases import Release, Stage
from streamops.state.versions import Version

from ..state_directory import NOW_MS, ROOT, WRITTEN_MS, StateDirectory, iso, receiving

_DAY_MS = 86_400_000
CODE = Root(RootKind.CODE, "file:///home/code", "/home/code")
WORK = Root(RootKind.WORK, "file:///home/work", "/home/work")
LONG_AGO_MS = NOW_MS - 60 * _DAY_MS
USED, FREE = "3f9a0c1d52ab", "77ab0e1f0c9d"
APP, DRIVER = "app-20261120030000-0007", "driver-20261120030000-0003"


def found(path: str, modified_ms: int | None = LONG_AGO_MS, link: bool = False) -> Found:
    return Found(path, 100, modified_ms, link)


def code(each: Found, use: CodeUse | None = None, cleanup: Cleanup | None = None) -> Item:
    use = use or CodeUse(frozenset({USED}))
    return next(code_items(CODE, [each], use, cleanup or Cleanup(), NOW_MS))


def test_code_that_nothing_uses_goes() -> None:
    assert code(found(FREE)).goes
    assert code(found(f".{FREE}.k2j3")).goes, "left by a process that died while it wrote"


@pytest.mark.parametrize(("each", "use", "reason"), [
    (found(USED), None, Reason.NEEDED),
    (found(FREE), CodeUse(frozenset(), ("orders: storage does not answer",)), Reason.UNPROVEN),
    (found(FREE, NOW_MS - _DAY_MS), None, Reason.YOUNG),
    (found(FREE, NOW_MS + _DAY_MS), None, Reason.CLOCK),
    (found(FREE, None), None, Reason.UNPROVEN),
    (found("jobs"), None, Reason.NO_RULE),
    (found(FREE, link=True), None, Reason.REFUSED_PATH),
    (found(f"{FREE}/job.py"), None, Reason.REFUSED_PATH),
    (found("../code"), None, Reason.REFUSED_PATH),
])
def test_code_stays(each: Found, use: CodeUse | None, reason: Reason) -> None:
    assert code(each, use).reason is reason
    assert code(found(FREE), cleanup=Cleanup(rules=CleanupRules(code=False))).reason is Reason.RULE_OFF


def version(name: str) -> Version:
    return Version("orders", name * 12, {"approach": "receiver"}, {})


def driver_record(name: str, of: Version | None, **changes: object) -> DriverRecord:
    record = DriverRecord(name, "orders", Owner(OwnerKind.SHELL), iso(WRITTEN_MS), version=of and of.id)
    return replace(record, **changes)  # type: ignore[arg-type]  # the test's own


def with_versions(*records: DriverRecord, release: Release | None = None) -> StateDirectory:
    made = receiving()
    for each in map(version, "abcdef"):
        made.put(versions.path(each.id), each.to_json())
    for record in records:
        made.put(drivers.path(record.driver), record.to_json())
    if release is not None:
        made.put(releases.path(1), release.to_json())
    return made


def test_code_that_may_run_again_is_used() -> None:
    made = with_versions(
        driver_record("driver-1", version("a")),  # logged the last batch, and holds the lease
        driver_record("driver-2", version("b")),  # was killed, and may be relaunched
        driver_record("driver-3", version("c"), stop_kind="stop_ordered"),
        driver_record("driver-4", version("d")),
        release=Release("orders", 1, Stage.ROLLED_BACK, version("e").id, version("f").id, "me", iso(WRITTEN_MS)),
    )
    assert code_used(made) == {letter * 12 for letter in "abdef"}
    assert code_used(made, ended={"driver-1", "driver-4"}) == {letter * 12 for letter in "abef"}, "the lease's stays"


def test_the_last_version_that_worked_is_used_also_after_its_driver_ended() -> None:
    made = with_versions(driver_record("driver-1", version("a"), stop_kind="stop_ordered"))
    assert code_used(made) == {"a" * 12}


def test_versions_that_cannot_be_read_leave_the_use_of_code_unknown() -> None:
    made = with_versions(driver_record("driver-1", version("a")))
    made.put(versions.path(version("a").id), "{")
    with pytest.raises(StateError):
        code_used(made)
    made.files.pop(versions.path(version("a").id))
    with pytest.raises(StateError, match="which a driver or a release is of, is missing"):
        code_used(made)


@pytest.mark.parametrize(("name", "spark", "reason"), [
    (APP, SparkNow(frozenset({APP})), Reason.IN_USE),
    (DRIVER, SparkNow(frozenset({DRIVER})), Reason.IN_USE),
    (APP, SparkNow(frozenset(), ("the master at :6066 does not answer",)), Reason.UNPROVEN),
    ("application_1795000000000_0001", SparkNow(frozenset()), Reason.NO_RULE),
    ("data", SparkNow(frozenset()), Reason.NO_RULE),
])
def test_a_work_folder_stays(name: str, spark: SparkNow, reason: Reason) -> None:
    assert next(work_items(WORK, [found(name)], spark, Cleanup(), NOW_MS)).reason is reason


def test_a_young_work_folder_stays_and_an_old_one_goes() -> None:
    young, old = work_items(WORK, [found(APP, NOW_MS), found(DRIVER)], SparkNow(frozenset()), Cleanup(), NOW_MS)
    assert (young.reason, old.goes) == (Reason.YOUNG, True)


@pytest.mark.parametrize("name", [APP, f"{APP}.inprogress", f"{APP}.zstd", f"{APP}_1.lz4", f"eventlog_v2_{APP}"])
def test_event_logs_go_when_their_application_is_over(name: str) -> None:
    root = Root(RootKind.EVENTS, "file:///home/events", "/home/events")
    (over,) = event_items(root, [found(name)], SparkNow(frozenset()), Cleanup(), NOW_MS)
    (lives,) = event_items(root, [found(name)], SparkNow(frozenset({APP})), Cleanup(), NOW_MS)
    assert (over.goes, lives.reason) == (True, Reason.IN_USE)


def quarantined(**changes: object) -> Item:
    path, since_ms = "checkpoint/000001/a", NOW_MS - 8 * _DAY_MS
    thing = replace(Quarantined(path, f".quarantine/7/{path}", 9, since_ms, "generation"), **changes)  # type: ignore[arg-type]  # the test's own
    return next(quarantine_items(ROOT, [thing], Cleanup(), NOW_MS))


def test_what_was_long_enough_in_quarantine_is_purged() -> None:
    item = quarantined()
    assert item.proof == "8.0 days in quarantine, by the rule generation"
    assert item.path == ".quarantine/7/checkpoint/000001/a"


@pytest.mark.parametrize(("changes", "reason"), [
    ({"quarantined_ms": NOW_MS - 6 * _DAY_MS}, Reason.YOUNG),
    ({"quarantined_ms": None}, Reason.UNREADABLE),
    ({"quarantined_ms": NOW_MS + _DAY_MS}, Reason.CLOCK),
    ({"place": "checkpoint/000001/a"}, Reason.REFUSED_PATH),
    ({"place": ".quarantine/../checkpoint/a"}, Reason.REFUSED_PATH),
    ({"path": "../lines/checkpoint"}, Reason.REFUSED_PATH),
])
def test_what_is_not_surely_in_quarantine_for_long_enough_stays(changes: dict[str, object], reason: Reason) -> None:
    assert quarantined(**changes).reason is reason
