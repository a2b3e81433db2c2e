"""What cleanup lets go of one state directory, and every attempt to make it take something that is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamops.cleaning.cleanup import Found, Item, Reason, Rule
from streamops.cleaning.ground import KafkaNow
from streamops.cleaning.judge import Judge, recheck
from streamops.cleaning.paths import Root, RootKind
from streamops.declared.pipeline import Cleanup, CleanupRules
from streamops.restoring.batch_boundaries import boundaries
from streamops.state.batch_log import Entry
from streamops.state.generations import Restored
from streamops.state.offsets import OffsetRange, Offsets, TopicPartition, ranges_between
from streamops.state.superseded import NOTHING, Span, Superseded, runs

from ..segments import chunk, record, segment
from ..state_directory import (
    KAFKA,
    NEWEST,
    NOW_MS,
    P0,
    P1,
    PROCESSED,
    ROOT,
    StateDirectory,
    point,
    receiving,
    restored,
    span,
)

_DAY_MS = 86_400_000
OLD = "checkpoint/000001/000001-001"
OTHER_ID = "another-incarnation-of-it"


def test_a_processed_segment_goes_and_the_one_that_is_written_stays() -> None:
    plan = receiving().plan_all(living=True)
    assert plan[PROCESSED].goes
    assert plan[PROCESSED].rule is Rule.WRITE_AHEAD_LOG
    assert plan[PROCESSED].proof == "its 2 records are processed: lines-0 to 100"
    assert (plan[NEWEST].reason, plan[NEWEST].rule) == (Reason.IN_USE, Rule.WRITE_AHEAD_LOG)
    assert [path for path, item in plan.items() if item.goes] == [PROCESSED]


def test_an_older_start_goes_whole_once_all_that_it_stored_is_processed() -> None:
    plan = restored().plan_all(points=(point(1), point(2)))
    assert {path for path, item in plan.items() if item.goes} == {
        PROCESSED, NEWEST, f"{OLD}/written_by.json"}
    assert {item.rule for item in plan.values() if item.goes} == {Rule.GENERATION}
    assert "are processed: lines-0 to 130" in str(plan[NEWEST].proof)


def test_an_older_generation_of_its_own_log_needs_no_recovery_point() -> None:
    """What the generation itself logged, and nobody superseded, is in the sink whatever became of the topic."""
    made = restored()
    made.files.pop(NEWEST)
    assert made.plan_all()[PROCESSED].goes


@dataclass(frozen=True)
class Attempt:
    """Something that must not go: how it came to be, and why it stays."""

    name: str
    make: Callable[[], StateDirectory]
    path: str
    reason: Reason
    ground: dict[str, Any]

    def __str__(self) -> str:
        return self.name


def attempt(name: str, make: Callable[[], StateDirectory], path: str, reason: Reason, **ground: Any) -> Any:
    return pytest.param(Attempt(name, make, path, reason, ground), id=name)


def changed(
    base: Callable[[], StateDirectory], change: Callable[[StateDirectory], object]
) -> Callable[[], StateDirectory]:
    def make() -> StateDirectory:
        made = base()
        change(made)
        return made
    return make


def both(*changes: Callable[[StateDirectory], object]) -> Callable[[StateDirectory], object]:
    def change(made: StateDirectory) -> None:
        for each in changes:
            each(made)
    return change


def direct() -> StateDirectory:
    """A direct pipeline in its second generation; the first one's checkpoint had planned batch 1, to 150."""
    made = StateDirectory()
    made.generation(1, {P0: 0}, approach="direct")
    made.batch(1, 0, span(0, 100))
    made.checkpointed(1, 0, {"lines": {"0": 100}})
    made.checkpointed(1, 1, {"lines": {"0": 150}})
    made.generation(2, {P0: 100}, approach="direct")
    made.batch(2, 0, span(100, 200))
    made.lease(2)
    return made


def rewound() -> StateDirectory:
    """A restore went back to 50, and the pipeline has come to 80 since."""
    made = receiving()
    made.generation(2, {P0: 50}, superseded=NOTHING.adding([Span(1, 0)]), restored=Restored("offset 50", 7))
    made.batch(2, 0, span(50, 80))
    made.lease(2)
    return made


