"""From the ledger, the sink's rows and Kafka's records to the verdict: each record found by identity, in one pass each.

Memory is bounded by the ledger: about 45 bytes a record that was sent, and nothing for what others sent. The rules, one
by one, are in docs/drills.md.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from streamops.drills.ledger import NOWHERE, Identity, Ledger, identity_of, value_of
from streamops.drills.verdict import EXAMPLES, Delivery, Example, Finding, Kind, PartitionCounts, Stored, Verdict, Where
from streamops.state.offsets import TopicPartition

#: What is known of a record, as bits.
_IN_KAFKA, _AS_ACKNOWLEDGED, _TWICE_IN_KAFKA, _ALTERED_IN_KAFKA = 1, 2, 4, 8
_ALTERED, _AGAIN, _ELSEWHERE, _LATE = 16, 32, 64, 128

#: Stands for an offset in another partition than the record was sent to.
_WRONG_PARTITION = -2
#: Records whose further rows are remembered in words.
_MOST_NOTED = 1000
#: A count of rows stays at this; more of them say nothing new.
_MOST_ROWS = 255

_ORDER = (Kind.LOST, Kind.DOUBLED, Kind.REORDERED, Kind.ALTERED, Kind.MISPLACED, Kind.NEVER_SENT, Kind.REFUSED)


def judge(
    ledger: Ledger,
    sink: Iterable[Delivery],
    kafka: Iterable[Stored] | None,
    processed: Mapping[TopicPartition, int],
    earliest: Mapping[TopicPartition, int] | None = None,
) -> Verdict:
    """The verdict by identity, without the batch log's own proof.

    `sink` are all rows that count, in the order of batches; rows of one batch in any order. `kafka` are the records of
    the ledger's partitions since its start, None where Kafka was not read. `processed` is the next offset to process by
    the batch log, read before the sink was; `earliest` the first that Kafka still has, read before its records were.
    """
    case = _Case(ledger, processed, earliest or {}, kafka is not None)
    for row in sink:
        case.take_row(row)
    for record in kafka or ():
        case.take_record(record)
    return case.verdict()


class _Places:
    """Which record was acknowledged at an offset."""

    def __init__(self, ledger: Ledger) -> None:
        self._numbers = {place: number for number, place in enumerate(ledger.places)}
        self._sequences: list[array[int]] = []
        self._offsets: list[array[int]] = []
        step = len(ledger.places)
        for number in range(step):
            sequences = array("q", (
                each for each in range(number, ledger.sent, step) if ledger.offsets[each] != NOWHERE))
            if any(ledger.offsets[later] < ledger.offsets[earlier] for earlier, later in pairwise(sequences)):
                sequences = array("q", sorted(sequences, key=ledger.offsets.__getitem__))
            self._sequences.append(sequences)
            self._offsets.append(array("q", map(ledger.offsets.__getitem__, sequences)))

    def sequence_at(self, topic: str, partition: int, offset: int) -> int | None:
        number = self._numbers.get(TopicPartition(topic, partition))
        if number is None:
            return None
        offsets = self._offsets[number]
        index = bisect_left(offsets, offset)
        return self._sequences[number][index] if index < len(offsets) and offsets[index] == offset else None


class _Case:
    """What was seen of each record."""

    def __init__(
        self, ledger: Ledger, processed: Mapping[TopicPartition, int], earliest: Mapping[TopicPartition, int],
        kafka_read: bool,
    ) -> None:
        self._ledger, self._processed, self._earliest, self._kafka_read = ledger, processed, earliest, kafka_read
        self._places = _Places(ledger)
        self._known = bytearray(ledger.sent)
        self._rows = bytearray(ledger.sent)
        self._seen_at = array("q", bytes(8 * ledger.sent))  # the offset of the first row
        self._seen_in = array("l", bytes(array("l").itemsize * ledger.sent))  # its batch, counted
        self._batches: list[tuple[int, int]] = []
        self._again: dict[int, list[str]] = defaultdict(list)
        self._unanswered_at: dict[int, int] = {}  # Kafka's offsets of records without an answer
        self._passed: dict[tuple[str, int], int] = {}  # the highest offset of earlier batches
        self._in_batch: dict[tuple[str, int], int] = {}
        self._never_sent: Counter[Where] = Counter()
        self._never_sent_examples: dict[Where, list[Example]] = defaultdict(list)
        self._delivered: Counter[tuple[str, int]] = Counter()
        self._foreign = 0

    # What is read

    def take_row(self, row: Delivery) -> None:
        generation, batch, topic, partition, offset, value = row
        if not self._batches or self._batches[-1] != (generation, batch):
            self._batches.append((generation, batch))
            for at, highest in self._in_batch.items():
                self._passed[at] = max(highest, self._passed.get(at, NOWHERE))
            self._in_batch = {}
        sequence, intact = self._who(topic, partition, offset, value)
        if sequence is None:
            if intact:
                self._foreign += 1
            else:
                self._add_never_sent(row)
            return
        at = (topic, partition)
        self._delivered[at] += 1
        offset_or_wrong = offset if self._ledger.place_of(sequence) == at else _WRONG_PARTITION
        if not intact:
            self._known[sequence] |= _ALTERED
        if self._rows[sequence]:
            self._known[sequence] |= _AGAIN if self._seen_at[sequence] == offset_or_wrong else _ELSEWHERE
            self._rows[sequence] = min(self._rows[sequence] + 1, _MOST_ROWS)
            if sequence in self._again or len(self._again) < _MOST_NOTED:
                self._again[sequence].append(f"batch {generation}/{batch} from {topic}-{partition} offset {offset}")
        else:
            self._rows[sequence] = 1
            self._seen_at[sequence] = offset_or_wrong
            self._seen_in[sequence] = len(self._batches) - 1
            if offset < self._passed.get(at, NOWHERE):
                self._known[sequence] |= _LATE
        self._in_batch[at] = max(offset, self._in_batch.get(at, NOWHERE))

    def take_record(self, record: Stored) -> None:
        sequence, intact = self._who(*record)
        if sequence is None:
            return
        known = self._known[sequence]
        if not intact:
            known |= _ALTERED_IN_KAFKA
        elif known & _IN_KAFKA:
            known |= _TWICE_IN_KAFKA
        acknowledged = self._ledger.offsets[sequence]
        if acknowledged == NOWHERE:
            self._unanswered_at.setdefault(sequence, record.offset)
        elif acknowledged == record.offset and self._ledger.place_of(sequence) == (record.topic, record.partition):
            known |= _AS_ACKNOWLEDGED
        self._known[sequence] = known | _IN_KAFKA

    def _who(self, topic: str, partition: int, offset: int, value: bytes | None) -> tuple[int | None, bool]:
        """The sequence of a value found there, and whether it is what was sent.

        (None, True) is somebody else's; (None, False) bears the drill's name and is none of its records.
        """
        ledger = self._ledger
        said = identity_of(value)
        ours = said is not None and said.producer == ledger.producer
        if said is not None and ours and said.sequence < ledger.sent and (
                value == value_of(Identity(*said), ledger.value_bytes)):
            return said.sequence, True
        # What it says of itself cannot be trusted, so what was acknowledged at this offset decides.
        acknowledged = self._places.sequence_at(topic, partition, offset)
        if acknowledged is not None:
            return acknowledged, False
        if said is None or not ours:
            return None, True
        unanswered = said.sequence < ledger.sent and ledger.offsets[said.sequence] == NOWHERE
        return (said.sequence if unanswered else None), False

    def _add_never_sent(self, row: Delivery) -> None:
        said = identity_of(row.value)
        where = Where.JOB if self._kafka_read else Where.UNTOLD
        self._never_sent[where] += 1
        if len(examples := self._never_sent_examples[where]) < EXAMPLES:
            examples.append(Example(row.topic, row.partition, said.sequence if said else None, row.offset,
                                    f"in batch {row.generation}/{row.batch}, never sent"))

    # What it means

    def verdict(self) -> Verdict:
        ledger, step = self._ledger, len(self._ledger.places)
        counts: Counter[tuple[Kind, Where]] = Counter()
        examples: dict[tuple[Kind, Where], list[Example]] = defaultdict(list)
        partitions, appeared, absent, pending = [], 0, 0, 0
        for number, place in enumerate(ledger.places):
            sent = acknowledged = unknown = refused = 0
            late = self._late_in_kafka(number)
            for sequence in range(number, ledger.sent, step):
                sent += 1
                is_refused = sequence in ledger.refused
                if ledger.offsets[sequence] != NOWHERE:
                    acknowledged += 1
                elif is_refused:
                    refused += 1
                else:
                    unknown += 1
                    appeared += bool(self._rows[sequence])
                    absent += not self._rows[sequence]
                if self._is_pending(sequence, place):
                    pending += 1
                    continue
                for kind, where, found in self._wrong(sequence, place, is_refused, sequence in late):
                    counts[kind, where] += 1
                    if len(examples[kind, where]) < EXAMPLES:
                        examples[kind, where].append(
                            Example(place.topic, place.partition, sequence, self._offset_of(sequence), found))
            partitions.append(PartitionCounts(*place, sent, acknowledged, unknown, refused, self._delivered[place]))
        for where, count in self._never_sent.items():
            counts[Kind.NEVER_SENT, where] = count
            examples[Kind.NEVER_SENT, where] = self._never_sent_examples[where]
        findings = tuple(
            Finding(kind, where, counts[kind, where], tuple(examples[kind, where]))
            for kind in _ORDER for where in Where if counts[kind, where])
        return Verdict(tuple(partitions), findings, appeared, absent, pending, self._foreign)

    def _offset_of(self, sequence: int) -> int | None:
        """Where Kafka acknowledged it, or where it was found there without an answer."""
        offset = self._ledger.offsets[sequence]
        return offset if offset != NOWHERE else self._unanswered_at.get(sequence)

    def _is_pending(self, sequence: int, place: TopicPartition) -> bool:
        offset = self._offset_of(sequence)
        there = self._known[sequence] & _IN_KAFKA or not self._kafka_read
        return (not self._rows[sequence] and offset is not None and bool(there)
                and self._processed.get(place, 0) <= offset)

    def _wrong(
        self, sequence: int, place: TopicPartition, is_refused: bool, is_late_in_kafka: bool,
    ) -> Iterator[tuple[Kind, Where, str]]:
        known, rows, offset = self._known[sequence], self._rows[sequence], self._offset_of(sequence)
        if not rows:
            if offset is not None:
                yield Kind.LOST, self._whose_loss(known, place, offset), f"offset {offset}, in no batch"
            return
        batch = "batch {}/{}".format(*self._batches[self._seen_in[sequence]])
        if is_refused:
            yield Kind.REFUSED, self._whose(known, _IN_KAFKA), f"in {batch}"
        if rows > 1:
            again = ", ".join(self._again.get(sequence, ())) or "others"
            yield Kind.DOUBLED, self._whose_double(known, place, offset), f"in {batch} and {again}"
        if known & _LATE:
            yield Kind.REORDERED, Where.JOB, f"in {batch}, after a record of a higher offset"
        elif is_late_in_kafka:
            yield Kind.REORDERED, Where.KAFKA, "stored behind a record that was sent after it"
        if known & _ALTERED:
            yield Kind.ALTERED, self._whose(known, _ALTERED_IN_KAFKA), f"in {batch}"
        acknowledged = self._ledger.offsets[sequence]
        if rows == 1 and acknowledged != NOWHERE and self._seen_at[sequence] != acknowledged:
            there = ("another partition" if self._seen_at[sequence] == _WRONG_PARTITION
                     else f"offset {self._seen_at[sequence]}")
            where = Where.JOB if known & _AS_ACKNOWLEDGED and not known & _TWICE_IN_KAFKA else (
                Where.KAFKA if known & _IN_KAFKA else Where.UNTOLD)
            yield Kind.MISPLACED, where, f"in {batch} from {there}"

    def _whose_loss(self, known: int, place: TopicPartition, offset: int) -> Where:
        if not self._kafka_read:
            return Where.UNTOLD
        if known & _IN_KAFKA:
            return Where.JOB
        return Where.RETENTION if offset < self._earliest.get(place, 0) else Where.KAFKA

    def _whose_double(self, known: int, place: TopicPartition, offset: int | None) -> Where:
        if known & _AGAIN:
            return Where.JOB  # one offset, two rows
        if not self._kafka_read:
            return Where.UNTOLD
        if known & _TWICE_IN_KAFKA:
            return Where.KAFKA
        return Where.RETENTION if offset is not None and offset < self._earliest.get(place, 0) else Where.JOB

    def _whose(self, known: int, in_kafka: int) -> Where:
        """Kafka's where it shows the same (`in_kafka`), the job's where it shows the record right."""
        if not self._kafka_read or not known & _IN_KAFKA:
            return Where.UNTOLD
        return Where.KAFKA if known & in_kafka else Where.JOB

    def _late_in_kafka(self, number: int) -> set[int]:
        """Records of a place that Kafka stored behind one that was sent after them."""
        offsets, step = self._ledger.offsets, len(self._ledger.places)
        lowest: int | None = None
        late = set()
        for sequence in reversed(range(number, len(offsets), step)):
            offset = offsets[sequence]
            if offset == NOWHERE:
                continue
            if lowest is not None and offset > lowest:
                late.add(sequence)
            lowest = offset if lowest is None else min(lowest, offset)
        return late
