"""What is kept as JSON: another format, and damage, are refused with what it was."""

from __future__ import annotations

import pytest

from streamops.errors import StateError
from streamops.state import stored_json
from streamops.state.drivers import DriverRecord
from streamops.state.lease import Owner, OwnerKind

RECORD = DriverRecord("driver-1", "lines", Owner(OwnerKind.SHELL), "2026-11-20T03:00:00.000+00:00")


def number(text: str) -> int:
    with stored_json.reading(text, "streamops.number/1", "a number", "Count again.") as data:
        return int(data["number"])


def test_the_object_is_read_without_its_format() -> None:
    with stored_json.reading('{"format": "streamops.number/1", "number": 7}', "streamops.number/1", "a number") as data:
        assert data == {"number": 7}


def test_another_format_wants_another_version() -> None:
    with pytest.raises(StateError) as refused:
        number('{"format": "streamops.number/2", "number": 7}')
    assert "a number says format 'streamops.number/2'; this version of streamops reads 'streamops.number/1'" in str(
        refused.value)
    assert "Run the version of streamops that wrote it" in str(refused.value)


@pytest.mark.parametrize("text", [
    pytest.param("", id="empty"),
    pytest.param("{", id="cut off"),
    pytest.param("[]", id="a list"),
    pytest.param("7", id="no object"),
    pytest.param("{}", id="no format"),
    pytest.param('{"format": "streamops.number/1"}', id="keys missing"),
    pytest.param('{"format": "streamops.number/1", "number": "seven"}', id="another value"),
])
def test_damage_is_a_state_error(text: str) -> None:
    with pytest.raises(StateError, match=r"(?s)a number cannot be read .*something else changed it\. Count again\."):
        number(text)


def test_other_errors_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), stored_json.reading('{"format": "f"}', "f", "a number"):
        _ = 1 / 0


def test_a_drivers_record_is_read_as_it_was_written() -> None:
    assert DriverRecord.from_json(RECORD.to_json()) == RECORD
    with pytest.raises(StateError, match="a driver record cannot be read"):
        DriverRecord.from_json(RECORD.to_json()[:-1])
