"""A transform with faults on demand: what a record says goes for its batch, or for the driver from then on.

    hang:PATH           the batch never ends, unless that file is there: it is made first, so it happens once
    slow:UNTIL          until that time (seconds since 1970), every batch takes 5 ms a record
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from transforms import Batch

RECORDS_PER_S = 200

_slow_until = [0.0]


def transform(frame: DataFrame, batch: Batch) -> DataFrame:
    words = frame.selectExpr("cast(value as string) as word").where("word like 'hang:%' or word like 'slow:%'")
    for row in words.collect():
        fault, _, given = row.word.partition(":")
        if fault == "slow":
            _slow_until[0] = float(given)
        elif not Path(given).exists():
            Path(given).touch()
            time.sleep(3600)
    if time.time() < _slow_until[0]:
        time.sleep(sum(taken.span for taken in batch.ranges) / RECORDS_PER_S)
    return frame