def went_past() -> StateDirectory:
    """A restore to the latest offset: 130 to 500 were skipped, and the log has some of them."""
    made = receiving()
    made.log("000001-001", span(130, 140), began=140)
    made.generation(2, {P0: 500}, restored=Restored("latest", 7))
    made.batch(2, 0, span(500, 600))
    made.lease(2)
    return made


def went_past_a_rewind() -> StateDirectory:
    """Back to 50, and, before anything was processed, on to 120: offsets 50 to 120 are in no batch that counts."""
    made = rewound()
    made.files.pop(NEWEST)
    made.files.pop("batch_log/000002/000000000000.json")
    made.batch(1, 0, span(0, 50))
    made.batch(1, 1, span(50, 100))
    made.generation(2, {P0: 50}, superseded=NOTHING.adding([Span(1, 1)]))
    made.generation(3, {P0: 120}, superseded=NOTHING.adding([Span(1, 1), Span(2, 0)]))
    made.batch(3, 0, span(120, 200))
    made.lease(3)
    return made


def undone() -> StateDirectory:
    """A restore to 50 that was taken back: what its receivers stored, the first generation has processed."""
    made = receiving()
    made.generation(2, {P0: 50}, superseded=NOTHING.adding([Span(1, 0)]), restored=Restored("offset 50", 7))
    made.log("000002-001", span(50, 90), generation=2)
    made.generation(3, {P0: 100}, superseded=NOTHING.adding([Span(2, 0)]), restored=Restored("undo", 8, undoes=2))
    made.lease(3)
    return made


LOG = f"{OLD}/receivedData/0/log-2000-62000"
GROUND_2 = {"points": (point(1), point(2))}
HELD = {"held": True}
ASIDE = "output/_aside/1-1-1/part-0.parquet"
PLAN = "plans/000001/000000000001.json"
RUNNING = "output/generation=1/batch=1/_temporary/0/part"
ENTRY = "batch_log/000001/000000000000.json"
ROLLED = "batch_log/000001/000000000000-000000000099.jsonl"


def rolled_up(made: StateDirectory) -> None:
    """200 batches of 10 offsets, of which the first hundred are rolled up, and their files left."""
    for batch in range(200):
        made.batch(1, batch, span(batch * 10, batch * 10 + 10))
    made.roll_up(1, 0, 99)


