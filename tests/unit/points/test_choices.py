from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from streamops.errors import ConfigurationError
from streamops.points import choices


@dataclass(frozen=True)
class Stored:
    id: int
    pipeline: str
    taken_at: datetime
    generation: int | None = 1


def at(hour: int, minute: int) -> datetime:
    return datetime(2026, 11, 20, hour, minute, tzinfo=UTC)


def test_the_last_of_each_hour_is_offered_newest_first_by_pipeline() -> None:
    points = [Stored(1, "words", at(1, 0)), Stored(2, "lines", at(1, 10)), Stored(3, "lines", at(1, 59)),
              Stored(4, "lines", at(2, 0)), Stored(5, "words", at(2, 30), generation=None)]
    assert choices.offered(points) == [
        "newest", "4 lines 2026-11-20 02:00 UTC", "3 lines 2026-11-20 01:59 UTC", "1 words 2026-11-20 01:00 UTC"]


def test_without_points_the_newest_is_offered_all_the_same() -> None:
    assert choices.offered([]) == ["newest"]


@pytest.mark.parametrize("chosen", ["412 lines 2026-11-20 02:59 UTC", "412", " 412\n"])
def test_what_was_chosen_or_typed_is_a_number(chosen: str) -> None:
    assert choices.number(chosen) == "412"


def test_nothing_chosen_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no recovery point is named"):
        choices.number("  ")
