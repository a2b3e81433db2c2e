"""Plans of restores: the generation they open, what is superseded, refusals, repeats and undo."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamops.errors import RefusedError
from streamops.points.recovery_points import PartitionPoint, RecoveryPoint
from streamops.restoring.forecast import Pace
from streamops.restoring.plan import (
    Decision,
    History,
    Observed,
    Plan,
    Undone,
    opened,
    plan_restore,
    to_be_undone,
    undone,
)
from streamops.restoring.refusals import ObservedLife, ObservedTopics, RefusalKind
from streamops.restoring.targets import ObservedPositions, Target, TargetKind
from streamops.state.batch_log import Entry
from streamops.state.generations import Generation, Restored
from streamops.state.offsets import OffsetRange, Offsets, TopicPartition
from streamops.state.superseded import NOTHING, Span, Superseded

P0, P1, P2 = (TopicPartition("lines", number) for number in range(3))
DEAD = ObservedLife((), ())
SAME = ObservedTopics({"lines": "id1"}, {"lines": "id1"})
OBSERVED = ObservedPositions(frozenset({P0, P1}), {P0: 0, P1: 0}, {P0: 50, P1: 40}, {P0: 40, P1: 40})
AT = "2026-11-20T03:00:00+00:00"
FIRST = Generation("lines", 1, "direct", {P0: 0, P1: 0}, "first start", AT)


def entry(batch: int, *ranges: tuple[int, int], generation: int = 1) -> Entry:
    """A batch; `ranges` are those of partition 0, 1, …"""
    return Entry("lines", generation, batch, tuple(
        OffsetRange("lines", number, first, until) for number, (first, until) in enumerate(ranges)),
        1, "out", 1, "driver-1", 1, AT, AT, 1)


#: Newest first, as a log is read backwards.
LOG = [entry(3, (30, 40), (20, 40)), entry(2, (20, 30), (20, 20)), entry(1, (10, 20), (10, 20)),
       entry(0, (0, 10), (0, 10))]


def to(offsets: Offsets) -> Target:
    return Target(TargetKind.OFFSETS, "stated", offsets)


def history(current: Generation | None = FIRST, *logs: Sequence[Entry], **more: Any) -> History:
    """`logs` are those of the generations, newest first; what is superseded is left out, as a reader does."""
    superseded = current.superseded if current is not None else NOTHING
    newest = current.number if current is not None else 0
    own = [each for each in (logs[0] if logs else ()) if each.generation == newest]
    counting = [[each for each in log if not superseded.covers(each.generation, each.batch)] for log in logs]
    return History(**{"current": current, "last_batch": own[0].batch if own else None, "newest": newest,
                      "superseded": superseded, "logs": lambda: counting, **more})


def planned(target: Target, positions: ObservedPositions = OBSERVED, *, log: list[Entry] | None = None,
            life: ObservedLife = DEAD, topics: ObservedTopics = SAME, before: History | None = None,
            approach: str = "direct", accept_loss: bool = False, going_back: Undone | None = None) -> Plan:
    observed = Observed("lines", approach, before or history(FIRST, LOG if log is None else log), positions, topics,
                        life, Pace(10.0), going_back)
    return plan_restore(target, observed, accept_loss=accept_loss)


@pytest.mark.parametrize(("start", "superseded", "exact"), [
    pytest.param({P0: 20, P1: 20}, [Span(1, 2)], True, id="a batch boundary"),
    pytest.param({P0: 40, P1: 40}, [Span(1, 4)], True, id="where it stands: only what may yet be added"),
    pytest.param({P0: 50, P1: 40}, [Span(1, 4)], True, id="forward"),
    pytest.param({P0: 25, P1: 20}, [Span(1, 3)], False, id="in the middle of batch 2"),
    pytest.param({P0: 20, P1: 40}, [Span(1, 2, 2), Span(1, 4)], False, id="one partition back"),
])
def test_what_a_restore_opens_and_supersedes(start: Offsets, superseded: list[Span], exact: bool) -> None:
    found = planned(to(start))
    assert found.decision.opens == 2
    assert found.decision.follows == (1, 3)
    assert list(found.decision.superseded.spans) == superseded
    assert found.forecast.boundaries.exact is exact
    assert not found.is_open
    found.require_allowed()


def test_what_retention_took_unprocessed_is_recorded() -> None:
    """In the generation's file, since no batch will ever name it; and again by an interrupted restore's repeat."""
    overtaken = replace(OBSERVED, earliest={P0: 45, P1: 0})
    found = planned(to({P0: 45}), overtaken)
    assert found.decision.start == {P0: 45, P1: 40}, "the other partition stays where it is"
    assert found.decision.lost == (OffsetRange("lines", 0, 40, 45),)
    found.require_allowed()
    assert Decision.from_data(json.loads(json.dumps(found.decision.to_data()))) == found.decision
    second = opened(found.decision, "direct", 7, AT)
    assert Generation.from_json(second.to_json()) == second
    again = planned(to({P0: 45}), replace(overtaken, processed={P0: 45, P1: 40}), before=history(second, [], LOG))
    assert again.is_open
    assert again.decision.lost == found.decision.lost
    found.decision.require_same(again)
    later = planned(to({P0: 45}), replace(OBSERVED, earliest={P0: 46, P1: 0}))
    with pytest.raises(RefusedError, match="start"):
        found.decision.require_same(later)


def test_what_was_superseded_stays_so_and_the_generation_between_goes() -> None:
    second = opened(planned(to({P0: 20, P1: 20})).decision, "direct", 7, AT)
    log = [entry(1, (30, 40), (30, 40), generation=2), entry(0, (20, 30), (20, 30), generation=2)]
    found = planned(to({P0: 10, P1: 10}), before=history(second, log, LOG))
    assert found.decision.opens == 3
    assert list(found.decision.superseded.spans) == [Span(1, 1), Span(2, 0)]
    assert found.forecast.boundaries.exact


def test_before_the_first_start_a_restore_opens_the_first_generation() -> None:
    found = planned(to({P0: 10, P1: 10}), replace(OBSERVED, processed={}), before=history(None))
    assert (found.decision.opens, found.decision.follows, found.decision.superseded) == (1, None, NOTHING)
    assert found.forecast.lost_state == ()
    assert [each.replayed for each in found.forecast.partitions] == [None, None]


def test_a_deleted_state_directory() -> None:
    """Its log is made up of the sink's labels: batches after the target are superseded, and numbers go on."""
    before = history(None, newest=4, logs=lambda: [LOG], lost=("the driver records",), made_up={1: 3})
    found = planned(to({P0: 20, P1: 20}), before=before)
    assert (found.decision.opens, found.decision.follows) == (5, None)
    assert list(found.decision.superseded.spans) == [Span(1, 2), Span(2, 0), Span(3, 0), Span(4, 0)]
    assert found.forecast.lost_state == ("the driver records",)


