"""The test of whether times got worse: exact, and no more false alarms than it says."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import combinations
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamops.drills.rank_test import holm, least_p, median, p_of_worse

TIMES = st.lists(st.sampled_from([1.0, 2.0, 2.5, 4.0, 7.0, inf]), min_size=1, max_size=5)


@settings(deadline=None)
@given(TIMES, TIMES)
def test_it_is_the_share_of_all_choices(new: list[float], before: list[float]) -> None:
    """By counting them one by one, with the ranks that a statistician would give."""
    everything = new + before
    rank = {each: Fraction(2 * sum(other < each for other in everything) + everything.count(each) + 1, 2)
            for each in everything}
    chosen = [sum(rank[everything[index]] for index in choice)
              for choice in combinations(range(len(everything)), len(new))]
    seen = sum(rank[each] for each in new)
    assert p_of_worse(new, before) == pytest.approx(sum(each >= seen for each in chosen) / len(chosen))


@pytest.mark.parametrize(("new", "before", "expected"), [
    ([5, 6, 7], [1, 2, 3, 4], 1 / 35), ([inf], [1, 2, 3], 1 / 4), ([1], [2, 3], 1.0), ([2, 2], [2, 2, 2], 1.0)])
def test_by_hand(new: list[float], before: list[float], expected: float) -> None:
    assert p_of_worse(new, before) == pytest.approx(expected)


def test_the_least_that_so_many_can_show() -> None:
    assert least_p(3, 10) == pytest.approx(p_of_worse([11, 12, 13], list(range(10)))) == pytest.approx(1 / 286)
    assert least_p(0, 10) == least_p(3, 0) == 1


@pytest.mark.parametrize(("chances", "expected"), [
    ([], []), ([0.01], [0.01]), ([0.04, 0.01], [0.04, 0.02]), ([0.5, 0.4, 0.001], [0.8, 0.8, 0.003]),
    ([0.9, 0.9], [1.0, 1.0])])
def test_looked_at_together(chances: list[float], expected: list[float]) -> None:
    assert holm(chances) == pytest.approx(expected)


@pytest.mark.parametrize(("times", "expected"), [
    ([3], 3), ([4, 1, 2], 2), ([1, 2, 3, 4], 2.5), ([1, inf], inf), ([1, 2, inf], 2), ([inf, inf, 1], inf)])
def test_median(times: list[float], expected: float) -> None:
    assert median(times) == expected


def recovery_s(chance: random.Random) -> float:
    """As recoveries are: two humps, a long tail, and a grid that the watcher's polling leaves."""
    return round(chance.choice([9.0, 12.0]) * chance.lognormvariate(0, 0.15) / 0.2) * 0.2


def alarms(slower: float, tries: int, new: int, before: int) -> float:
    """The share of tries that are worse at 1 %."""
    chance = random.Random(20261123)
    return sum(p_of_worse([slower * recovery_s(chance) for _ in range(new)],
                          [recovery_s(chance) for _ in range(before)]) < 0.01 for _ in range(tries)) / tries


def test_false_alarms_are_as_rare_as_it_says() -> None:
    """Of 2,000 comparisons of the same with the same, 20 may fail; three standard deviations are 13 more."""
    assert alarms(1.0, 2000, 10, 30) <= 0.01 + 3 * (0.01 * 0.99 / 2000) ** 0.5


def test_what_is_slower_by_half_is_found() -> None:
    assert alarms(1.5, 300, 10, 30) >= 0.95