ATTEMPTS = [
    # what is not processed
    attempt("an unprocessed segment", changed(receiving, lambda d: d.log("000001-001", span(90, 101), began=2)), LOG,
            Reason.UNPROCESSED),
    attempt("a segment of which one chunk of many is unprocessed",
            changed(receiving, lambda d: d.log("000001-001", span(0, 10), span(100, 101), span(10, 20), began=2)), LOG,
            Reason.UNPROCESSED),
    attempt("a segment with a partition that was added", changed(receiving, lambda d: d.log(
        "000001-001", span(0, 10), span(0, 10, P1), began=2)), LOG, Reason.UNPROCESSED),
    attempt("a segment of a topic that is read no more", changed(receiving, lambda d: d.log(
        "000001-001", OffsetRange("gone", 0, 0, 1), began=2)), LOG, Reason.UNPROCESSED),
    attempt("the last segment of a dead driver", receiving, NEWEST, Reason.IN_USE),
    attempt("a start of an older generation with a segment that is not processed", changed(
        restored, lambda d: d.log("000001-001", span(190, 201), began=200)), PROCESSED, Reason.UNPROCESSED, **GROUND_2),
    attempt("an older generation after a rewind below it", rewound, PROCESSED, Reason.UNPROCESSED,
            points=(point(1), point(2))),
    attempt("an older generation whose own log has it, after a rewind", changed(rewound, lambda d: d.files.pop(NEWEST)),
            PROCESSED, Reason.UNPROCESSED, points=(point(1), point(2))),
    attempt("records of a superseded batch that a later restore skipped", went_past_a_rewind, PROCESSED,
            Reason.UNPROCESSED, points=(point(1), point(2), point(3))),
    attempt("records that a restore skipped", went_past, PROCESSED, Reason.UNPROCESSED, points=(point(1), point(2))),
    attempt("a direct checkpoint that planned a batch beyond what is processed", changed(
        direct, lambda d: d.checkpointed(1, 2, {"lines": {"0": 201}})), "checkpoint/000001/offsets/0",
        Reason.UNPROCESSED, **GROUND_2),
    attempt("a plan of an older generation beyond what is processed", changed(
        restored, lambda d: d.plan(1, 1, span(100, 300))), PLAN, Reason.UNPROCESSED, **GROUND_2),
    attempt("the plan of the batch that runs", changed(receiving, lambda d: d.plan(1, 1, span(100, 130))), PLAN,
            Reason.NO_RULE),
    attempt("records that are counted as lost, of which the log has the only copy", changed(
        receiving, lambda d: d.batch(1, 0, span(0, 100), lost=[span(10, 20)])), PROCESSED, Reason.UNPROCESSED),
    attempt("records that a restore counted as lost", changed(restored, lambda d: d.generation(
        2, {P0: 100}, restored=Restored("point 1", 7, lost=(span(40, 50),)))), PROCESSED, Reason.UNPROCESSED,
        **GROUND_2),

    # what a recovery point needs
    attempt("a segment of a held point", receiving, PROCESSED, Reason.NEEDED,
            points=(point(wal=(span(50, 70),), **HELD),)),
    attempt("a segment of whose last offset a held point is in need", receiving, PROCESSED, Reason.NEEDED,
            points=(point(wal=(span(99, 120),), **HELD),)),
    attempt("a segment that a point needs and Kafka has no more", receiving, PROCESSED, Reason.NEEDED,
            points=(point(wal=(span(50, 70),)),), kafka=KafkaNow(KAFKA.topic_ids, {P0: 60})),
    attempt("a segment that a point needs, while Kafka does not answer", receiving, PROCESSED, Reason.NEEDED,
            points=(point(wal=(span(50, 70),)),), kafka=KafkaNow()),
    attempt("a segment of a point that does not know its log", receiving, PROCESSED, Reason.NEEDED,
            points=(point(wal=None, processed={P0: 20}),), kafka=KafkaNow(KAFKA.topic_ids, {P0: 30})),
    attempt("a generation to which an undo leads back", changed(restored, lambda d: d.generation(
        2, {P0: 100}, restored=Restored("point 1", undo_point=7))), PROCESSED, Reason.NEEDED,
        points=(point(1, id=7), point(2))),
    attempt("a generation of a held point", restored, PROCESSED, Reason.NEEDED, points=(point(1, **HELD), point(2))),
    attempt("a direct checkpoint of a held point", direct, "checkpoint/000001/offsets/0", Reason.NEEDED,
            points=(point(1, **HELD), point(2))),
    attempt("recovery points that cannot be read", receiving, PROCESSED, Reason.UNPROVEN, points=None),
    attempt("the same for an older generation", restored, PROCESSED, Reason.UNPROVEN, points=None),

    # what cannot be read, or understood
    attempt("a torn segment", changed(receiving, lambda d: d.log(
        "000001-001", began=2, content=segment([span(0, 10)], [span(10, 20)])[:-3])), LOG, Reason.UNREADABLE),
    attempt("a segment of noise", changed(receiving, lambda d: d.log("000001-001", began=2, content=b"\x00" * 99)), LOG,
            Reason.UNREADABLE),
    attempt("a segment of another serialiser", changed(receiving, lambda d: d.log(
        "000001-001", began=2, content=record(b"\x01kryo"))), LOG, Reason.UNREADABLE),
    attempt("a segment of a later format", changed(receiving, lambda d: d.log(
        "000001-001", began=2, content=record(chunk([span(0, 1)], b"", version=2)))), LOG, Reason.UNREADABLE),
    attempt("a segment of which nothing can be seen yet", changed(receiving, lambda d: d.log(
        "000001-001", began=2, content=b"")), LOG, Reason.UNREADABLE),
    attempt("a start of an older generation with a torn segment", changed(restored, lambda d: d.log(
        "000001-001", began=200, content=segment([span(0, 10)])[:-3])), PROCESSED, Reason.UNREADABLE, **GROUND_2),
    attempt("a start of an older generation with something strange among its segments", changed(
        restored, lambda d: d.put(f"{OLD}/receivedData/0/unknown")), PROCESSED, Reason.UNREADABLE, **GROUND_2),
    attempt("a start of an older generation with a file where a receiver's folder should be", changed(
        restored, lambda d: d.put(f"{OLD}/receivedData/1")), PROCESSED, Reason.UNREADABLE, **GROUND_2),
    attempt("a generation whose file is gone", changed(restored, lambda d: d.files.pop("generations/000001.json")),
            PROCESSED, Reason.UNREADABLE, **GROUND_2),
    attempt("a generation whose file is damaged", changed(restored, lambda d: d.put("generations/000001.json", "{")),
            PROCESSED, Reason.UNREADABLE, **GROUND_2),
    attempt("a damaged head of the batch log", changed(receiving, lambda d: d.put(ENTRY, "{}")), PROCESSED,
            Reason.UNREADABLE),
    attempt("a direct checkpoint that does not say offsets", changed(direct, lambda d: d.put(
        "checkpoint/000001/offsets/1", "v1\n{}\nnot json")), "checkpoint/000001/offsets/0", Reason.UNREADABLE,
        **GROUND_2),
    attempt("a batch log whose losses cannot be read", changed(receiving, lambda d: both(
        lambda d: d.batch(1, 1, span(100, 100)),
        lambda d: d.put(ENTRY, d.files[ENTRY].replace(b'"lost":[]', b'"lost":7')))(d)), PROCESSED, Reason.UNREADABLE),
    attempt("a generation without offsets", changed(restored, lambda d: d.generation(1, {}, approach="folder_stream")),
            f"{OLD}/written_by.json", Reason.UNPROVEN, **GROUND_2),

    # topics that were made again
    attempt("a topic that was made again, and is processed further than the old one was", restored, NEWEST,
            Reason.UNPROVEN, points=(point(1, topic_ids={"lines": OTHER_ID}), point(2))),
    attempt("a topic of which no point of that generation says which it was", restored, NEWEST, Reason.UNPROVEN,
            points=(point(2),)),
    attempt("a topic whose id Kafka does not tell", restored, NEWEST, Reason.UNPROVEN, **GROUND_2,
            kafka=KafkaNow({"lines": None}, {P0: 0})),
    attempt("a topic that was made again and again: points of one generation differ", restored, NEWEST, Reason.UNPROVEN,
            points=(point(1), point(1, id=9, topic_ids={"lines": OTHER_ID}), point(2))),

    attempt("records that a restore skipped, and the old topic of that name had processed", changed(
        went_past, lambda d: (d.generation(3, {P0: 900}), d.lease(3), d.log("000002-001", span(650, 700), generation=2),
                              d.generation(1, {P0: 0}), d.batch(1, 0, span(0, 2000)), d.batch(3, 0, span(900, 901)))),
        "checkpoint/000002/000002-001/receivedData/0/log-1000-61000", Reason.UNPROCESSED,
        points=(point(1, topic_ids={"lines": OTHER_ID}), point(2), point(3))),

    # whose it is
    attempt("a renamed pipeline", receiving, PROCESSED, Reason.UNPROVEN, pipeline="invoices",
            root=replace(ROOT, pipeline="invoices"), roots=()),
    attempt("a state directory with a generation of another pipeline", changed(
        restored, lambda d: d.generation(1, {P0: 0}, pipeline="invoices")), PROCESSED, Reason.UNPROVEN, **GROUND_2),
    attempt("two pipelines that share a root", receiving, PROCESSED, Reason.REFUSED_PATH,
            roots=(ROOT, replace(ROOT, pipeline="invoices"))),
    attempt("two pipelines whose roots are one place by a link", receiving, PROCESSED, Reason.REFUSED_PATH,
            roots=(ROOT, Root(RootKind.STATE, "file:///mnt/streams", "/var/streams/orders", "invoices"))),
    attempt("a root inside of this one", receiving, PROCESSED, Reason.REFUSED_PATH,
            roots=(ROOT, Root(RootKind.STATE, f"{ROOT.url}/checkpoint", f"{ROOT.resolved}/checkpoint", "invoices"))),
    attempt("a state directory that was deleted, and a log that is left", changed(
        receiving, lambda d: d.files.pop("generations/000001.json")), PROCESSED, Reason.UNPROVEN),

    # times
    attempt("a clock that was set back", receiving, PROCESSED, Reason.CLOCK, now_ms=NOW_MS - 8 * _DAY_MS),
    attempt("a clock that was set back behind a recovery point", receiving, PROCESSED, Reason.CLOCK,
            points=(point(taken_ms=NOW_MS + 600_000),)),
    attempt("a file of the future", changed(receiving, lambda d: d.log("000001-001", span(0, 1), began=2) and
            d.modified_ms.update({LOG: NOW_MS + 600_000})), LOG, Reason.CLOCK),
    attempt("a file that changed just now", changed(receiving, lambda d: d.modified_ms.update({PROCESSED: NOW_MS})),
            PROCESSED, Reason.YOUNG),

    # drivers that live
    attempt("what the holder of the lease puts aside", changed(receiving, lambda d: d.put(ASIDE)), ASIDE, Reason.IN_USE,
            living=True),
    attempt("what a driver puts aside that may live", changed(receiving, lambda d: d.put(ASIDE)), ASIDE, Reason.IN_USE,
            living=None),
    attempt("what is put aside under a lease that is not there", changed(receiving, lambda d: d.put(
        "output/_aside/1-1-9/part-0")), "output/_aside/1-1-9/part-0", Reason.UNPROVEN),
    attempt("a folder in _aside that does not say whose it is", changed(receiving, lambda d: d.put(
        "output/_aside/mine/part-0")), "output/_aside/mine/part-0", Reason.UNREADABLE),
    attempt("a temporary file in the checkpoint of a driver that lives", changed(receiving, lambda d: d.put(
        "checkpoint/000001/offsets/.8.f00.tmp")), "checkpoint/000001/offsets/.8.f00.tmp", Reason.IN_USE, living=True),
    attempt("the backup of a checkpoint that a driver may write", changed(receiving, lambda d: d.put(
        f"{OLD}/checkpoint-1000.bk")), f"{OLD}/checkpoint-1000.bk", Reason.IN_USE, living=None),
    attempt("_temporary of the batch that runs", changed(receiving, lambda d: d.put(RUNNING)), RUNNING, Reason.IN_USE),

    # the batch log
    attempt("an entry that is in no roll-up", changed(receiving, lambda d: d.batch(1, 1, span(100, 110))), ENTRY,
            Reason.NO_RULE),
    attempt("an entry that its roll-up has otherwise", changed(receiving, both(rolled_up, lambda d: d.put(
        ROLLED, d.files[ROLLED].replace(b'"rows":1', b'"rows":2', 1)))), ENTRY, Reason.UNPROVEN),
    attempt("an entry that a roll-up lacks", changed(receiving, both(rolled_up, lambda d: d.put(
        ROLLED, b"".join(d.files[ROLLED].splitlines(keepends=True)[1:])))), ENTRY, Reason.UNPROVEN),
    attempt("an entry that no recovery point has come to", changed(receiving, rolled_up),
            "batch_log/000001/000000000099.json", Reason.NEEDED, points=(point(last_batch=98),)),
    attempt("the only roll-up", changed(receiving, rolled_up), ROLLED, Reason.NO_RULE, points=(point(last_batch=199),)),

    # what no rule is about
    *(attempt(f"{path}", changed(receiving, lambda d, path=path: d.put(path)), path, Reason.NO_RULE) for path in (
        "output/generation=1/batch=0/part-0.parquet", "output/_superseded.json", "output/_temporary.parquet",
        "versions/3f9a0c1d52ab.json", "releases/000001.json", "orders/000001.json", "skips/000001.json",
        "proofs/a.json", "drivers/driver-1.json", "checkpoint/000001/metadata", "checkpoint/000001/state/0/0/1.delta",
        "checkpoint/000001/000001-001/written_by.json", "checkpoint/notes.txt", "readme.txt", ".quarantine/x/y.tmp")),
    attempt("the lease", receiving, "lease/000001.json", Reason.NO_RULE),
    attempt("the generation's file", receiving, "generations/000001.json", Reason.NO_RULE),
    attempt("the hint of the head", changed(receiving, lambda d: d.put("batch_log/000001/head.json", '{"batch": 0}')),
            "batch_log/000001/head.json", Reason.NO_RULE),
    attempt("a log of a generation that is not there", changed(receiving, lambda d: d.log(
        "000001-001", span(0, 1), generation=3)), "checkpoint/000003/000001-001/receivedData/0/log-1000-61000",
        Reason.UNPROVEN),
    attempt("a rule that is off", receiving, PROCESSED, Reason.RULE_OFF,
            settings=Cleanup(rules=CleanupRules(write_ahead_log=False))),
    attempt("a symbolic link", changed(receiving, lambda d: d.links.add(PROCESSED)), PROCESSED, Reason.REFUSED_PATH),
]


