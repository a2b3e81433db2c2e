"""The ten largest rows of each batch in the driver's log, as the classic `pprint` showed them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812  the name that every Spark program gives it

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

    from transforms import Batch

SHOWN = 10


class ConsoleSink:
    """Prints."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def prepare(self, frame: DataFrame, batch: Batch) -> int:  # noqa: ARG002  every sink takes both
        """Rows are largest by their last column, then by the columns from left to right."""
        kept = frame.persist()
        try:
            order = [F.col(f"`{kept.columns[-1]}`").desc(), *(F.col(f"`{name}`") for name in kept.columns[:-1])]
            self._rows = kept.orderBy(*order).limit(SHOWN).collect()
            return int(kept.count())
        finally:
            kept.unpersist()

    def publish(self, batch: Batch, rows: int) -> tuple[None, int]:
        rule = "-" * 43
        heading = f"Generation: {batch.generation}  Batch: {batch.number}"
        print("\n".join([rule, heading, rule, *(str(tuple(row)) for row in self._rows), ""]), flush=True)  # noqa: T201
        return None, rows
