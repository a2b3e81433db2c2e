"""The rule by which a benchmark calls memory flat."""

from __future__ import annotations

import random

import pytest

from memory_trend import Reading, trend

TWENTY_MINUTES = range(0, 1200, 10)


def readings(start_mb: float, mb_per_h: float = 0.0, noise_mb: float = 0.0) -> list[Reading]:
    chance = random.Random(1)
    return [
        (float(at_s), start_mb + mb_per_h * at_s / 3600 + chance.uniform(-noise_mb, noise_mb))
        for at_s in TWENTY_MINUTES
    ]


@pytest.mark.parametrize(
    ("series", "flat"),
    [
        pytest.param(readings(100), True, id="constant"),
        pytest.param(readings(100, noise_mb=20), True, id="noise of a fifth"),
        pytest.param(readings(300, mb_per_h=-100), True, id="shrinking"),
        pytest.param(readings(60, mb_per_h=30), False, id="a small process that leaks half of itself an hour"),
        pytest.param(readings(400, mb_per_h=200, noise_mb=20), False, id="a large one, with noise"),
        pytest.param(
            [(at_s, mb + 500 * (at_s in (300.0, 1100.0))) for at_s, mb in readings(100)],
            True,
            id="children for an instant",
        ),
        pytest.param(
            [(at_s, min(mb, 160)) for at_s, mb in readings(100, 720)], True, id="growth that ends with the warm-up"
        ),
    ],
)
def test_flat_or_not(series: list[Reading], flat: bool) -> None:
    assert trend(series, warm_up_s=300).flat is flat


def test_the_slope_is_in_mb_an_hour_and_without_the_warm_up() -> None:
    series = [(at_s, mb if at_s >= 300 else 0.0) for at_s, mb in readings(100, mb_per_h=60)]
    assert trend(series, warm_up_s=300).slope_mb_per_h == pytest.approx(60)


def test_too_few_readings_are_no_trend() -> None:
    with pytest.raises(ValueError, match="1 readings after the warm-up of 1190 s"):
        trend(readings(100), warm_up_s=1190)


@pytest.mark.parametrize(
    ("held_mb", "mb_per_h", "flat"),
    [
        pytest.param(15, 0, True, id="a batch that is there or not"),
        pytest.param(15, 60, False, id="a leak under it"),
    ],
)
def test_the_floor_of_a_heap_tells_a_leak_from_a_batch_in_flight(held_mb: float, mb_per_h: float, flat: bool) -> None:
    chance = random.Random(7)
    series = [(at_s, mb + held_mb * chance.randrange(2)) for at_s, mb in readings(45, mb_per_h)[30::6]]
    assert trend(series, 0, min).flat is flat
