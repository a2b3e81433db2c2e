"""Targets of a restore as offsets, and Kafka's own CSV files."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streamops.errors import ConfigurationError
from streamops.restoring.targets import ObservedPositions, Target, TargetKind, parse, read_csv, resolve
from streamops.state.offsets import Offsets, TopicPartition

P0, P1, P2 = (TopicPartition("lines", number) for number in range(3))

OBSERVED = ObservedPositions(
    partitions=frozenset({P0, P1}),
    earliest={P0: 5, P1: 0},
    latest={P0: 100, P1: 60},
    processed={P0: 80, P1: 60},
    at_time={P0: 42, P1: None},
)


@pytest.mark.parametrize(("target", "offsets"), [
    pytest.param(Target(TargetKind.EARLIEST, "earliest"), {P0: 5, P1: 0}, id="earliest"),
    pytest.param(Target(TargetKind.LATEST, "latest"), {P0: 100, P1: 60}, id="latest"),
    pytest.param(Target(TargetKind.TIME, "2026-11-20T03:00Z"), {P0: 42, P1: 60},
                 id="a time: the first record of it, and the end where none is that new"),
    pytest.param(Target(TargetKind.BY, "-10", by=-10), {P0: 70, P1: 50}, id="ten records back"),
    pytest.param(Target(TargetKind.BY, "+30", by=30), {P0: 100, P1: 60}, id="forward, to the end at most"),
    pytest.param(Target(TargetKind.BY, "-78", by=-78), {P0: 2, P1: 0}, id="back beyond the earliest record"),
    pytest.param(Target(TargetKind.POINT, "point 7", {P0: 30, P1: 20}), {P0: 30, P1: 20}, id="a point"),
    pytest.param(Target(TargetKind.OFFSETS, "lines-0=1", {P0: 1, P1: 999}), {P0: 1, P1: 999},
                 id="offsets as they are stated, within Kafka's or not"),
])
def test_targets(target: Target, offsets: Offsets) -> None:
    resolved = resolve(target, OBSERVED)
    assert (resolved.offsets, resolved.unnamed, resolved.unresolved) == (offsets, {}, {})


@pytest.mark.parametrize(("kind", "offset", "words"), [
    pytest.param(TargetKind.POINT, 0, "added after the point: starts at its first record", id="a point"),
    pytest.param(TargetKind.OFFSETS, 60, "not named: stays where it is", id="stated offsets"),
])
def test_partitions_that_a_target_does_not_name(kind: TargetKind, offset: int, words: str) -> None:
    resolved = resolve(Target(kind, "t", {P0: 30}), OBSERVED)
    assert resolved.offsets == {P0: 30, P1: offset}
    assert resolved.unnamed == {P1: words}


@pytest.mark.parametrize(("target", "why"), [
    pytest.param(Target(TargetKind.EARLIEST, "t"), "the earliest offset of lines-0 is unknown", id="earliest"),
    pytest.param(Target(TargetKind.LATEST, "t"), "the latest offset of lines-0 is unknown", id="latest"),
    pytest.param(Target(TargetKind.TIME, "t"), "the offset of lines-0 at that time is unknown", id="a time"),
    pytest.param(Target(TargetKind.BY, "t"), "what was processed of lines-0 is unknown", id="a shift"),
    pytest.param(Target(TargetKind.POINT, "t"), "the point does not have lines-0", id="a point without it"),
    pytest.param(Target(TargetKind.OFFSETS, "t"), "no offset is stated for lines-0", id="offsets without it"),
])
def test_what_is_unknown_is_not_guessed(target: Target, why: str) -> None:
    resolved = resolve(target, ObservedPositions(frozenset({P0}), {}, {}, {}))
    assert resolved.offsets == {}
    assert why in resolved.unresolved[P0]


def test_a_partition_that_kafka_does_not_have() -> None:
    resolved = resolve(Target(TargetKind.OFFSETS, "t", {P0: 1, P2: 4}), OBSERVED)
    assert resolved.unresolved == {P2: "Kafka has no partition lines-2 in the pipeline's topics"}


@pytest.mark.parametrize(("kind", "value", "target"), [
    (TargetKind.EARLIEST, "", Target(TargetKind.EARLIEST, "earliest")),
    (TargetKind.LATEST, "", Target(TargetKind.LATEST, "latest")),
    (TargetKind.TIME, "2026-11-20T04:00+01:00", Target(
        TargetKind.TIME, "2026-11-20T03:00:00+00:00", time=datetime(2026, 11, 20, 3, tzinfo=UTC))),
    (TargetKind.BY, "-1000", Target(TargetKind.BY, "-1,000 records in each partition", by=-1000)),
    (TargetKind.OFFSETS, "lines:0=42, lines:1=7", Target(TargetKind.OFFSETS, "stated offsets", {P0: 42, P1: 7})),
    (TargetKind.OFFSETS, '{"lines": {"0": 42}}', Target(TargetKind.OFFSETS, "stated offsets", {P0: 42})),
    (TargetKind.FILE, "lines,0,42\n", Target(TargetKind.FILE, "the offsets of a file", {P0: 42})),
])
def test_what_somebody_typed(kind: TargetKind, value: str, target: Target) -> None:
    assert parse(kind, value) == target


@pytest.mark.parametrize(("kind", "value", "found"), [
    (TargetKind.TIME, "yesterday", "'yesterday' is no time"),
    (TargetKind.TIME, "2026-11-20T03:00", "has no zone"),
    (TargetKind.BY, "many", "no number of records"),
    (TargetKind.OFFSETS, "lines:0=4,lines:0=5", "named twice"),
    (TargetKind.OFFSETS, "lines:0=-4", "cannot be read"),
    (TargetKind.OFFSETS, '{"lines": {"0": -2}}', "offsets begin with 0"),
    (TargetKind.OFFSETS, "{}", "offsets begin with 0"),
    (TargetKind.OFFSETS, "[1]", "cannot be read"),
    (TargetKind.FILE, "x", "line 1 is 'x'"),
])
def test_what_cannot_be_a_target(kind: TargetKind, value: str, found: str) -> None:
    with pytest.raises(ConfigurationError, match=found):
        parse(kind, value)


@pytest.mark.parametrize(("text", "group", "offsets"), [
    pytest.param("lines,0,42\nlines,1,7\n", None, {P0: 42, P1: 7}, id="of one group"),
    pytest.param('"lines",0,42\r\n\r\n  \r\n', None, {P0: 42}, id="quoted, with empty lines"),
    pytest.param("a,lines,0,42\nb,lines,0,1\n", "b", {P0: 1}, id="of several groups, one of them"),
    pytest.param("a,lines,0,42\n", None, {P0: 42}, id="of several groups of which there is one"),
    pytest.param("lines,0,42\nlines,0,42\n", None, {P0: 42}, id="a line twice"),
])
def test_a_file_of_kafkas_own_tool_is_read(text: str, group: str | None, offsets: Offsets) -> None:
    assert read_csv(text.splitlines(), group) == offsets


@pytest.mark.parametrize(("text", "group", "found"), [
    pytest.param("", None, "it is empty", id="empty"),
    pytest.param("GROUP,TOPIC,PARTITION,OFFSET\n", None, "line 1 is 'GROUP,TOPIC", id="a header"),
    pytest.param("lines,0\n", None, "line 1 is 'lines,0'", id="too few columns"),
    pytest.param("lines,0,-1\nlines,1,²\n", None, "line 1 is 'lines,0,-1'; line 2", id="no offset, on two lines"),
    pytest.param("lines,0,1\nlines,0,2\n", None, "line 2 states another offset of lines-0", id="two offsets"),
    pytest.param("a,lines,0,1\nb,lines,0,1\n", None, "the groups a, b, and none", id="several groups, none chosen"),
    pytest.param("a,lines,0,1\n", "b", "no line of the group b", id="another group"),
    pytest.param("x\n" * 12, None, "; and 2 more", id="wrong throughout"),
])
def test_another_file_is_refused(text: str, group: str | None, found: str) -> None:
    with pytest.raises(ConfigurationError, match=found):
        read_csv(text.splitlines(), group)
