"""How often each word occurs in the values of a batch: columns `word` (string) and `count` (long).

A word is what splitting the value, as UTF-8 text, at single spaces gives; empty ones are left out. Bytes that are no
UTF-8 become U+FFFD: Spark splits by Java's means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812  the name that every Spark program gives it

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from transforms import Batch


def transform(frame: DataFrame, batch: Batch) -> DataFrame:  # noqa: ARG001  every transform takes both
    words = frame.select(F.explode(F.split(F.col("value").cast("string"), " ", -1)).alias("word"))
    return words.where(F.col("word") != "").groupBy("word").count()
