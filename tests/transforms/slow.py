"""A transform that takes two milliseconds a record: slower than what the tests feed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from transforms import Batch

RECORDS_PER_S = 500


def transform(frame: DataFrame, batch: Batch) -> DataFrame:
    time.sleep(sum(taken.span for taken in batch.ranges) / RECORDS_PER_S)
    return frame