def test_a_restore_that_was_interrupted_is_finished_and_not_made_twice() -> None:
    decision = planned(to({P0: 20, P1: 20})).decision
    second = opened(decision, "direct", 7, AT)
    positions = replace(OBSERVED, processed={P0: 20, P1: 20})
    again = planned(to({P0: 20, P1: 20}), positions, before=history(second, [], LOG))
    assert again.is_open
    assert (again.decision.opens, again.decision.superseded) == (2, decision.superseded)
    assert "was opened there already" in "\n".join(again.describe())
    other = planned(to({P0: 10, P1: 10}), before=history(second, [], LOG))
    assert (other.is_open, other.decision.opens) == (False, 3)


def test_which_state_is_lost() -> None:
    assert "begins empty" in planned(to({P0: 0, P1: 0})).forecast.lost_state[0]
    assert "write-ahead log" in planned(to({P0: 0, P1: 0}), approach="receiver").forecast.lost_state[0]


def test_batches_that_retention_forbids_to_replay_are_not_superseded() -> None:
    found = planned(to({P0: 0, P1: 0}), replace(OBSERVED, earliest={P0: 15, P1: 0}), accept_loss=True)
    assert found.forecast.boundaries.superseded == ((1, 2), (1, 3))
    assert [each.batch for each in found.forecast.boundaries.overlaps] == [0, 1]
    assert found.forecast.taken_by_retention == 15


@pytest.mark.parametrize(("changes", "kind", "found"), [
    pytest.param({"life": ObservedLife(("driver-7, last batch 4 s ago",), ())}, RefusalKind.LIVING_DRIVER,
                 "a living driver: driver-7, last batch 4 s ago", id="a living driver"),
    pytest.param({"life": ObservedLife((), ("consumer-1 of group lines",))}, RefusalKind.LIVING_MEMBER,
                 "a living group member: consumer-1 of group lines", id="a living member"),
    pytest.param({"life": ObservedLife(None, ())}, RefusalKind.LIVING_DRIVER, "whether a living driver is there",
                 id="the master does not answer"),
    pytest.param({"topics": ObservedTopics({"lines": "id2"}, {"lines": "id1"})}, RefusalKind.TOPIC_MADE_AGAIN,
                 "topic lines was deleted and made again (id id1, now id2)", id="another topic of the same name"),
    pytest.param({"topics": ObservedTopics({}, {"lines": "id1"})}, RefusalKind.UNRESOLVED,
                 "Kafka does not describe topic lines", id="no topic"),
    pytest.param({"positions": replace(OBSERVED, earliest={P0: 25, P1: 0})}, RefusalKind.BEYOND_RETENTION,
                 "lines-0 begins at offset 25, and retention has taken 5 records from 20 on", id="beyond retention"),
    pytest.param({"target": to({P0: 51, P1: 0})}, RefusalKind.BEYOND_END, "lines-0 ends at offset 50, before 51",
                 id="beyond the end"),
    pytest.param({"target": to({P0: 20, P2: 0})}, RefusalKind.UNRESOLVED, "Kafka has no partition lines-2",
                 id="no such partition"),
    pytest.param({"positions": replace(OBSERVED, latest={P0: 50})}, RefusalKind.UNRESOLVED,
                 "what Kafka has of lines-1 is unknown", id="a broker is away"),
])
def test_refusals(changes: dict[str, Any], kind: RefusalKind, found: str) -> None:
    (refusal,) = planned(**{"target": to({P0: 20, P1: 20}), **changes}).refusals
    assert refusal.kind is kind
    assert found in refusal.found
    assert refusal.repair.endswith(".")


