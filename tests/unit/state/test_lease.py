"""Lease rules: who may take it at once, and which epoch holds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamops.errors import StateError
from streamops.state import lease
from streamops.state.lease import Beat, JobState, Lease, Owner, OwnerKind

AIRFLOW = Owner(OwnerKind.AIRFLOW, "pipeline_lines", "scheduled__2026-11-20", "run_job", 2)
HELD = Lease("lines", 4, "driver-1", AIRFLOW, "host-a", 4711, "2026-11-20T03:00:00.000+00:00")
RUNNING = Beat(4, "2026-11-20T03:01:00.000+00:00", JobState.RUNNING, 17)
STOPPED = Beat(4, "2026-11-20T03:01:00.000+00:00", JobState.STOPPED, 17)


@pytest.mark.parametrize("owner", [AIRFLOW, Owner(OwnerKind.SHELL)])
def test_a_lease_is_read_as_it_was_written(owner: Owner) -> None:
    held = Lease("lines", 4, "driver-1", owner, "host-a", 4711, "2026-11-20T03:00:00.000+00:00")
    assert Lease.from_json(held.to_json()) == held


@given(st.builds(Beat, st.integers(1), st.text(), st.sampled_from(JobState), st.none() | st.integers(0)))
def test_a_beat_is_read_as_it_was_written(beat: Beat) -> None:
    assert Beat.from_json(beat.to_json()) == beat


@pytest.mark.parametrize("text", [
    pytest.param(HELD.to_json().replace("lease/1", "lease/2"), id="another format"),
    pytest.param("", id="empty"),
    pytest.param('"driver-1"', id="no object"),
    pytest.param(json.dumps({"format": lease.FORMAT}), id="keys missing"),
    pytest.param(HELD.to_json().replace("airflow", "cron"), id="an owner of an unknown kind"),
])
def test_a_lease_file_that_cannot_be_read_is_a_state_error(text: str) -> None:
    with pytest.raises(StateError, match="a lease file"):
        Lease.from_json(text)


@pytest.mark.parametrize(("beat", "driver", "supersedes", "reason"), [
    pytest.param(RUNNING, "driver-2", [], None, id="another driver lives"),
    pytest.param(None, "driver-2", [], None, id="another driver has not beaten yet"),
    pytest.param(RUNNING, "driver-2", ["driver-0"], None, id="a third one is superseded"),
    pytest.param(RUNNING, "driver-1", [], "started again", id="the same driver, relaunched"),
    pytest.param(RUNNING, "driver-2", ["driver-0", "driver-1"], "superseded", id="its submitter has ended the holder"),
    pytest.param(STOPPED, "driver-2", [], "has stopped", id="the holder ended itself"),
])
def test_who_may_take_at_once(beat: Beat | None, driver: str, supersedes: list[str], reason: str | None) -> None:
    found = lease.may_take_at_once(HELD, beat, driver=driver, supersedes=supersedes)
    assert (found is None) if reason is None else (found is not None and reason in found)


def test_paths() -> None:
    assert (lease.path(4), lease.beat_path(4)) == ("lease/000004.json", "lease/000004.beat.json")


def test_a_holder_may_miss_beats_before_it_counts_as_gone() -> None:
    assert lease.TTL_S >= 3 * lease.BEAT_S


@pytest.mark.parametrize(("owner", "text"), [
    (AIRFLOW, "run scheduled__2026-11-20 of DAG pipeline_lines, try 2"),
    (Owner(OwnerKind.SHELL), "a person at a shell"),
    (Owner(OwnerKind.START), "`streamops start` while Airflow was away"),
])
def test_an_owner_is_named_for_people(owner: Owner, text: str) -> None:
    assert str(owner) == text
