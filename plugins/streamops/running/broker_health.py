"""How Kafka's brokers are, as far as a pipeline needs them: who answers, and which partitions lack leader or replicas.

Pure: what was read comes in, words go out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamops.state.offsets import TopicPartition

#: Partitions named in a line; the rest is counted.
_MOST_NAMED = 5


@dataclass(frozen=True)
class BrokerHealth:
    """What brokers say of themselves and of a pipeline's topics.

    `away` says why no broker answers, None where one does. `brokers` has every broker that is up, or that holds a
    replica, by its id: None where it answers, else why it does not. `absent` says of topics why they could not be
    described.
    """

    away: str | None = None
    brokers: Mapping[int, str | None] = field(default_factory=dict)
    partitions: int = 0
    leaderless: Sequence[TopicPartition] = ()
    under_replicated: Sequence[TopicPartition] = ()
    absent: Mapping[str, str] = field(default_factory=dict)

    @property
    def silent(self) -> list[int]:
        """The brokers that do not answer."""
        return sorted(broker for broker, why in self.brokers.items() if why is not None)

    @property
    def serves(self) -> bool:
        """Whether every partition can be read now."""
        return self.away is None and not self.leaderless and not self.absent

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing: no broker, no leader, no replica."""
        return self.serves and not self.silent and not self.under_replicated

    def lines(self) -> list[str]:
        """What there is, a line for each broker that does not answer and each kind of partition in trouble."""
        if self.away is not None:
            return [f"brokers: {self.away}"]
        answering = sorted(broker for broker, why in self.brokers.items() if why is None)
        found = [f"brokers: {len(answering)} of {len(self.brokers)} answer "
                 f"({', '.join(map(str, answering)) or 'none'})"]
        found += [f"broker {broker}: {self.brokers[broker]}" for broker in self.silent]
        found += [f"topic {topic}: {why}" for topic, why in self.absent.items()]
        for word, partitions in (("without a leader", self.leaderless), ("under-replicated", self.under_replicated)):
            if partitions:
                found.append(f"{len(partitions)} of {self.partitions} partitions {word}: {_named(partitions)}")
        return found

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "away": self.away,
            "brokers": {str(broker): why for broker, why in self.brokers.items()},
            "partitions": self.partitions,
            "leaderless": [str(at) for at in self.leaderless],
            "under_replicated": [str(at) for at in self.under_replicated],
            "absent": dict(self.absent),
        }


def _named(partitions: Sequence[TopicPartition]) -> str:
    more = len(partitions) - _MOST_NAMED
    return ", ".join(map(str, partitions[:_MOST_NAMED])) + (f" and {more} more" if more > 0 else "")
