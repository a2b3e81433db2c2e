"""Cleanups on a local disk, with nobody to ask: which places there are, when they are due, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest

from streamops.actions import cleanups
from streamops.actions.cleanups import Cleanups
from streamops.adapters.cleaning import places as cleanup_places
from streamops.adapters.cleaning.ground import root_at
from streamops.adapters.files.state_files import StateFiles
from streamops.cleaning.cleanup import Item
from streamops.cleaning.paths import RootKind
from streamops.declared import pipelines
from streamops.errors import ConfigurationError, StateError, StreamopsError
from streamops.settings import Settings
from streamops.state import generations
from streamops.state.generations import Generation

DECLARED = """
version: 1
topics: {lines: {partitions: 1, replication: 1}}
defaults: {transform: word_count, sink: {type: parquet}, cleanup: {rules: {orphan: true}}}
pipelines:
  nightly: {approach: direct, topics: [lines], state_directory: team/nightly}
  hourly: {approach: direct, topics: [lines], schedules: {cleanup: "@hourly"}}
  never: {approach: direct, topics: [lines], schedules: {cleanup: null}}
"""


class Cleaned:
    """Some pipelines below one storage."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "pipelines.yaml").write_text(DECLARED)
        self.declared = pipelines.load(root / "pipelines.yaml")
        self.said: list[str] = []
        self.cleanups = Cleanups(self.declared, self.said.append, Settings.load(home=root / "home"))

    def state(self, directory: str, pipeline: str) -> None:
        opened = Generation(pipeline, 1, "direct", {}, "test", "2026-11-20T03:00:00+00:00")
        StateFiles(f"file://{self.root}/{directory}").write_new(generations.path(1), opened.to_json())


@pytest.fixture
def cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cleaned]:
    storage = {"conn_type": "generic", "extra": {"url": f"file://{tmp_path}"}}
    monkeypatch.setenv("AIRFLOW_CONN_STREAMOPS_STORAGE", json.dumps(storage))
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", "spark://spark%3A%2F%2Flocalhost:1?deploy-mode=cluster")
    monkeypatch.setenv("STREAMOPS_HOME", str(tmp_path / "home"))
    # Nobody is asked: what Kafka, masters and the database would say is in the tests with real ones.
    monkeypatch.setattr(cleanup_places.Servers, "broker", lambda *_: None)
    found = Cleaned(tmp_path)
    with found.cleanups:
        yield found


def test_all_places_or_those_that_are_named(cleaned: Cleaned) -> None:
    everything = ["nightly", "hourly", "never", "code", "work", "events", "orphans"]
    assert cleaned.cleanups.names([]) == cleaned.cleanups.names(["all"]) == everything
    assert cleaned.cleanups.names(["hourly", "code", "hourly"]) == ["hourly", "code"]
    with pytest.raises(ConfigurationError, match="nightli"):
        cleaned.cleanups.names(["nightli"])


@pytest.mark.parametrize(("last", "now", "due"), [
    (None, "2026-11-20T03:10", ["nightly", "hourly"]),
    ("2026-11-20T02:00", "2026-11-20T03:00", ["hourly"]),
    ("2026-11-20T03:00", "2026-11-20T03:59", []),
    ("2026-11-19T23:30", "2026-11-20T00:00", ["nightly", "hourly"]),
])
def test_due_when_its_schedule_has_come_round(cleaned: Cleaned, last: str | None, now: str, due: list[str]) -> None:
    def at(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    found = cleanups.due(cleaned.declared, at(last) if last else None, at(now))
    assert found == ([*due, "code", "work", "events", "orphans"] if due else [])


def test_an_orphan_is_a_state_directory_that_nobody_declares(cleaned: Cleaned) -> None:
    cleaned.state("team/nightly", "nightly")
    cleaned.state("team/old", "old")
    cleaned.state("renamed", "before")
    (cleaned.root / "something" / "else").mkdir(parents=True)
    plan = StringIO()
    planned = cleaned.cleanups.plan(["orphans"], plan)
    assert list(planned.places) == ["orphans:renamed", "orphans:team/old"]
    heads = [json.loads(line) for line in plan.getvalue().splitlines() if '"place"' in line]
    assert [head["root"] for head in heads] == [f"file://{cleaned.root}/renamed", f"file://{cleaned.root}/team/old"]
    assert planned.going == 0


def test_a_pipeline_that_never_ran_has_nothing_to_judge(cleaned: Cleaned) -> None:
    planned = cleaned.cleanups.plan(["hourly"])
    assert (planned.going, planned.errors) == (0, [])
    assert list(planned.lines()) == ["There is nothing to judge."]
    assert cleaned.cleanups.clean(["hourly"]) == []
    assert not (cleaned.root / "hourly").exists(), "not even a lock was left"


def test_what_is_no_plan_is_refused(cleaned: Cleaned) -> None:
    errors: list[StreamopsError] = []
    item = Item("file:///elsewhere", "a", 1, 1, None, reason=None, proof="x")
    with pytest.raises(StateError, match="no plan of a cleanup"):
        list(cleaned.cleanups.apply([item.to_json()], errors))
    head = {"format": cleanups.FORMAT, "place": "hourly", "root": "file:///elsewhere"}
    assert list(cleaned.cleanups.apply([json.dumps(head), item.to_json()], errors)) == []
    assert "not its place now" in str(errors[0])


def test_a_root_is_where_it_really_is(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "streams").symlink_to(tmp_path / "disk")
    found = root_at(RootKind.STATE, f"file://{tmp_path}/streams/lines/", "lines")
    assert (found.url, found.resolved) == (f"file://{tmp_path}/streams/lines", f"{tmp_path}/disk/lines")
    assert root_at(RootKind.STATE, "hdfs://nn:8020/streams/lines").resolved == "/streams/lines"