@pytest.mark.parametrize("tried", ATTEMPTS)
def test_it_stays(tried: Attempt) -> None:
    item = tried.make().judged(tried.path, **tried.ground)
    assert (item.goes, item.reason) == (False, tried.reason), str(item)
    assert item.words or item.reason in (Reason.NO_RULE, Reason.RULE_OFF)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../orders/x", "checkpoint/../../x", "checkpoint//x", "./x",
                                  "checkpoint/000001/..", "a\\b", "a\x00b", "a\nb", "hdfs://nn/x", ".", ".."])
def test_a_path_that_leads_out_is_refused(path: str) -> None:
    made = restored()
    item = Judge(made.ground(points=(point(1),)), made).item(Found(path, 1, 0))
    assert item.reason is Reason.REFUSED_PATH


GOING = [
    pytest.param(changed(receiving, lambda d: (d.put(ASIDE), d.lease(2))), ASIDE, Rule.OUTPUT_LEFTOVER,
                 {"living": True}, id="aside of a lease that is over, while the next driver lives"),
    pytest.param(changed(receiving, lambda d: d.put(ASIDE)), ASIDE, Rule.OUTPUT_LEFTOVER, {},
                 id="aside of a dead driver"),
    pytest.param(changed(receiving, lambda d: d.put("output/generation=1/batch=0/_temporary/0/p")),
                 "output/generation=1/batch=0/_temporary/0/p", Rule.OUTPUT_LEFTOVER, {"living": True},
                 id="_temporary of a batch that is logged"),
    pytest.param(changed(receiving, lambda d: d.put("output/_temporary/0/p")), "output/_temporary/0/p",
                 Rule.OUTPUT_LEFTOVER, {}, id="_temporary with no driver"),
    pytest.param(changed(receiving, lambda d: d.put("lease/.000002.json.0f0f.tmp")), "lease/.000002.json.0f0f.tmp",
                 Rule.CHECKPOINT_FILE, {"living": True}, id="a temporary file of ours"),
    pytest.param(changed(receiving, lambda d: d.put("checkpoint/000001/offsets/..8.f.tmp.crc")),
                 "checkpoint/000001/offsets/..8.f.tmp.crc", Rule.CHECKPOINT_FILE, {}, id="a checksum of Spark's"),
    pytest.param(changed(receiving, lambda d: d.put(f"{OLD}/checkpoint-1000.bk")), f"{OLD}/checkpoint-1000.bk",
                 Rule.CHECKPOINT_FILE, {}, id="a backup with no driver"),
    pytest.param(changed(receiving, rolled_up), ENTRY, Rule.BATCH_LOG, {"points": (point(last_batch=99),)},
                 id="an entry that is rolled up and in a point"),
    pytest.param(direct, "checkpoint/000001/offsets/1", Rule.GENERATION, GROUND_2, id="an older direct checkpoint"),
    pytest.param(changed(restored, lambda d: d.plan(1, 1, span(100, 130))), "plans/000001/000000000001.json",
                 Rule.GENERATION, GROUND_2, id="a plan of an older generation"),
    pytest.param(undone, "checkpoint/000002/000002-001/receivedData/0/log-1000-61000", Rule.GENERATION,
                 {"points": (point(1), point(2), point(3))}, id="what a restore received that was taken back"),
    pytest.param(receiving, PROCESSED, Rule.WRITE_AHEAD_LOG, {"points": (point(wal=(span(50, 70),)),)},
                 id="a segment that a point would read from Kafka"),
    pytest.param(receiving, PROCESSED, Rule.WRITE_AHEAD_LOG, {"points": (point(wal=(span(100, 130),), held=True),)},
                 id="a segment before what a held point needs"),
]


