"""Proofs: which records of one batch the transform cannot process, found by running it on each of them alone.

Whoever wants one puts a request into the arguments of `jobs/prove_bad_records.py`, which reads the batch's offsets out
of Kafka, writes nothing to any sink, and leaves its answer in `proofs/<request's id>.json` below the state directory.

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from streamops.errors import ConfigurationError
from streamops.state import stored_json
from streamops.state.offsets import OffsetRange, TopicPartition

FORMAT = "streamops.proof/1"
DIRECTORY = "proofs"


@dataclass(frozen=True, order=True)
class ProvenRecord:
    """A record on which the transform fails when it is alone: where it is, and what the transform says, in one line.

    `key` is its first characters, None where it has none; `size_bytes` are key and value; `timestamp_ms` is Kafka's.
    """

    topic: str
    partition: int
    offset: int
    error: str
    key: str | None = None
    size_bytes: int = 0
    timestamp_ms: int = 0

    @property
    def at(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        key = f"key {self.key!r}" if self.key is not None else "no key"
        return f"{self.at} offset {self.offset} ({key}, {self.size_bytes:,} bytes): {self.error}"


@dataclass(frozen=True)
class ProofRequest:
    """The batch to look at, by its offsets, and how many bad records are too many to be looked for."""

    id: str
    generation: int
    batch: int
    ranges: tuple[OffsetRange, ...]
    most_records: int

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "ranges": [part.as_dict() for part in self.ranges]})

    @classmethod
    def from_json(cls, text: str) -> ProofRequest:
        """The request that `to_json` wrote. Raises ConfigurationError on anything else."""
        try:
            data = json.loads(text)
            return cls(**{**data, "ranges": tuple(map(OffsetRange.from_dict, data["ranges"]))})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            found = f"this is no request for a proof ({type(error).__name__}): {text[:200]!r}"
            raise ConfigurationError(found, "Hand the check what streamops made.") from error


@dataclass(frozen=True)
class Proof:
    """What came of a request; all errors are one line.

    `whole_error` is what the whole batch fails with, None where it does not fail; `rest_error` the same for the batch
    without `records`. `unproven` says why nothing could be found out: Kafka lacks records, there are too many bad ones.
    """

    pipeline: str
    generation: int
    batch: int
    transform: str
    read: int
    whole_error: str | None = None
    records: tuple[ProvenRecord, ...] = ()
    rest_error: str | None = None
    unproven: str | None = None

    @property
    def holds(self) -> bool:
        """Whether these records are what the batch fails for: each fails alone, and without them nothing fails."""
        return bool(self.records) and self.rest_error is None and self.unproven is None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "holds": self.holds}

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Proof:
        """The proof that `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, FORMAT, "a proof") as data:
            return cls(**{**data, "records": tuple(ProvenRecord(**each) for each in data["records"])})


def path(request_id: str) -> str:
    return f"{DIRECTORY}/{request_id}.json"
