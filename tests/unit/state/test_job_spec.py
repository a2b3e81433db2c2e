"""The job spec: what is handed over is what is read, and versions that do not fit say so."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamops.errors import ConfigurationError
from streamops.state.job_spec import JobSpec, ReceiverSpec
from streamops.state.lease import Owner, OwnerKind

SPEC = JobSpec(
    pipeline="lines_direct",
    approach="direct",
    topics=("lines", "more"),
    kafka={"bootstrap.servers": "127.0.0.1:9092"},
    state_url="file:///streams/lines_direct",
    output_url="file:///streams/lines_direct/output",
    transform="word_count",
    sink="parquet",
    interval_s=2.0,
    starting_offsets={"lines": {"0": 5}},
    on_data_loss="stop",
    on_bad_record="fail",
    owner=Owner(OwnerKind.AIRFLOW, "d", "r", "t", 1),
    rate_limit=5000,
    supersedes=("driver-1",),
)


def test_a_spec_is_read_as_it_was_written() -> None:
    assert JobSpec.from_json(SPEC.to_json()) == SPEC
    receiver = replace(SPEC, approach="receiver", receiver=ReceiverSpec(2, "lines", False, 12.5))
    assert JobSpec.from_json(receiver.to_json()) == receiver


@given(st.text(), st.lists(st.text()), st.dictionaries(st.text(), st.text()), st.none() | st.integers(1))
def test_any_text_survives_the_application_argument(
    pipeline: str, topics: list[str], kafka: dict[str, str], rate_limit: int | None
) -> None:
    spec = replace(SPEC, pipeline=pipeline, topics=tuple(topics), kafka=kafka, rate_limit=rate_limit)
    assert JobSpec.from_json(spec.to_json()) == spec


def test_settings_with_a_default_may_be_left_out() -> None:
    data = json.loads(SPEC.to_json())
    for name in ("rate_limit", "dead_letter_topic", "max_dead_letters", "supersedes"):
        del data[name]
    assert JobSpec.from_json(json.dumps(data)) == replace(SPEC, rate_limit=None, supersedes=())


@pytest.mark.parametrize(("change", "found"), [
    pytest.param({"colour": "red"}, "does not know: colour", id="a job older than its submitter"),
    pytest.param({"topics": ...}, "cannot be read: KeyError: 'topics'", id="topics missing"),
    pytest.param({"transform": ...}, "transform", id="a setting missing"),
    pytest.param({"owner": {"kind": "cron"}}, "'cron' is not a valid OwnerKind", id="an unknown owner"),
    pytest.param({"owner": {"kind": "shell", "shoe": 44}}, "shoe", id="an owner with an unknown key"),
])
def test_versions_that_do_not_fit_say_so(change: dict[str, Any], found: str) -> None:
    data = {name: value for name, value in {**json.loads(SPEC.to_json()), **change}.items() if value is not ...}
    with pytest.raises(ConfigurationError, match="Deploy jobs/ and plugins/ of one version") as raised:
        JobSpec.from_json(json.dumps(data))
    assert found in raised.value.found


@pytest.mark.parametrize("text", ["", "{", "[]", '"spec"'])
def test_what_is_no_spec_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        JobSpec.from_json(text)
