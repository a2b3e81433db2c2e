"""The batch that a pipeline cannot get past, by what its drivers said."""

from __future__ import annotations

import pytest

from streamops.state import failing_batch
from streamops.state.drivers import DriverRecord
from streamops.state.failing_batch import Letter, Letters
from streamops.state.lease import Owner, OwnerKind
from streamops.state.offsets import OffsetRange

RANGES = (OffsetRange("lines", 0, 30, 60), OffsetRange("lines", 1, 7, 7))


def ended(number: int, kind: str | None, at: str | None) -> DriverRecord:
    return DriverRecord(f"driver-{number}", "p", Owner(OwnerKind.SHELL), "03:00", stopped_at=at, stop_kind=kind,
                        reason=f"reason {number}")


@pytest.mark.parametrize(("records", "since", "expected"), [
    pytest.param([], "03:00", (0, None, None), id="nobody said anything"),
    pytest.param([ended(2, "bad_record", "03:02"), ended(1, "bad_record", "03:01")], "03:00",
                 (2, "bad_record", "reason 2"), id="two: the later one's words"),
    pytest.param([ended(1, "bad_record", "03:01")], "03:01", (0, None, None), id="before the last batch"),
    pytest.param([ended(1, "bad_record", "03:01"), ended(2, "lease_lost", "03:02"), ended(3, None, None)], "03:00",
                 (1, "bad_record", "reason 1"), id="other ends, and one that lives"),
    pytest.param([ended(1, "bad_record", "03:01"), ended(2, "transform", "03:02")], "03:00",
                 (2, "transform", "reason 2"), id="the transform as a whole"),
])
def test_what_drivers_said(
    records: list[DriverRecord], since: str, expected: tuple[int, str | None, str | None]
) -> None:
    found = failing_batch.of(1, 7, RANGES, records, since)
    assert (found.tries, found.kind, found.said) == expected
    assert (str(found), found.span) == ("batch 7 of generation 1", 30)
    assert "lines-0 30..60" in next(iter(found.lines()))
    assert "lines-1" not in "\n".join(found.lines())


def test_letters_in_words() -> None:
    letter = Letter("lines", 0, 42, "p/1/7", "ValueError: oops")
    assert list(Letters("letters", 3, (letter,)).lines())[1] == "  lines-0 offset 42, of batch p/1/7: ValueError: oops"
    assert list(Letters("letters", 0).lines())[1] == "  none"
