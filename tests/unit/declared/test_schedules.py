"""When recovery points are due."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streamops.declared import names
from streamops.declared.schedules import crons, is_due


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(("schedule", "last", "now", "due"), [
    pytest.param("*/5 * * * *", "2026-11-20T03:00:02", "2026-11-20T03:05:01", True, id="its time has come"),
    pytest.param("*/5 * * * *", "2026-11-20T03:05:02", "2026-11-20T03:06:01", False, id="another pipeline's time"),
    pytest.param("*/5 * * * *", "2026-11-20T03:04:58", "2026-11-20T03:05:00", True, id="a point by hand just before"),
    pytest.param("*/5 * * * *", "2026-11-19T03:00:00", "2026-11-20T03:01:00", True, id="it was missed"),
    pytest.param("@daily", "2026-11-19T00:00:03", "2026-11-20T00:00:00", True, id="a preset"),
    pytest.param("@daily", "2026-11-20T00:00:03", "2026-11-20T23:59:59", False, id="a preset, not yet"),
    pytest.param("*/5 * * * *", None, "2026-11-20T03:01:00", True, id="the first one"),
    pytest.param(None, None, "2026-11-20T03:01:00", False, id="never"),
])
def test_due(schedule: str | None, last: str | None, now: str, due: bool) -> None:
    assert is_due(schedule, at(last) if last else None, at(now)) is due


def test_every_schedule_once() -> None:
    assert crons(["@hourly", None, "*/5 * * * *", "0 * * * *", "*/5 * * * *"]) == ["*/5 * * * *", "0 * * * *"]
    assert crons([None]) == []


@pytest.mark.parametrize("preset", names._PRESETS)
def test_every_preset_that_a_pipeline_may_have_is_known(preset: str) -> None:
    assert len(crons([preset])[0].split()) == 5
    assert is_due(preset, at("2020-01-01T00:00:01"), at("2026-11-20T03:00:00"))