@pytest.mark.parametrize(("make", "path", "rule", "ground"), GOING)
def test_it_goes(make: Callable[[], StateDirectory], path: str, rule: Rule, ground: dict[str, Any]) -> None:
    item = make().judged(path, **ground)
    assert (item.goes, item.rule) == (True, rule), str(item)


ORPHAN = {"declared": False, "settings": Cleanup(rules=CleanupRules(orphan=True)), "now_ms": NOW_MS + 60 * _DAY_MS,
          "roots": (ROOT,), "root": replace(ROOT, pipeline=None), "kafka": KafkaNow()}


def test_of_an_orphan_what_is_processed_goes_but_never_its_output_or_batch_log() -> None:
    made = receiving()
    made.files.pop(NEWEST)
    made.put("output/generation=1/batch=0/part-0.parquet")
    ground = {**ORPHAN, "roots": (), "pipeline": "orders"}
    plan = made.plan_all(**ground)
    assert {path for path, item in plan.items() if item.goes} == {PROCESSED}
    assert plan[PROCESSED].rule is Rule.ORPHAN


@pytest.mark.parametrize(("name", "reason", "ground"), [
    ("the rule is off, as it is by default", Reason.RULE_OFF, {"settings": Cleanup()}),
    ("it is declared with another state directory", Reason.UNPROVEN, {"roots": (replace(
        ROOT, url="file:///var/streams/elsewhere", resolved="/var/streams/elsewhere"),)}),
    ("a driver lives", Reason.IN_USE, {"living": True}),
    ("a driver may live", Reason.IN_USE, {"living": None}),
    ("it was used a week ago", Reason.YOUNG, {"now_ms": NOW_MS}),
    ("recovery points of it are kept", Reason.NEEDED, {"points": (point(),)}),
    ("recovery points cannot be read", Reason.UNPROVEN, {"points": None}),
])
def test_an_orphan_stays(name: str, reason: Reason, ground: dict[str, Any]) -> None:
    made = receiving()
    made.files.pop(NEWEST)
    assert made.judged(PROCESSED, **{**ORPHAN, "roots": (), **ground}).reason is reason, name