def test_all_refusals_come_together_and_many_partitions_are_counted() -> None:
    many = frozenset(TopicPartition("lines", number) for number in range(40))
    observed = ObservedPositions(many, dict.fromkeys(many, 10), dict.fromkeys(many, 50), dict.fromkeys(many, 40))
    found = planned(to(dict.fromkeys(many, 3)), observed, log=[], life=ObservedLife(("d",), ("m", "n")))
    assert [refusal.kind for refusal in found.refusals] == [
        RefusalKind.LIVING_DRIVER, RefusalKind.LIVING_MEMBER, RefusalKind.LIVING_MEMBER, RefusalKind.BEYOND_RETENTION]
    assert found.refusals[-1].found.endswith("; and 35 more partitions")


def test_beyond_retention_with_the_flag_that_accepts_it() -> None:
    found = planned(to({P0: 20, P1: 20}), replace(OBSERVED, earliest={P0: 25, P1: 0}), accept_loss=True)
    assert (found.refusals, found.decision.start, found.forecast.taken_by_retention) == ((), {P0: 25, P1: 20}, 5)


@pytest.mark.parametrize("kind", [TargetKind.EARLIEST, TargetKind.LATEST, TargetKind.TIME])
def test_a_topic_that_was_made_again_is_read_anew_and_keeps_its_output(kind: TargetKind) -> None:
    positions = replace(OBSERVED, latest={P0: 3, P1: 0}, at_time={P0: 1, P1: None})
    found = planned(Target(kind, "t"), positions, topics=ObservedTopics({"lines": "id2"}, {"lines": "id1"}))
    assert found.refusals == ()
    assert list(found.decision.superseded.spans) == [Span(1, 4)]
    assert [(each.processed, each.replayed) for each in found.forecast.partitions] == [(None, None)] * 2


def test_refusals_are_one_error() -> None:
    found = planned(to({P0: 51, P1: 0}), life=ObservedLife(("driver-7",), ()))
    with pytest.raises(RefusedError) as refused:
        found.require_allowed()
    assert "Refused: a living driver: driver-7" in str(refused.value)
    assert "lines-0 ends at offset 50, before 51" in str(refused.value)
    assert str(refused.value).endswith("Nothing was changed.")


# What somebody agreed to

def test_a_decision_is_read_as_it_was_written() -> None:
    decision = planned(to({P0: 20, P1: 20})).decision
    assert Decision.from_data(json.loads(json.dumps(decision.to_data()))) == decision


@pytest.mark.parametrize(("now", "what"), [
    pytest.param({"follows": (1, 4)}, "follows changed", id="a batch ended meanwhile"),
    pytest.param({"opens": 3, "follows": (2, None)}, "opens, follows changed", id="another restore was made"),
    pytest.param({"topic_ids": {"lines": "id2"}}, "topic ids changed", id="the topic was made again"),
    pytest.param({"start": {P0: 21, P1: 20}}, "start changed", id="retention went on"),
])
def test_a_world_that_has_moved_on_is_refused(now: dict[str, Any], what: str) -> None:
    decision = planned(to({P0: 20, P1: 20})).decision
    plan = planned(to({P0: 20, P1: 20}))
    decision.require_same(replace(plan, decision=replace(decision, target="the same in other words")))
    with pytest.raises(RefusedError, match=what):
        decision.require_same(replace(plan, decision=replace(decision, **now)))


# Undo

def point(generation: int | None, last_batch: int | None, *processed: int) -> RecoveryPoint:
    return RecoveryPoint("lines", "direct", AT, generation, last_batch, None, None, None, {"lines": "id1"}, {
        TopicPartition("lines", number): PartitionPoint(processed=offset) for number, offset in enumerate(processed)})


