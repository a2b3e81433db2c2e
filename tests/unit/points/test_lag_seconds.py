"""Lag in seconds and the time to data loss: a value, or the reason why there is none."""

from __future__ import annotations

import pytest

from streamops.points.lag_seconds import Growth, Retention, data_loss_s, lag_records, lag_s, timestamp_at

NOW_MS = 1_700_000_000_000
SAMPLES = [(100, NOW_MS - 60_000), (200, NOW_MS - 40_000), (210, NOW_MS)]
HOUR = Retention(3_600_000)


@pytest.mark.parametrize(("offset", "expected"), [
    pytest.param(100, NOW_MS - 60_000, id="a record that was seen"),
    pytest.param(150, NOW_MS - 50_000, id="half-way between two"),
    pytest.param(201, NOW_MS - 36_000, id="in the second stretch"),
    pytest.param(210, NOW_MS, id="the newest"),
    pytest.param(99, None, id="older than every record seen"),
    pytest.param(211, None, id="newer than every record seen"),
])
def test_timestamps_are_interpolated_between_real_ones_only(offset: int, expected: int | None) -> None:
    assert timestamp_at(offset, SAMPLES) == expected


def test_no_sample_gives_no_timestamp() -> None:
    assert timestamp_at(5, []) is None


@pytest.mark.parametrize(("processed", "latest", "lag", "reason"), [
    pytest.param(5, 9, 4, None, id="four wait"),
    pytest.param(9, 9, 0, None, id="none waits"),
    pytest.param(None, 9, None, "what was processed is unknown", id="no batch log"),
    pytest.param(5, None, None, "the latest offset is unknown", id="the broker is away"),
    pytest.param(9, 5, None, "made again", id="the topic was made again"),
])
def test_lag_in_records(processed: int | None, latest: int | None, lag: int | None, reason: str | None) -> None:
    found, why = lag_records(processed, latest)
    assert found == lag
    assert (why is None) if reason is None else (reason in str(why))


@pytest.mark.parametrize(("lag", "processed_at_ms", "seconds", "reason"), [
    pytest.param(7, NOW_MS - 1500, 1.5, None, id="the age of the oldest that waits"),
    pytest.param(0, None, 0.0, None, id="idle"),
    pytest.param(7, NOW_MS + 2000, 0.0, None, id="a producer whose clock is ahead a little"),
    pytest.param(7, NOW_MS * 1000, None, "in the future", id="microseconds"),
    pytest.param(7, None, None, "timestamp", id="an unknown timestamp"),
    pytest.param(None, NOW_MS, None, "lag in records", id="an unknown lag"),
])
def test_lag_in_seconds(
    lag: int | None, processed_at_ms: int | None, seconds: float | None, reason: str | None,
) -> None:
    found, why = lag_s(lag, processed_at_ms, NOW_MS)
    assert found == seconds
    assert (why is None) if reason is None else (reason in str(why))


def test_the_lag_of_a_dead_consumer_goes_on_growing_without_a_new_record() -> None:
    assert [lag_s(7, NOW_MS, NOW_MS + later)[0] for later in (0, 60_000, 120_000)] == [0.0, 60.0, 120.0]


@pytest.mark.parametrize(("processed", "earliest", "latest", "retention", "growth", "seconds", "reason"), [
    pytest.param(50, 0, 100, HOUR, None, 3000.0, None, id="by time: the record is ten minutes old"),
    pytest.param(50, 0, 100, Retention(60_000), None, 0.0, None, id="by time: overdue"),
    pytest.param(50, 60, 100, HOUR, None, 0.0, None, id="retention has been there"),
    pytest.param(50, 0, 100, Retention(None, 1000), Growth(1000, 5), 10.0, None,
                 id="by size: 50 records of 10 bytes wait, 50 more fit, 5 come a second"),
    pytest.param(50, 0, 100, Retention(3_600_000, 1000), Growth(1000, 5), 10.0, None, id="the smaller of both"),
    pytest.param(50, 0, 100, Retention(3_600_000, 1000), None, 3000.0, None, id="by time, the size being unknown"),
    pytest.param(100, 0, 100, HOUR, None, None, "nothing is unprocessed", id="idle"),
    pytest.param(50, 0, 100, Retention(None), None, None, "for ever", id="kept for ever"),
    pytest.param(50, 0, 100, Retention(None, 1000), Growth(1000, 0), None, "does not grow", id="by size, no traffic"),
    pytest.param(50, 0, 100, Retention(None, 1000), None, None, "grows", id="by size, of an unknown log"),
    pytest.param(50, 0, 100, None, None, None, "retention is unknown", id="unknown retention"),
    pytest.param(50, None, 100, HOUR, None, None, "offsets in Kafka", id="the broker is away"),
    pytest.param(None, 0, 100, HOUR, None, None, "what was processed", id="no batch log"),
])
def test_time_to_data_loss(
    processed: int | None, earliest: int | None, latest: int | None, retention: Retention | None,
    growth: Growth | None, seconds: float | None, reason: str | None,
) -> None:
    found, why = data_loss_s(processed, earliest, latest, NOW_MS - 600_000, retention, growth, NOW_MS)
    assert found == seconds
    assert (why is None) if reason is None else (reason in str(why))


def test_without_a_timestamp_a_limit_by_time_says_nothing() -> None:
    assert data_loss_s(50, 0, 100, None, HOUR, None, NOW_MS) == (
        None, "the timestamp of the oldest unprocessed record is unknown")