def test_an_orphan_with_unprocessed_records_stays() -> None:
    assert receiving().judged(PROCESSED, **{**ORPHAN, "roots": ()}).reason is Reason.UNPROCESSED


# The moment of acting

def _planned(made: StateDirectory, **ground: Any) -> Item:
    item = made.judged(PROCESSED, **ground)
    assert item.goes
    return item


@pytest.mark.parametrize(("change", "reason"), [
    pytest.param(lambda d: d.put(PROCESSED, d.files[PROCESSED] + segment([span(130, 140)])), Reason.CHANGED,
                 id="it grew"),
    pytest.param(lambda d: d.modified_ms.update({PROCESSED: NOW_MS - _DAY_MS}), Reason.CHANGED, id="it was touched"),
    pytest.param(lambda d: d.put(PROCESSED, segment([span(0, 60)], [span(60, 999)])), Reason.UNPROCESSED,
                 id="its content is another, of the same size and time"),
    pytest.param(lambda d: d.links.add(PROCESSED), Reason.REFUSED_PATH, id="it is a link"),
    pytest.param(lambda d: (d.generation(2, {P0: 10}, superseded=NOTHING.adding([Span(1, 0)])), d.lease(2)),
                 Reason.UNPROVEN, id="a restore went back behind it"),
    pytest.param(lambda d: d.files.pop(NEWEST), Reason.IN_USE, id="it is the newest by now"),
    pytest.param(lambda d: d.batch(1, 0, span(0, 90)), Reason.UNPROCESSED, id="the batch log was put back to a copy"),
])
def test_what_changed_between_plan_and_apply_stays(change: Callable[[StateDirectory], object], reason: Reason) -> None:
    made = receiving()
    planned = _planned(made)
    change(made)
    found = made.found(PROCESSED)
    said = recheck(planned, found, made.judged(PROCESSED))
    assert (said.goes, said.reason) == (False, reason), str(said)


