"""What Kafka says about positions: where a pipeline is to start, and what retention has taken meanwhile.

Asked through the kafka-clients that Spark's connector brings, so the job needs no second Kafka library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from py4j.protocol import Py4JJavaError

from streamops.errors import ConfigurationError, DataLossError, UnavailableError
from streamops.state.job_spec import StartingOffsets
from streamops.state.offsets import OffsetRange, Offsets, TopicPartition

#: How long an answer may take: a broker that restarts is back by then, and the caller tries again anyway.
TIMEOUT_MS = 30_000


class KafkaPositions:
    """Positions of some topics. `properties` are those of a Kafka client."""

    def __init__(self, jvm: Any, properties: Mapping[str, str], topics: Iterable[str]) -> None:
        self._jvm = jvm
        self._topics = list(topics)
        self._properties = {**properties, "default.api.timeout.ms": str(TIMEOUT_MS), "request.timeout.ms": "10000"}
        self._admin: Any = None

    def partitions(self) -> list[TopicPartition]:
        """Every partition of every topic."""
        with self._asking("which partitions the topics have") as admin:
            described = admin.describeTopics(self._topics).allTopicNames().get()
            return sorted(
                TopicPartition(topic, described[topic].partitions()[index].partition())
                for topic in self._topics
                for index in range(len(described[topic].partitions()))
            )

    def earliest(self, partitions: Iterable[TopicPartition]) -> Offsets:
        """The first offset that each partition still has."""
        return self._offsets(partitions, lambda spec: spec.earliest())

    def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Set the offsets of a consumer group that has no members. Raises UnavailableError with what Kafka says."""
        common = self._jvm.org.apache.kafka.common
        position = self._jvm.org.apache.kafka.clients.consumer.OffsetAndMetadata
        with self._asking(f"a commit of the group {group}") as admin:
            set_to = {common.TopicPartition(*at): position(offset) for at, offset in offsets.items()}
            admin.alterConsumerGroupOffsets(group, set_to).all().get()

    def starting_at(self, wanted: StartingOffsets) -> Offsets:
        """The offset of every partition at which reading is to start, as the pipeline states it.

        Raises ConfigurationError when explicit offsets do not name each partition once.
        """
        partitions = self.partitions()
        if wanted == "earliest":
            return self.earliest(partitions)
        if wanted == "latest":
            return self._offsets(partitions, lambda spec: spec.latest())
        if isinstance(wanted, str):
            at_ms = round(datetime.fromisoformat(wanted).timestamp() * 1000)
            found = self._offsets(partitions, lambda spec: spec.forTimestamp(at_ms))
            # No record is as young as that: what comes next is.
            missing = [partition for partition in partitions if found[partition] < 0]
            return {**found, **self._offsets(missing, lambda spec: spec.latest())} if missing else found
        stated = {TopicPartition(t, int(p)): offset for t, offsets in wanted.items() for p, offset in offsets.items()}
        if differing := sorted(set(partitions) ^ set(stated)):
            raise ConfigurationError(
                f"starting_offsets must name each partition of {', '.join(self._topics)} once; "
                f"missing or unknown: {', '.join(map(str, differing))}",
                "Correct starting_offsets in pipelines.yaml.",
            )
        return stated

    def _offsets(self, partitions: Iterable[TopicPartition], kind: Callable[[Any], Any]) -> Offsets:
        common = self._jvm.org.apache.kafka.common
        spec = kind(self._jvm.org.apache.kafka.clients.admin.OffsetSpec)
        asked = {partition: common.TopicPartition(*partition) for partition in partitions}
        with self._asking("offsets") as admin:
            answers = admin.listOffsets({java: spec for java in asked.values()})
            return {at: int(answers.partitionResult(java).get().offset()) for at, java in asked.items()}

    @contextmanager
    def _asking(self, what: str) -> Iterator[Any]:
        try:
            if self._admin is None:
                self._admin = self._jvm.org.apache.kafka.clients.admin.AdminClient.create(self._properties)
            yield self._admin
        except Py4JJavaError as error:
            said = error.java_exception
            cause = said.getCause() or said
            raise UnavailableError(
                f"Kafka was asked for {what} of {', '.join(self._topics)} and said: {str(cause.toString())[:300]}",
                "Check that the brokers run and that the topics exist: streamops stack status; streamops topics plan.",
            ) from None


class LossesRefused:
    """`on_data_loss: stop`: Spark itself fails a batch whose records are gone."""

    def lost(self, ranges: Iterable[OffsetRange]) -> tuple[OffsetRange, ...]:  # noqa: ARG002  the protocol's shape
        return ()


class LossesRecorded:
    """`on_data_loss: continue`: the batch takes what is left, and the log says what was not."""

    def __init__(self, positions: KafkaPositions) -> None:
        self._positions = positions

    def lost(self, ranges: Iterable[OffsetRange]) -> tuple[OffsetRange, ...]:
        taken = [part for part in ranges if part.span]
        earliest = self._positions.earliest([part.topic_partition for part in taken])
        return tuple(
            OffsetRange(part.topic, part.partition, part.first, min(part.until, earliest[part.topic_partition]))
            for part in taken
            if earliest[part.topic_partition] > part.first
        )


def data_loss_in(error: str) -> DataLossError | None:
    """The error to stop with when Spark's message says that records are gone; None when it says something else.

    The words are those of KafkaSourceProvider's INSTRUCTION_FOR_FAIL_ON_DATA_LOSS_TRUE and of the error classes
    KAFKA_DATA_LOSS.* (connector/kafka-0-10-sql, Spark 4.2).
    """
    if "KAFKA_DATA_LOSS" not in error and "failOnDataLoss" not in error:
        return None
    lines = [line.strip() for line in error.splitlines()]
    telling = next((line for line in lines if "KAFKA_DATA_LOSS" in line), lines[0])
    return DataLossError(
        f"unprocessed records are gone from Kafka: {telling[:500]}",
        "Retention, or a topic that was deleted and made again, has overtaken the pipeline. To go on without them, and "
        "have the batch log say which they were, set `on_data_loss: continue`.",
    )
