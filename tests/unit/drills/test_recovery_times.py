"""Recovery times: by one clock, counted from the fault."""

from __future__ import annotations

import pytest

from streamops.drills.recovery_times import RecoveryTimes, SeenBatch, SeenLatest, Sign, Watched, times_of
from streamops.state.offsets import TopicPartition

AT = TopicPartition("canary", 0)


def batches(*seen: tuple[float, int]) -> list[SeenBatch]:
    """(seconds, end offset) as batches in a row."""
    return [SeenBatch(at_s, 1, number, {AT: end}) for number, (at_s, end) in enumerate(seen)]


def latest(*seen: tuple[float, int]) -> list[SeenLatest]:
    return [SeenLatest(at_s, {AT: offset}) for at_s, offset in seen]


@pytest.mark.parametrize(("what", "watched", "expected"), [
    ("nothing came", Watched(batches((-1, 10))), RecoveryTimes()),
    ("only what was on its way", Watched(batches((-1, 10), (0.4, 20))), RecoveryTimes(longest_gap_s=1.4)),
    ("the second one counts", Watched(batches((-1, 10), (0.4, 20), (9, 30)), latest((0, 15), (4, 40))),
     RecoveryTimes(first_batch_s=9, longest_gap_s=8.6)),
    ("it catches up later", Watched(batches((-1, 10), (0, 20), (9, 30), (10, 90)), latest((0, 15), (5, 60), (8.5, 95))),
     RecoveryTimes(first_batch_s=9, caught_up_s=10, longest_gap_s=9)),
    ("at once", Watched(batches((-1, 10), (1, 20), (2, 30)), latest((-2.5, 5), (1, 30))),
     RecoveryTimes(first_batch_s=2, caught_up_s=2, longest_gap_s=2)),
    ("Kafka was away, and its first answer counts", Watched(batches((-1, 10), (1, 20), (9, 30)), latest((8, 30))),
     RecoveryTimes(first_batch_s=9, caught_up_s=9, longest_gap_s=8)),
    ("signs from before the fault do not count",
     Watched(batches((-1, 10)), signs=[Sign(-3, "late"), Sign(2, "driver FAILED"), Sign(3, "late")]),
     RecoveryTimes(detected_s=2, sign="driver FAILED")),
    ("a pipeline without a batch before", Watched(batches((3, 10), (5, 20))),
     RecoveryTimes(first_batch_s=5, longest_gap_s=2)),
])
def test_times(what: str, watched: Watched, expected: RecoveryTimes) -> None:
    assert times_of(watched, 2) == expected, what
    assert RecoveryTimes(**expected.as_dict()) == expected
