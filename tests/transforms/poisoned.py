"""A transform that fails on the record `poison`, as one does that cannot read what somebody sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812  the name that every Spark program gives it

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from transforms import Batch


def transform(frame: DataFrame, batch: Batch) -> DataFrame:
    refused = F.raise_error(F.concat(F.lit("cannot read the record at offset "), F.col("offset")))
    word = F.col("value").cast("string")
    return frame.select("topic", "partition", "offset", F.when(word == "poison", refused).otherwise(word).alias("word"))
