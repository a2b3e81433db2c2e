"""The verdict on a drill: which records were lost, doubled, reordered or altered, by identity, and by whom.

The anomalies are those of Jepsen's Kafka workload (jepsen.kafka/workload: lost-write, duplicate, inconsistent-offsets,
nonmonotonic-poll) and of Kafka's own system tests (ducktape's VerifiableProducer and verifiable consumer compare what
was acknowledged with what was consumed); judged here at the sink, so the job is judged with the broker, and told apart
from it. docs/drills.md has the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NamedTuple

#: Examples kept of each kind of finding: enough to look them up, and few enough to be read.
EXAMPLES = 10


class Kind(StrEnum):
    """What is wrong with a record."""

    LOST = "lost"  # acknowledged, and not in the sink although the pipeline has passed its offset
    DOUBLED = "doubled"  # in the sink more than once
    REORDERED = "reordered"  # behind a record that it was sent, or stored, before
    ALTERED = "altered"  # its value is not what was sent
    MISPLACED = "misplaced"  # at another offset than the acknowledged one
    NEVER_SENT = "never_sent"  # bears the drill's name and a number that was never given
    REFUSED = "refused"  # Kafka said that it did not take it, and it is there


class Where(StrEnum):
    """Who did it."""

    JOB = "job"  # Kafka has it right, the sink has not
    KAFKA = "kafka"  # it was wrong in Kafka already
    RETENTION = "retention"  # Kafka has deleted it by now, so nobody can tell
    UNTOLD = "untold"  # Kafka was not read


class Outcome(StrEnum):
    """The verdict in a word; the later, the worse."""

    EXACT = "exact"
    UNFINISHED = "unfinished"  # the pipeline has not come to every record yet, so nothing is said of the rest
    KAFKA_WRONG = "kafka_wrong"  # the sink holds what Kafka has, and Kafka is at fault
    WRONG = "wrong"  # the job's own doing, or nobody can tell that it is not


class Delivery(NamedTuple):
    """A row in the sink of an `identity` pipeline."""

    generation: int
    batch: int
    topic: str
    partition: int
    offset: int
    value: bytes | None


class Stored(NamedTuple):
    """A record in Kafka."""

    topic: str
    partition: int
    offset: int
    value: bytes | None


@dataclass(frozen=True)
class Example:
    """One record that something is wrong with. `sequence` is None where it cannot be told; `found` is what was seen."""

    topic: str
    partition: int
    sequence: int | None
    offset: int | None
    found: str


@dataclass(frozen=True)
class Finding:
    """All records with one thing wrong, and the first of them, in the order of partition and sequence."""

    kind: Kind
    where: Where
    count: int
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class PartitionCounts:
    """One partition: records by what became of them when they were sent, and rows of the drill's in the sink."""

    topic: str
    partition: int
    sent: int
    acknowledged: int
    unknown: int
    refused: int
    delivered: int


@dataclass(frozen=True)
class LogProof:
    """What the batch log proves by itself, for any pipeline (see state/verification.py).

    Nothing is known when it is None.
    """

    sound: bool
    batches: int
    offsets: int
    lost_offsets: int
    repeated_offsets: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What a drill did to the records. Without a ledger (nothing was sent) there is the batch log's proof alone.

    `unknown_appeared` and `unknown_absent` are records without an answer from Kafka, both of which are right.
    `pending` acknowledged ones are in Kafka where the pipeline has not come to. `foreign` rows are of other senders.
    """

    partitions: tuple[PartitionCounts, ...] = ()
    findings: tuple[Finding, ...] = ()
    unknown_appeared: int = 0
    unknown_absent: int = 0
    pending: int = 0
    foreign: int = 0
    log: LogProof | None = None

    @property
    def outcome(self) -> Outcome:
        wheres = {finding.where for finding in self.findings}
        if wheres - {Where.KAFKA} or (self.log is not None and not self.log.sound):
            return Outcome.WRONG
        if wheres:
            return Outcome.KAFKA_WRONG
        return Outcome.UNFINISHED if self.pending else Outcome.EXACT

    def count(self, kind: Kind, where: Where | None = None) -> int:
        """How many records this is wrong with, whoever did it or by one."""
        return sum(each.count for each in self.findings if each.kind is kind and where in (None, each.where))

    @property
    def total(self) -> PartitionCounts:
        """The counts over all partitions."""
        def added(name: str) -> int:
            return sum(getattr(each, name) for each in self.partitions)
        return PartitionCounts("", -1, *map(added, ("sent", "acknowledged", "unknown", "refused", "delivered")))

    def as_dict(self) -> dict[str, Any]:
        return {"outcome": self.outcome.value, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Verdict:
        """What `as_dict` gave. Raises KeyError, TypeError or ValueError on anything else."""
        log = data["log"]
        return cls(
            tuple(PartitionCounts(**each) for each in data["partitions"]),
            tuple(Finding(Kind(each["kind"]), Where(each["where"]), int(each["count"]),
                          tuple(Example(**one) for one in each["examples"])) for each in data["findings"]),
            data["unknown_appeared"], data["unknown_absent"], data["pending"], data["foreign"],
            None if log is None else LogProof(**{**log, "problems": tuple(log["problems"])}))

    def describe(self) -> str:
        """A line of counts, then one for each finding and each problem."""
        total, lines = self.total, []
        if self.partitions:
            lines.append(
                f"{self.outcome}: {total.acknowledged:,} of {total.sent:,} records acknowledged, {total.unknown:,} "
                f"unknown ({self.unknown_appeared:,} appeared), {total.refused:,} refused; {total.delivered:,} in the "
                "sink; " + ", ".join(f"{kind} {self.count(kind):,}" for kind in (
                    Kind.LOST, Kind.DOUBLED, Kind.REORDERED, Kind.ALTERED))
                + (f"; {self.pending:,} not processed yet" if self.pending else ""))
        else:
            lines.append(f"{self.outcome}: by the batch log alone")
        for finding in self.findings:
            first = "; ".join(map(_in_words, finding.examples[:3]))
            lines.append(f"{finding.kind} ({_BY[finding.where]}): {finding.count:,}, first {first}")
        if self.log is not None:
            lines.append(f"batch log: {self.log.batches:,} batches, {self.log.offsets:,} offsets, "
                         f"{'ranges meet' if self.log.sound else 'NOT WHOLE'}")
            lines.extend(self.log.problems[:EXAMPLES])
        return "\n".join(lines)


_BY = {Where.JOB: "by the job", Where.KAFKA: "in Kafka already", Where.RETENTION: "Kafka has deleted it since",
       Where.UNTOLD: "Kafka was not read"}


def _in_words(example: Example) -> str:
    number = "?" if example.sequence is None else f"{example.sequence:,}"
    return f"{number} of {example.topic}-{example.partition} ({example.found})"


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """The worst of some; EXACT where there is none."""
    order = list(Outcome)
    return max(outcomes, key=order.index, default=Outcome.EXACT)
