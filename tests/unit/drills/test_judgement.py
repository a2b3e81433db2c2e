"""The verdict: exactly the records that something was done to are reported, as what was done to them, and by whom."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamops.drills.judgement import judge
from streamops.drills.ledger import NOWHERE, Identity, Ledger, value_of
from streamops.drills.verdict import EXAMPLES, Delivery, Kind, LogProof, Outcome, Stored, Verdict, Where, worst
from streamops.state.offsets import TopicPartition

PLACES = (TopicPartition("a", 0), TopicPartition("a", 1), TopicPartition("b", 0))
START = 100


def value(sequence: int) -> bytes:
    return value_of(Identity("d", sequence))


@dataclass
class World:
    """A drill of `sent` records, ten a batch, that nothing was done to; tests change it."""

    sent: int
    offsets: array[int] = field(init=False)
    kafka: list[Stored] = field(init=False)
    batches: list[list[Delivery]] = field(init=False)
    refused: set[int] = field(default_factory=set)
    earliest: dict[TopicPartition, int] = field(default_factory=dict)
    processed: dict[TopicPartition, int] = field(init=False)

    def __post_init__(self) -> None:
        self.offsets = array("q", (START + number // 3 for number in range(self.sent)))
        self.kafka = [Stored(*PLACES[number % 3], self.offsets[number], value(number)) for number in range(self.sent)]
        self.batches = [[] for _ in range(-(-self.sent // 10))]
        for number, record in enumerate(self.kafka):
            self.batches[number // 10].append(Delivery(1, number // 10, *record))
        self.processed = dict.fromkeys(PLACES, START + self.sent)

    @property
    def ledger(self) -> Ledger:
        return Ledger("d", "d", "", PLACES, dict.fromkeys(PLACES, START), 100, self.offsets, frozenset(self.refused))

    def verdict(self, kafka: bool = True) -> Verdict:
        rows = [row for batch in self.batches for row in batch]
        return judge(self.ledger, rows, self.kafka if kafka else None, self.processed, self.earliest)

    # What can be done to it

    def lose(self, sequences: Iterable[int]) -> None:
        """The job loses them."""
        gone = {value(each) for each in sequences}
        self.batches = [[row for row in batch if row.value not in gone] for batch in self.batches]

    def lose_in_kafka(self, sequences: Iterable[int]) -> None:
        gone = {value(each) for each in sequences}
        self.kafka = [record for record in self.kafka if record.value not in gone]

    def row(self, sequence: int, batch: int) -> Delivery:
        return Delivery(1, batch, *PLACES[sequence % 3], self.offsets[sequence], value(sequence))


def reported(verdict: Verdict, kind: Kind, where: Where) -> set[int | None]:
    """The sequences of a finding, which has to name all of them."""
    found = [each for each in verdict.findings if (each.kind, each.where) == (kind, where)]
    assert len(found) <= 1
    examples = {one.sequence for each in found for one in each.examples}
    assert len(examples) == min(verdict.count(kind, where), EXAMPLES)
    return examples


def only(verdict: Verdict, expected: dict[tuple[Kind, Where], set[int]]) -> None:
    """That these records and no others are reported: all by count, and the first of each kind by number."""
    counts = {(each.kind, each.where): each.count for each in verdict.findings}
    assert counts == {key: len(each) for key, each in expected.items() if each}
    for (kind, where), sequences in expected.items():
        first = sorted(sequences, key=lambda each: (each % 3, each))[:EXAMPLES]
        assert reported(verdict, kind, where) == set(first)


def test_nothing_was_done() -> None:
    found = World(95).verdict()
    assert found.outcome is Outcome.EXACT
    assert (found.total.sent, found.total.acknowledged, found.total.delivered) == (95, 95, 95)
    assert [each.sent for each in found.partitions] == [32, 32, 31]
    only(found, {})


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_exactly_what_was_done_is_found(data: st.DataObject) -> None:
    """Any interleaving: records are lost by job or broker, doubled, moved to later batches and altered."""
    world = World(data.draw(st.integers(0, 120), "sent"))
    numbers = list(range(world.sent))
    fates = {each: data.draw(st.sampled_from(
        ("kept",) * 12 + ("lost", "lost in kafka", "lost to retention", "doubled", "late", "altered",
                          "altered in kafka", "unknown, there", "unknown, away", "refused", "refused, there",
                          "only in sink", "late and doubled"))) for each in numbers}

    def of(*words: str) -> set[int]:
        return {each for each in numbers if fates[each] in words}

    world.lose(of("lost", "lost in kafka", "lost to retention", "unknown, away", "refused"))
    world.lose_in_kafka(of("lost in kafka", "lost to retention", "unknown, away", "refused", "only in sink"))
    rows: dict[int, list[Delivery]] = defaultdict(list)
    last = len(world.batches)
    delivered = {row.value: row for batch in world.batches for row in batch}
    copies: list[Delivery] = []
    for row in delivered.values():
        [sequence] = [each for each in numbers if value(each) == row.value]
        batch = row.batch
        if fates[sequence] in ("late", "late and doubled"):
            batch = data.draw(st.integers(batch, last), "moved to")
        if fates[sequence] in ("doubled", "late and doubled"):
            copies.append(row._replace(batch=data.draw(st.integers(batch, last), "doubled in")))
        if fates[sequence].startswith("altered"):
            damaged = bytearray(row.value or b"")
            where = data.draw(st.integers(0, len(damaged) - 1), "byte")
            damaged[where] ^= data.draw(st.integers(1, 255), "bits")
            row = row._replace(value=bytes(damaged))
            if fates[sequence] == "altered in kafka":
                world.kafka = [each._replace(value=row.value) if each.value == value(sequence) else each
                               for each in world.kafka]
        rows[batch].append(row._replace(batch=batch))
    firsts = [row for batch in sorted(rows) for row in rows[batch]]
    late = {each for each, row in ((world_sequence(world, row), row) for row in firsts)
            if any(other.batch < row.batch and other.offset > row.offset and other[2:4] == row[2:4]
                   for other in firsts)}
    for copy in copies:
        rows[copy.batch].append(copy)
    for each in of("unknown, there", "unknown, away", "refused", "refused, there"):
        world.offsets[each] = NOWHERE
    world.refused = of("refused", "refused, there")
    # A retention that has taken a record has taken all before it.
    to_retention = of("lost to retention")
    world.earliest = {place: max((START + each // 3 + 1 for each in to_retention if PLACES[each % 3] == place),
                                 default=START) for place in PLACES}
    expired = {each for each in numbers if START + each // 3 < world.earliest[PLACES[each % 3]]}
    world.batches = [data.draw(st.permutations(rows[batch])) for batch in sorted(rows)]
    lost_in_kafka = of("lost in kafka", "lost to retention")
    only(world.verdict(), {
        (Kind.LOST, Where.JOB): of("lost"),
        (Kind.LOST, Where.KAFKA): lost_in_kafka - expired,
        (Kind.LOST, Where.RETENTION): lost_in_kafka & expired,
        (Kind.DOUBLED, Where.JOB): of("doubled", "late and doubled"),
        (Kind.REORDERED, Where.JOB): late,
        (Kind.ALTERED, Where.JOB): of("altered"),
        (Kind.ALTERED, Where.KAFKA): of("altered in kafka"),
        (Kind.REFUSED, Where.KAFKA): of("refused, there"),
    })
    found = world.verdict()
    assert (found.unknown_appeared, found.unknown_absent) == (len(of("unknown, there")), len(of("unknown, away")))
    assert found.pending == 0
    assert Verdict.from_dict(found.as_dict()) == found


def world_sequence(world: World, row: Delivery) -> int:
    """By its place, since its value may be damaged."""
    return (row.offset - START) * 3 + PLACES.index(TopicPartition(row.topic, row.partition))


def test_a_record_that_kafka_has_twice_is_not_the_jobs_doing() -> None:
    world = World(30)
    again = Stored("a", 1, START + 50, value(4))
    world.kafka.append(again)
    world.batches[-1].append(Delivery(1, 2, *again))
    only(world.verdict(), {(Kind.DOUBLED, Where.KAFKA): {4}})
    assert world.verdict().outcome is Outcome.KAFKA_WRONG
    world.kafka.pop()
    only(world.verdict(), {(Kind.DOUBLED, Where.JOB): {4}})


def test_a_record_that_kafka_stored_behind_a_later_one() -> None:
    world = World(30)
    world.offsets[3], world.offsets[6] = world.offsets[6], world.offsets[3]
    rows = {row.value: row for batch in world.batches for row in batch}
    swapped = {value(3): rows[value(6)].offset, value(6): rows[value(3)].offset}
    world.batches = [[row._replace(offset=swapped.get(row.value or b"", row.offset)) for row in batch]
                     for batch in world.batches]
    world.kafka = [each._replace(offset=swapped.get(each.value or b"", each.offset)) for each in world.kafka]
    only(world.verdict(), {(Kind.REORDERED, Where.KAFKA): {3}})


def test_a_record_at_another_offset_than_the_acknowledged_one() -> None:
    world = World(30)
    moved = world.batches[2][-1]._replace(offset=START + 70)
    world.batches[2][-1] = moved
    only(world.verdict(), {(Kind.MISPLACED, Where.JOB): {29}})
    world.kafka[-1] = world.kafka[-1]._replace(offset=START + 70)
    only(world.verdict(), {(Kind.MISPLACED, Where.KAFKA): {29}})
    world.batches[2][-1] = moved._replace(topic="a")
    assert world.verdict().count(Kind.MISPLACED) == 1


def test_what_was_never_sent() -> None:
    world = World(30)
    world.batches[1].append(Delivery(1, 1, "a", 0, START + 400, value(77)))
    only(world.verdict(), {(Kind.NEVER_SENT, Where.JOB): {77}})


def test_others_in_the_topic_are_counted_and_not_judged() -> None:
    world = World(30)
    world.batches[1] += [Delivery(1, 1, "a", 0, START + 400, each) for each in (
        b"a line", None, value_of(Identity("other", 3)))]
    found = world.verdict()
    assert (found.outcome, found.foreign) == (Outcome.EXACT, 3)


def test_what_is_not_processed_yet_is_not_lost() -> None:
    world = World(30)
    world.batches.pop()
    world.processed = dict.fromkeys(PLACES, START + 6)
    found = world.verdict()
    assert found.outcome is Outcome.UNFINISHED
    assert found.pending + found.count(Kind.LOST) == 10
    assert found.pending == sum(START + each // 3 >= START + 6 for each in range(20, 30))
    world.processed = {}
    assert world.verdict().count(Kind.LOST) == 0


def test_without_kafka_nobody_is_to_blame() -> None:
    world = World(30)
    world.lose([5])
    world.batches[0].append(world.row(4, 0))
    found = world.verdict(kafka=False)
    only(found, {(Kind.LOST, Where.UNTOLD): {5}, (Kind.DOUBLED, Where.JOB): {4}})
    assert found.outcome is Outcome.WRONG


def test_an_unanswered_record_that_kafka_has_must_be_in_the_sink() -> None:
    """It was not acknowledged; but Kafka has it, and so every consumer has to."""
    world = World(30)
    world.offsets[7] = NOWHERE
    world.lose([7])
    only(world.verdict(), {(Kind.LOST, Where.JOB): {7}})


def test_the_batch_logs_proof_alone_can_fail_a_drill() -> None:
    assert Verdict(log=LogProof(True, 3, 30, 0, 0)).outcome is Outcome.EXACT
    broken = Verdict(log=LogProof(False, 3, 30, 0, 0, ("hole of 3 in a-0",)))
    assert broken.outcome is Outcome.WRONG
    assert "NOT WHOLE\nhole of 3 in a-0" in broken.describe()
    assert Verdict.from_dict(broken.as_dict()) == broken


def test_the_first_examples_are_in_words() -> None:
    world = World(60)
    world.lose(range(20, 50))
    text = world.verdict().describe()
    assert text.startswith("wrong: 60 of 60 records acknowledged, 0 unknown (0 appeared), 0 refused; 30 in the sink; "
                           "lost 30")
    assert "lost (by the job): 30, first 21 of a-0 (offset 107, in no batch)" in text


@pytest.mark.parametrize(("outcomes", "expected"), [
    ([], Outcome.EXACT), ([Outcome.KAFKA_WRONG, Outcome.EXACT], Outcome.KAFKA_WRONG),
    ([Outcome.WRONG, Outcome.UNFINISHED], Outcome.WRONG)])
def test_the_worst(outcomes: list[Outcome], expected: Outcome) -> None:
    assert worst(outcomes) is expected
