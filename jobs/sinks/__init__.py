"""Sinks: where a batch's rows go. A sink holds a batch's output once, however often the batch is run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from transforms import Batch


class Sink(Protocol):
    """Takes the rows of one batch, in two steps: between them the lease is checked."""

    def prepare(self, frame: DataFrame, batch: Batch) -> int:
        """Compute the rows and put them aside, unseen by readers. Returns how many they are."""

    def publish(self, batch: Batch, rows: int) -> tuple[str | None, int]:
        """Show what was put aside. Returns the folder that holds it, or None, and how many rows it holds."""
