"""Driver records: what one process of a driver leaves to the next."""

from __future__ import annotations

from streamops.state.crash_loop import KEPT, Crash
from streamops.state.drivers import DriverRecord
from streamops.state.lease import Owner, OwnerKind

RECORD = DriverRecord("driver-1", "lines", Owner(OwnerKind.SHELL), "2026-11-20T03:00:00.000+00:00", epoch=4,
                      last_error="OutOfMemoryError: heap")


def test_a_process_that_died_is_counted_with_what_it_said() -> None:
    again = RECORD.relaunched("2026-11-20T03:01:00.000+00:00", has_progressed=True)
    assert again.crashes == (Crash("2026-11-20T03:01:00.000+00:00", "OutOfMemoryError: heap", has_progressed=True),)
    assert (again.started_at, again.epoch, again.last_error) == ("2026-11-20T03:01:00.000+00:00", None, None)
    assert DriverRecord.from_json(again.to_json()) == again


def test_only_so_many_are_kept() -> None:
    record = RECORD
    for second in range(20):
        record = record.relaunched(f"2026-11-20T03:00:{second:02d}.000+00:00", has_progressed=False)
    assert len(record.crashes) == KEPT
    assert record.crashes[-1].at.startswith("2026-11-20T03:00:19")


def test_a_record_of_an_earlier_version_is_read() -> None:
    text = RECORD.to_json().replace(', "crashes": []', "").replace(', "last_error": "OutOfMemoryError: heap"', "")
    assert "crashes" not in text
    assert DriverRecord.from_json(text).crashes == ()
