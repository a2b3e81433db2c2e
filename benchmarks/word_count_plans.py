"""What a benchmark of the word count runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """`pairs` pairs of runs of `batches` batches of `records` records; the first `warm_up` batches are not measured."""

    name: str
    records: int
    batches: int
    warm_up: int
    pairs: int
