"""The dead-letter topic: bad records, as they were, with the error and the origin in their headers.

The letters of a batch go out in one transaction, before the batch is logged. A driver that finds the batch unlogged
looks first whether they went out already. So whoever reads with `isolation.level=read_committed` sees each once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812  the name that every Spark program gives it

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

    from bad_records import BadRecord, Found
    from transforms import Batch

log = logging.getLogger("streamops.dead_letters")

BATCH_HEADER = "streamops.batch"

#: How much older than the batch's own records a letter of it may seem, when clocks differ: an hour.
CLOCKS_MS = 3_600_000


class DeadLetterTopic:
    """Sends to one topic, as one pipeline: its transactional id fences a driver that was thought dead."""

    def __init__(self, session: SparkSession, properties: Mapping[str, str], topic: str, pipeline: str) -> None:
        self._session = session
        self._jvm: Any = session._jvm
        self._properties = dict(properties)
        self._topic = topic
        self._pipeline = pipeline

    def send(self, frame: DataFrame, found: Found, batch: Batch) -> None:
        """Send the records, in one transaction, unless an earlier try of the same batch did."""
        rows = frame.where(found.condition()).select(
            "topic", "partition", "offset", "key", "value", F.unix_millis("timestamp").alias("at_ms"), "headers"
        ).collect()
        said = {(record.at.topic, record.at.partition, record.offset): record for record in found.records}
        label = f"{batch.pipeline}/{batch.generation}/{batch.number}"
        producer = self._producer()
        try:
            # Ends, or waits for the end of, a transaction that an older driver left open: what was sent is now visible.
            producer.initTransactions()
            if self._went_out(label, min(row.at_ms for row in rows)):
                log.info("the dead letters of batch %s went out already", label)
                return
            producer.beginTransaction()
            for row in rows:
                producer.send(self._letter(row, said[row.topic, row.partition, row.offset], label))
            producer.commitTransaction()
        finally:
            producer.close()

    def _producer(self) -> Any:
        serializer = "org.apache.kafka.common.serialization.ByteArraySerializer"
        return self._jvm.org.apache.kafka.clients.producer.KafkaProducer({
            **self._properties,
            "key.serializer": serializer,
            "value.serializer": serializer,
            "transactional.id": f"streamops.{self._pipeline}.dead-letters",
            "acks": "all",
        })

    def _letter(self, row: Row, record: BadRecord, label: str) -> Any:
        added = {
            BATCH_HEADER: label,
            "streamops.error": record.error,
            "streamops.topic": row.topic,
            "streamops.partition": str(row.partition),
            "streamops.offset": str(row.offset),
            "streamops.timestamp_ms": str(row.at_ms),
        }
        headers = [
            *((header.key, header.value) for header in row.headers or []),
            *((name, bytearray(text, "utf-8")) for name, text in added.items()),
        ]
        letter = self._jvm.org.apache.kafka.clients.producer.ProducerRecord(self._topic, row.key, row.value)
        for name, value in headers:
            letter.headers().add(name, value)
        return letter

    def _went_out(self, label: str, since_ms: int) -> bool:
        reader = self._session.read.format("kafka")
        for name, value in self._properties.items():
            reader = reader.option(f"kafka.{name}", value)
        letters = (
            reader.option("subscribe", self._topic)
            .option("kafka.isolation.level", "read_committed")
            .option("includeHeaders", "true")
            .option("startingTimestamp", str(max(0, since_ms - CLOCKS_MS)))
            .option("startingOffsetsByTimestampStrategy", "latest")
            .load()
        )
        mine = F.exists("headers", lambda header: (header.key == BATCH_HEADER) & (header.value == label.encode()))
        return bool(letters.where(mine).limit(1).count())