@st.composite
def restores(draw: st.DrawFn) -> tuple[list[Entry], Offsets, list[Entry]]:
    """A log, newest first, a start anywhere within it, and the log of the generation that begins there."""
    position, log = [0, 0], []
    for batch in range(draw(st.integers(1, 6))):
        until = [offset + draw(st.integers(0, 4)) for offset in position]
        log.append(entry(batch, *zip(position, until, strict=True)))
        position = until
    start = [draw(st.integers(0, 25)) for _ in position]
    again, after = list(start), []
    for batch in range(draw(st.integers(0, 3))):
        until = [offset + draw(st.integers(0, 4)) for offset in again]
        after.append(entry(batch, *zip(again, until, strict=True), generation=2))
        again = until
    return log[::-1], dict(zip((P0, P1), start, strict=True)), after[::-1]


@given(restores())
def test_an_undo_gives_exactly_the_output_from_before(made: tuple[list[Entry], Offsets, list[Entry]]) -> None:
    log, start, after = made
    ends = {taken.topic_partition: taken.until for taken in log[0].ranges}
    wide = ObservedPositions(frozenset(ends), dict.fromkeys(ends, 0), dict.fromkeys(ends, 60), ends)
    first = planned(to(start), wide, before=history(FIRST, log))
    second = opened(first.decision, "direct", 7, AT)
    before_it = point(1, log[0].batch, *ends.values())
    back = undone(to_be_undone({1: FIRST, 2: second}, bool(after)), FIRST, before_it)
    target = Target(TargetKind.POINT, "undo", before_it.processed)
    found = planned(target, wide, before=history(second, after, log), going_back=back)
    assert found.forecast.skipped == 0
    third = opened(found.decision, "direct", 8, AT)
    assert (third.number, third.start) == (3, ends)
    stray = [entry(log[0].batch + 1, (0, 1), (0, 1)), entry(9, (0, 1), (0, 1), generation=2)]
    counts = [each for each in [*log, *after, *stray] if not third.superseded.covers(each.generation, each.batch)]
    assert counts == log
    # An undo that was interrupted is finished by a repeat, and is not taken back itself.
    again = to_be_undone({1: FIRST, 2: second, 3: third}, has_batches=False)
    assert again is second
    repeated = planned(target, wide, before=history(third, [], after, log), going_back=undone(again, FIRST, before_it))
    assert repeated.is_open
    assert repeated.decision.superseded == third.superseded
    with pytest.raises(RefusedError, match="was undone already, by generation 3"):
        to_be_undone({1: FIRST, 2: second, 3: third}, has_batches=True)


def test_without_a_restore_there_is_nothing_to_undo() -> None:
    with pytest.raises(RefusedError, match="no restore was made"):
        to_be_undone({1: FIRST}, has_batches=True)
    with pytest.raises(RefusedError, match="no restore was made"):
        to_be_undone({}, has_batches=False)


def test_a_restore_of_a_deleted_state_directory_has_nothing_to_go_back_to() -> None:
    second = replace(FIRST, number=2, restored=Restored("point 3", undo_point=4))
    with pytest.raises(RefusedError, match="no batch log"):
        undone(second, FIRST, point(None, None))
    with pytest.raises(RefusedError, match="no batch log"):
        undone(second, None, point(1, 3, 40, 40))


def test_what_the_job_opened_after_a_restore_goes_with_it() -> None:
    """A receiver opens a generation itself when it cannot read the write-ahead log of another Spark."""
    second = replace(FIRST, number=2, restored=Restored("point 3", undo_point=4))
    third = replace(FIRST, number=3, superseded=NOTHING.adding([Span(2, 5)]))
    assert to_be_undone({1: FIRST, 2: second, 3: third}, has_batches=True) is second
    back = undone(second, FIRST, point(1, 3, 40, 40))
    found = planned(to({P0: 40, P1: 40}), before=history(third, [], LOG), going_back=back)
    assert found.decision.superseded == Superseded((Span(1, 4), Span(2, 0), Span(3, 0)))
    assert found.decision.undoes == 2


def test_a_plan_in_words_and_as_json() -> None:
    found = planned(to({P0: 25}), life=ObservedLife(("driver-7",), ()))
    words = "\n".join(found.describe())
    for line in ("lines: to stated: 15 records are processed again, 0 skipped, 0 are gone by retention",
                 "caught up after about 2 s", "batch 2 of generation 1 stays, and holds lines-0 from",
                 "generation 2 is opened", "lines-1: not named: stays where it is",
                 "Refused: a living driver: driver-7",
                 "superseded, which readers leave out: batch 4 and later of generation 1"):
        assert line in words
    data = json.loads(json.dumps(found.as_dict()))
    assert (data["exact"], data["replayed"], data["decision"]["opens"]) == (False, 15, 2)
    assert data["columns"][:5] == ["topic", "partition", "processed", "target", "start"]
    assert data["partitions"][0][:5] == ["lines", 0, 40, 25, 25]
    assert data["refusals"][0]["kind"] == "living driver"
