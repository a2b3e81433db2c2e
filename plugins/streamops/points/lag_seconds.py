"""How old the oldest unprocessed record of a partition is, and how long until Kafka's retention reaches it.

Pure: offsets, record timestamps (milliseconds since 1970, UTC) and the time are arguments. Each answer is a value or
the reason why there is none, never a guess: (value, None) or (None, reason).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

#: A producer's clock may run ahead of ours by this much; then a record is of now. Beyond, its timestamp says nothing:
#: some producers write microseconds, or a time of the event that it is about. A minute is more than NTP ever leaves.
CLOCK_SKEW_S = 60.0

IDLE = "nothing is unprocessed"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a topic keeps records: `retention.ms` and `retention.bytes` (of one partition). None is for ever.

    A topic with `cleanup.policy=compact` alone has neither.
    """

    retention_ms: int | None
    retention_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Growth:
    """A partition's log: `size_bytes` on one replica, and offsets that were added a second."""

    size_bytes: int
    offsets_per_s: float


def timestamp_at(offset: int, samples: Sequence[tuple[int, int]]) -> int | None:
    """When the record at `offset` was written, between records whose timestamps are known; None outside of them.

    `samples` are (offset, timestamp in ms) of real records in ascending order of offsets, such as the newest records
    that earlier recovery points saw. The straight line between the two neighbours is off by no more than their distance
    in time.
    """
    above = bisect_left(samples, (offset,))
    if above < len(samples) and samples[above][0] == offset:
        return samples[above][1]
    if above == 0 or above == len(samples):
        return None
    (before, before_ms), (after, after_ms) = samples[above - 1], samples[above]
    return before_ms + (after_ms - before_ms) * (offset - before) // (after - before)


def lag_records(processed: int | None, latest: int | None) -> tuple[int | None, str | None]:
    """Offsets between `processed`, the next one to process, and `latest`, the next one to be written."""
    if processed is None:
        return None, "what was processed is unknown"
    if latest is None:
        return None, "the latest offset is unknown"
    if latest < processed:
        return None, "Kafka ends below what was processed: its topic was deleted and made again, or lost records"
    return latest - processed, None


def lag_s(lag: int | None, processed_at_ms: int | None, now_ms: int) -> tuple[float | None, str | None]:
    """The age in seconds of the record at the processed offset, the oldest that waits; 0 where none waits.

    It is an age and no difference to the newest record, so that it goes on growing while producer and consumer are
    both dead.
    """
    if lag is None:
        return None, "the lag in records is unknown"
    if lag == 0:
        return 0.0, None
    if processed_at_ms is None:
        return None, "the timestamp of the oldest unprocessed record is unknown"
    age_s = (now_ms - processed_at_ms) / 1000
    if age_s < -CLOCK_SKEW_S:
        return None, "the timestamp of the oldest unprocessed record lies in the future"
    return max(age_s, 0.0), None


def data_loss_s(
    processed: int | None,
    earliest: int | None,
    latest: int | None,
    processed_at_ms: int | None,
    retention: Retention | None,
    growth: Growth | None,
    now_ms: int,
) -> tuple[float | None, str | None]:
    """Seconds until retention may delete the oldest unprocessed record; 0 when it has.

    By time a segment goes when its newest record is older than `retention.ms`, so never before the record asked about
    is that old. By size the oldest segment goes when all newer ones hold `retention.bytes`; the bytes that wait are
    estimated by the average record of the log, and the speed by what was added lately. The smaller of both, as far as
    they are known; a segment goes whole and a little later, so this errs on the safe side.
    """
    if processed is None or earliest is None or latest is None:
        missing = "what was processed" if processed is None else "the range of offsets in Kafka"
        return None, f"{missing} is unknown"
    if processed < earliest:
        return 0.0, None
    if processed >= latest:
        return None, IDLE
    if retention is None:
        return None, "the topic's retention is unknown"
    if retention.retention_ms is None and retention.retention_bytes is None:
        return None, "the topic keeps its records for ever"
    ends: list[float] = []
    reason = "the timestamp of the oldest unprocessed record is unknown"
    if retention.retention_ms is not None and processed_at_ms is not None:
        ends.append((processed_at_ms + retention.retention_ms - now_ms) / 1000)
    if retention.retention_bytes is not None:
        if growth is None:
            reason = "how fast the partition grows in bytes is unknown"
        elif growth.offsets_per_s <= 0:
            reason = "the topic is limited by size and does not grow"
        else:
            bytes_per_offset = growth.size_bytes / (latest - earliest)
            free_bytes = retention.retention_bytes - (latest - processed) * bytes_per_offset
            per_s = growth.offsets_per_s * bytes_per_offset
            if per_s > 0:
                ends.append(free_bytes / per_s)
    return (max(min(ends), 0.0), None) if ends else (None, reason)
