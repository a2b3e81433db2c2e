"""Records of stated offsets, read from Kafka once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from streamops.state.offsets import OffsetRange, to_spark_offsets

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def read(
    session: SparkSession, kafka: Mapping[str, str], ranges: Iterable[OffsetRange], *, fail_on_data_loss: bool
) -> DataFrame:
    """A frame with the columns of Spark's Kafka source; at least one range, which may be empty.

    `kafka` are the properties of a client. Nothing is read before the frame is used.
    """
    wanted = list(ranges)
    assigned: dict[str, list[int]] = {}
    for part in wanted:
        assigned.setdefault(part.topic, []).append(part.partition)
    reader = session.read.format("kafka")
    for name, value in kafka.items():
        reader = reader.option(f"kafka.{name}", value)
    starts = to_spark_offsets({part.topic_partition: part.first for part in wanted})
    ends = to_spark_offsets({part.topic_partition: part.until for part in wanted})
    return (
        reader.option("assign", json.dumps(assigned))
        .option("startingOffsets", json.dumps(starts))
        .option("endingOffsets", json.dumps(ends))
        .option("failOnDataLoss", str(fail_on_data_loss).lower())
        .option("includeHeaders", "true")
        .load()
    )