def test_a_driver_that_started_between_plan_and_apply_keeps_what_it_may_use() -> None:
    made = receiving()
    made.put(ASIDE)
    planned = made.judged(ASIDE)
    assert planned.goes
    said = recheck(planned, made.found(ASIDE), made.judged(ASIDE, living=True))
    assert said.reason is Reason.IN_USE


def test_what_is_gone_at_the_moment_of_acting_is_no_error() -> None:
    assert recheck(_planned(receiving()), None, None).reason is Reason.GONE


def test_what_was_kept_in_the_plan_is_kept_whatever_is_said_later() -> None:
    made = receiving()
    kept = made.judged(PROCESSED, points=None)
    assert recheck(kept, made.found(PROCESSED), made.judged(PROCESSED)) == kept


def test_another_rule_at_the_moment_of_acting_is_a_change() -> None:
    made = receiving()
    planned = _planned(made)
    again = replace(planned, rule=Rule.GENERATION)
    assert recheck(planned, made.found(PROCESSED), again).reason is Reason.CHANGED
    assert recheck(planned, made.found(NEWEST), made.judged(NEWEST)).reason is Reason.CHANGED


def test_what_has_not_changed_goes_with_the_proof_of_now() -> None:
    made = receiving()
    planned = _planned(made)
    made.batch(1, 1, span(100, 130))
    assert recheck(planned, made.found(PROCESSED), made.judged(PROCESSED)).goes


