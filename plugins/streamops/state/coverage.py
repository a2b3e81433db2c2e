"""Which offsets some batches cover, and how many of them others cover as well. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from streamops.state.offsets import OffsetRange, TopicPartition


class Coverage:
    """A set of offsets, as few spans a partition; those of a pipeline that only goes on are one."""

    def __init__(self) -> None:
        self._spans: dict[TopicPartition, list[tuple[int, int]]] = {}

    def shared(self, ranges: Iterable[OffsetRange]) -> int:
        """How many offsets of `ranges`, of which no two overlap, are covered."""
        return sum(max(0, min(taken.until, until) - max(taken.first, first))
                   for taken in ranges for first, until in self._spans.get(taken.topic_partition, ()))

    def add(self, ranges: Iterable[OffsetRange]) -> None:
        """Cover `ranges` too."""
        for taken in ranges:
            if taken.span:
                spans = self._spans.get(taken.topic_partition, [])
                self._spans[taken.topic_partition] = _merged([*spans, (taken.first, taken.until)])

    def add_all(self, other: Coverage) -> None:
        """Cover what `other` covers."""
        for at, spans in other._spans.items():
            self._spans[at] = _merged([*self._spans.get(at, []), *spans])


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, of which no two overlap or touch."""
    merged: list[tuple[int, int]] = []
    for first, until in sorted(spans):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], until))
        else:
            merged.append((first, until))
    return merged
