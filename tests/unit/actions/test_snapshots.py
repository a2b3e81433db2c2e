"""What DAG and command line share about snapshots, as far as it needs no server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from streamops.actions import snapshots
from streamops.adapters.connections import Connection
from streamops.adapters.database.points import Points
from streamops.adapters.database.session import Database
from streamops.adapters.database.upgrade import upgrade
from streamops.declared.pipeline import Pipeline
from streamops.declared.pipelines import Pipelines
from streamops.errors import AlarmError, ConfigurationError
from streamops.points import lag
from streamops.points.lag import LagState, PipelineLag, Thresholds
from streamops.points.recovery_points import PartitionPoint, RecoveryPoint
from streamops.points.retention import KeepRule
from streamops.state.offsets import TopicPartition

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def pipeline(name: str = "lines", **given: Any) -> Pipeline:
    return Pipeline.model_validate({"name": name, "topics": ["lines"], "transform": "word_count",
                                    "sink": {"type": "parquet"}, **given})


FILES = Pipeline.model_validate({"name": "files", "source": "folder", "folder": {"path": "/in"},
                                 "transform": "word_count", "sink": {"type": "parquet"}})
DECLARED = Pipelines("pipelines.yaml", pipelines={"lines": pipeline(), "orders": pipeline("orders"), "files": FILES})


@pytest.fixture
def points(tmp_path: Path) -> Points:
    database = Database.of(Connection("streamops_db", extra={"url": f"sqlite:///{tmp_path}/streamops.db"}))
    upgrade(database)
    return Points(database)


def a_point(taken_at: datetime, processed: int = 0, latest: int = 5, name: str = "lines") -> RecoveryPoint:
    row = PartitionPoint(processed=processed, latest=latest, lag_s=1)
    return RecoveryPoint(name, "direct", taken_at.isoformat(), 1, 7, None, None, None, {"lines": "id"},
                         {TopicPartition("lines", 0): row})


@pytest.mark.parametrize(("names", "found"), [
    pytest.param([], ["lines", "orders"], id="none: all that read topics"),
    pytest.param(["all"], ["lines", "orders"], id="all"),
    pytest.param(["orders", "lines", "orders"], ["orders", "lines"], id="some, each once"),
])
def test_which_pipelines(names: list[str], found: list[str]) -> None:
    assert [each.name for each in snapshots.chosen(DECLARED, names)] == found


@pytest.mark.parametrize(("name", "why"), [("files", "reads a folder"), ("ordes", "no pipeline")])
def test_which_pipelines_have_no_points(name: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        snapshots.chosen(DECLARED, [name])


def test_which_are_due(points: Points) -> None:
    points.insert(a_point(NOW - timedelta(minutes=2)), LagState.OK)
    points.insert(a_point(NOW - timedelta(minutes=7), name="orders"), LagState.OK)
    never = pipeline("never", schedules={"snapshot": None})
    wanted = [pipeline(), pipeline("orders"), pipeline("young"), never]
    assert [each.name for each in snapshots.due(wanted, points, NOW - timedelta(minutes=1))] == ["orders", "young"]
    assert [each.name for each in snapshots.due(wanted, points, NOW)] == ["lines", "orders", "young"]


def test_what_is_not_stated_follows_from_the_objective() -> None:
    assert snapshots.thresholds(pipeline()) == Thresholds()
    stated = pipeline(objectives={"lag_s": 10}, lag={"err_records": 5, "stop_after_s": 1})
    assert snapshots.thresholds(stated) == Thresholds(20, 100, None, 5, stop_after_s=1)


def test_how_long_points_are_kept() -> None:
    assert snapshots.keep_rule(pipeline()) == KeepRule()
    kept = snapshots.keep_rule(pipeline(points={"all_for_d": 0.5, "hourly_for_d": 2, "daily_for_d": 0}))
    assert kept == KeepRule(timedelta(hours=12), timedelta(days=2), timedelta(0))


def test_a_pipeline_is_judged_by_its_stored_points(points: Points) -> None:
    said: list[str] = []
    assert snapshots.judge(pipeline(), points, said.append) is None
    for minutes in (500, 10, 5, 0):
        points.insert(a_point(NOW - timedelta(minutes=minutes)), LagState.OK)
    judged = snapshots.judge(pipeline(), points, said.append)
    assert judged is not None
    assert (judged.state, judged.worst[0].reason) == (
        LagState.STOP, "5 records wait, and none was processed for 600 s: no batch ends")
    assert said == []


def test_a_point_that_cannot_be_read_is_passed_over(points: Points) -> None:
    points.insert(a_point(NOW), LagState.OK)
    with points._database.writing() as session:
        session.connection().exec_driver_sql("UPDATE recovery_points SET document = x'00'")
    said: list[str] = []
    assert snapshots.judge(pipeline(), points, said.append) is None
    assert said[0].startswith("point 1 is passed over")


def test_alarms_are_one_error() -> None:
    judged = PipelineLag("lines", LagState.ERR, "much", 5, 400.0, None, alarms=("ERR: much", "the group differs"))
    assert snapshots.describe(judged) == "lines: ERR, 5 records wait, 400.0 s (much)"
    assert snapshots.alarm_event(judged)["alarms"] == ["ERR: much", "the group differs"]
    snapshots.require_no_alarms([])
    with pytest.raises(AlarmError, match="lines: ERR: much\nlines: the group differs"):
        snapshots.require_no_alarms(snapshots.alarms_of(judged))
    unknown = lag.PipelineLag("lines", LagState.NOTFOUND, "away", None, None, None)
    assert snapshots.describe(unknown) == "lines: NOTFOUND, lag unknown (away)"