# Any history at all

offsets = st.integers(0, 30)
PARTITIONS = (P0, P1)


@dataclass
class History:
    """A state directory, what each segment in it stored, the entries of each generation, and what does not count."""

    made: StateDirectory
    stored: dict[str, tuple[OffsetRange, ...]]
    logs: dict[int, list[Entry]]
    superseded: Superseded = NOTHING

    @property
    def sunk(self) -> set[tuple[TopicPartition, int]]:
        """Every offset that is in a batch that counts."""
        return {(taken.topic_partition, offset) for number, log in self.logs.items() for entry in log
                if not self.superseded.covers(number, entry.batch)
                for taken in entry.ranges for offset in range(taken.first, taken.until)}

    def restore_to(self, number: int, start: Offsets) -> None:
        """Supersede as a restore does that opens generation `number`."""
        counting = [[entry for entry in reversed(self.logs[each]) if not self.superseded.covers(each, entry.batch)]
                    for each in sorted(self.logs, reverse=True)]
        self.superseded = self.superseded.adding(runs(boundaries(start, counting).superseded))
        self.superseded = self.superseded.adding([Span(number - 1, len(self.logs[number - 1]))])


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Generations one after the other, each with batches, a start, and segments of any offsets.

    A generation begins where the one before it ended, before that (a rewind), or beyond (records that are skipped),
    each partition as it likes.
    """
    history = History(StateDirectory(), {}, {})
    at = {each: draw(offsets) for each in PARTITIONS}
    for number in range(1, draw(st.integers(1, 4)) + 1):
        if number > 1 and draw(st.booleans()):
            at = {each: draw(st.one_of(st.just(at[each]), offsets)) for each in PARTITIONS}
            history.restore_to(number, at)
        history.made.generation(number, at, superseded=history.superseded)
        history.logs[number] = []
        for batch in range(draw(st.integers(0, 3))):
            ends = {each: at[each] + draw(st.integers(0, 12)) for each in PARTITIONS}
            text = history.made.files[history.made.batch(number, batch, *ranges_between(at, ends))]
            history.logs[number].append(Entry.from_json(text.decode()))
            at = ends
        for index in range(draw(st.integers(0, 3))):
            firsts = {each: draw(offsets) for each in PARTITIONS}
            held = tuple(span(first, first + draw(st.integers(0, 15)), each) for each, first in firsts.items())
            path = history.made.log(f"{number:06d}-001", *held, generation=number, began=index + 1)
            history.stored[path] = held
        history.made.lease(number)
    return history


@settings(max_examples=300, deadline=None)
@given(histories(), st.booleans(), offsets)
def test_no_history_makes_it_take_an_offset_that_is_not_in_the_sink(
    history: History, known_topics: bool, needed: int
) -> None:
    """Judged beside a model that knows nothing but which offsets batches took that count."""
    held = point(wal=(span(needed, needed + 2),), held=True)
    points = (*(point(number) for number in range(1, 5)), held) if known_topics else (held,)
    for path, item in history.made.plan_all(points=points).items():
        taken = {(each.topic_partition, offset) for each in history.stored.get(path, ())
                 for offset in range(each.first, each.until)}
        if item.goes:
            lost = taken - history.sunk
            assert not lost, f"{item} takes {sorted(lost)}"
            assert not taken & {(P0, needed), (P0, needed + 1)}, f"{item} is needed by a held point"


def test_some_histories_let_something_go() -> None:
    """Else the property above would say nothing."""
    assert any(item.goes for item in restored().plan_all(**GROUND_2).values())
