"""Lag states: a table of described histories, and what a pipeline makes of its partitions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from streamops.points.lag import (
    FAILING,
    MOST_NAMED,
    MOST_POINTS,
    LagState,
    PipelineLag,
    Sample,
    Thresholds,
    assess,
    judge,
    thinned,
    window_s,
)
from streamops.points.recovery_points import Disagreement, PartitionPoint, RecoveryPoint, Source, Unknown
from streamops.state.offsets import TopicPartition

START = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
P0, P1, P2 = (TopicPartition("lines", number) for number in range(3))
LIMITS = Thresholds()


def history(*points: tuple[int, int], age_s: float | None = 10, batch: int | None = None) -> list[Sample]:
    """Points five minutes apart, given as (processed, latest); a batch ends before each one, unless `batch` is given.

    `age_s` is the lag in seconds at the newest point.
    """
    return [Sample(300.0 * number, (1, number if batch is None else batch), processed, latest,
                   age_s if latest > processed else 0.0)
            for number, (processed, latest) in enumerate(points)]


@pytest.mark.parametrize(("samples", "limits", "state", "reason"), [
    # OK
    pytest.param(history((0, 10), (100, 110), (200, 210)), LIMITS, LagState.OK, "10 records wait", id="keeps up"),
    pytest.param(history((100, 100), (100, 100), (100, 100), batch=7), LIMITS, LagState.OK, "nothing waits",
                 id="an idle topic, however long"),
    pytest.param(history((100, 100), (100, 100), (100, 105), batch=7), LIMITS, LagState.OK, "5 records wait",
                 id="an idle topic in which something came just now"),
    pytest.param(history((0, 900), (500, 1500), (1500, 1500), age_s=900), LIMITS, LagState.OK, "nothing waits",
                 id="caught up"),
    pytest.param(history((100, 103), (100, 103), batch=7), Thresholds(idle_records=3), LagState.OK, "nothing waits",
                 id="markers of a transaction that nobody reads count as idle"),
    pytest.param(history((0, 40)), LIMITS, LagState.OK, "40 records wait", id="the first point of a pipeline"),
    pytest.param(history((0, 10), (100, 120), (200, 240), (300, 380), age_s=3), LIMITS, LagState.OK, "80 records",
                 id="rising traffic that is processed in time"),
    # WARN
    pytest.param(history((0, 10), (100, 200), (200, 300), age_s=61), LIMITS, LagState.WARN, "61 s old, more than 60 s",
                 id="over the first threshold in seconds"),
    pytest.param(history((0, 10), (100, 601)), Thresholds(warn_records=500), LagState.WARN, "501 records wait",
                 id="over the first threshold in records"),
    pytest.param(history((0, 10), (100, 200), (200, 400), (300, 600), age_s=40), LIMITS, LagState.WARN,
                 "grew from 10 to 300 records in 900 s", id="falls behind at each point"),
    pytest.param(history((0, 10), (100, 200), (200, 400), (300, 600), age_s=None), LIMITS, LagState.WARN, "grew",
                 id="falls behind, the age of records being unknown"),
    pytest.param(history((0, 10), (100, 200), (250, 300), (300, 600), age_s=40), LIMITS, LagState.OK, "300 records",
                 id="was nearer once in between"),
    pytest.param(history((100, 200), (200, 400), (300, 600), age_s=40), LIMITS, LagState.OK, "300 records",
                 id="a burst: two steps are not enough"),
    # ERR
    pytest.param(history((0, 10), (100, 5000), age_s=301), LIMITS, LagState.ERR, "301 s old, more than 300 s",
                 id="over the second threshold in seconds"),
    pytest.param(history((0, 10), (100, 5000)), Thresholds(warn_records=9, err_records=1000), LagState.ERR, "4,900",
                 id="over the second threshold in records"),
    pytest.param(history((0, 10), (100, 5000), age_s=9000), Thresholds(None, None), LagState.OK, "4,900 records wait",
                 id="no thresholds, and not grown at each point"),
    # STOP
    pytest.param(history((100, 110), (100, 210), batch=7), LIMITS, LagState.STOP, "none was processed for 300 s: no",
                 id="a dead consumer"),
    pytest.param(history((100, 100), (100, 110), (100, 110), batch=7), LIMITS, LagState.STOP, "10 records wait",
                 id="a dead consumer and a dead producer: what waits stays too long"),
    pytest.param(history((0, 50), (100, 100), (100, 110), (100, 120), batch=7), LIMITS, LagState.STOP, "for 300 s",
                 id="dead since it was idle: counted from the first record that waits"),
    pytest.param(history((100, 110), (100, 210), batch=7), Thresholds(stop_after_s=301), LagState.OK, "110 records",
                 id="a batch that may take long"),
    pytest.param(history((100, 110), (100, 9000), age_s=9000, batch=7), LIMITS, LagState.STOP, "no batch ends",
                 id="stopped and far over every threshold"),
    pytest.param([Sample(0, (1, 217), 100, 110, 5), Sample(300, (2, None), 100, 210, 5)], LIMITS, LagState.STOP,
                 "no batch ends", id="a new generation without a batch"),
    # STALL
    pytest.param(history((100, 110), (100, 210)), LIMITS, LagState.STALL, "although batches end",
                 id="batches end without this partition"),
    pytest.param(history((0, 50), (100, 110), (100, 210)), LIMITS, LagState.STALL, "for 300 s",
                 id="it got further before"),
    # REWIND
    pytest.param(history((500, 510), (100, 520)), LIMITS, LagState.REWIND, "400 records short", id="rewound"),
    pytest.param(history((500, 510), (100, 520), (300, 530), age_s=9000), LIMITS, LagState.REWIND, "200 records short",
                 id="on its way back, over every threshold"),
    pytest.param(history((500, 510), (100, 520), (500, 530)), LIMITS, LagState.OK, "30 records", id="back again"),
    pytest.param(history((500, 510), (100, 520), (100, 530), batch=7), LIMITS, LagState.STOP, "no batch",
                 id="rewound, and nothing works it off"),
    pytest.param(history((500, 510), (520, 520), (100, 100)), LIMITS, LagState.OK, "nothing waits",
                 id="rewound to where nothing waits"),
    # NOTFOUND
    pytest.param([], LIMITS, LagState.NOTFOUND, "unknown", id="nothing is known"),
])
def test_the_state_of_a_partition(samples: list[Sample], limits: Thresholds, state: LagState, reason: str) -> None:
    found, why = judge(samples, limits)
    assert (found, reason in why) == (state, True), why


def test_states_are_ordered_by_how_bad_they_are() -> None:
    assert sorted(LagState, reverse=True)[:3] == [LagState.STOP, LagState.STALL, LagState.ERR]
    assert LagState.NOTFOUND < LagState.OK < LagState.REWIND < LagState.WARN <= LagState.WARN
    assert LagState.STOP >= LagState.STALL > LagState.ERR
    assert max(LagState) is LagState.STOP
    assert {state for state in LagState if state >= LagState.ERR} == FAILING
    assert f"{LagState.STALL}" == "STALL"


@pytest.mark.parametrize(("objective_s", "interval_s", "expected"), [
    pytest.param(60, 2, Thresholds(60, 300, stop_after_s=240), id="the defaults"),
    pytest.param(60, 600, Thresholds(1200, 6000, stop_after_s=1800), id="batches of ten minutes"),
    pytest.param(None, 2, Thresholds(None, None, stop_after_s=240), id="no promise"),
])
def test_thresholds_follow_the_pipeline(objective_s: float | None, interval_s: float, expected: Thresholds) -> None:
    assert Thresholds.of(objective_s, interval_s) == expected


@pytest.mark.parametrize(("count", "kept"), [
    pytest.param(0, [], id="none"),
    pytest.param(3, [0, 1, 2], id="a few: all"),
    pytest.param(13, list(range(13)), id="an hour of them, one every five minutes: all"),
    pytest.param(14, [1, 3, 5, 7, 9, 11, 13], id="one more: every other one"),
    pytest.param(61, list(range(0, 61, 5)), id="one every minute: every fifth"),
])
def test_points_that_are_close_together_are_thinned(count: int, kept: list[int]) -> None:
    assert thinned(range(count)) == kept
    assert len(kept) <= MOST_POINTS


def test_how_far_back_points_are_judged_by() -> None:
    assert (window_s(LIMITS), window_s(Thresholds(stop_after_s=7200))) == (3600, 10_800)


def point(number: int, partitions: dict[TopicPartition, PartitionPoint], batch: int | None = None,
          topic_id: str | None = "id1", **more: object) -> RecoveryPoint:
    """The point after `number` times five minutes."""
    return RecoveryPoint("lines", "direct", (START + timedelta(minutes=5 * number)).isoformat(), 1,
                         number if batch is None else batch, None, None, None, {"lines": topic_id}, partitions,
                         **more)  # type: ignore[arg-type]


def at(processed: int | None, latest: int | None, lag_s: float | None = 1, loss_s: float | None = None
       ) -> PartitionPoint:
    return PartitionPoint(processed=processed, latest=latest, lag_s=lag_s, data_loss_s=loss_s)


def assessed(*points: RecoveryPoint, objective_s: float | None = 86_400) -> PipelineLag:
    return assess(iter(points), LIMITS, objective_s)


def test_one_unknown_partition_does_not_poison_the_rest() -> None:
    away = Unknown("lag_records", "broker 3 does not answer", "lines", (1,))
    lag = assessed(point(0, {P0: at(0, 5), P1: at(0, 5)}), point(1, {P0: at(9, 9), P1: at(3, None)}, unknown=(away,)))
    assert (lag.state, lag.reason) == (LagState.OK, "every partition that is known keeps up")
    assert lag.counts == {LagState.NOTFOUND: 1, LagState.OK: 1}
    assert [(each.topic_partition, each.reason) for each in lag.unknown] == [(P1, "broker 3 does not answer")]
    assert lag.alarms == ()


def test_nor_does_it_hide_what_is_wrong_with_another() -> None:
    lag = assessed(*(point(number, {P0: at(5, 9), P1: at(3, None)}, batch=7) for number in range(3)))
    assert lag.state is LagState.STOP
    assert lag.alarms == ("STOP: lines-0: 4 records wait, and none was processed for 600 s: no batch ends",)


@pytest.mark.parametrize("partitions", [
    pytest.param({P0: at(3, None)}, id="Kafka is away"),
    pytest.param({P0: at(None, 9)}, id="the state directory is away"),
    pytest.param({}, id="no partition at all"),
])
def test_a_pipeline_of_which_nothing_is_known_is_not_found(partitions: dict[TopicPartition, PartitionPoint]) -> None:
    lag = assessed(point(0, partitions, unknown=(Unknown("lag_records", "no broker answers"),)))
    assert (lag.state, lag.alarms, lag.lag_records) == (LagState.NOTFOUND, (), None)
    assert lag.reason in ("no broker answers", "Kafka has none of the topics' partitions")


def test_the_worst_partitions_are_named_and_the_rest_counted() -> None:
    many = {TopicPartition("lines", number): at(5, 10 + number) for number in range(50)}
    lag = assessed(point(0, many, batch=7), point(1, many, batch=7))
    assert lag.counts == {LagState.STOP: 50}
    assert [each.lag_records for each in lag.worst] == list(range(54, 54 - MOST_NAMED, -1))
    assert lag.alarms[0].endswith("and 49 more partitions")


@pytest.mark.parametrize(("newest", "alarm"), [
    pytest.param(point(1, {P0: at(9, 20, 400)}), "ERR: lines-0: the oldest unprocessed record is 400 s old",
                 id="too late"),
    pytest.param(point(1, {P0: at(9, 20, 70)}), None, id="a warning alarms nobody"),
    pytest.param(point(1, {P0: at(9, 20, loss_s=3600)}), "in 3,600 s, sooner than 86,400 s", id="retention is near"),
    pytest.param(point(1, {P0: at(9, 20, loss_s=0)}), "has reached records that were not processed", id="too near"),
    pytest.param(point(1, {P0: at(9, 20, loss_s=90_000)}), None, id="retention is far"),
    pytest.param(point(1, {P0: at(9, 20)}, disagreements=(
        Disagreement(Source.GROUP, "somebody set it", False, {P0: -4, P1: 3}),)),
        "group and batch log differ by 7 offsets: somebody set it", id="a disagreement"),
    pytest.param(point(1, {P0: at(9, 20)}, disagreements=(
        Disagreement(Source.CHECKPOINT, "a batch runs", True, {P0: 4}),)), None, id="an expected one"),
    pytest.param(point(1, {P0: at(9, 20)}, topic_id="id2"), "topic lines was deleted and made again", id="made again"),
    pytest.param(point(1, {P0: at(9, 20)}, topic_id=None), None, id="a topic that could not be described"),
])
def test_what_alarms(newest: RecoveryPoint, alarm: str | None) -> None:
    alarms = assessed(point(0, {P0: at(5, 9)}), newest).alarms
    assert (alarms == ()) if alarm is None else (len(alarms) == 1 and alarm in alarms[0])


def test_without_an_objective_no_time_to_data_loss_alarms() -> None:
    assert assessed(point(0, {P0: at(9, 20, loss_s=0)}), objective_s=None).alarms == ()


def test_a_pipeline_needs_a_point() -> None:
    with pytest.raises(ValueError, match="needs a recovery point"):
        assessed()


def test_a_judgement_as_json() -> None:
    lag = assessed(point(0, {P0: at(9, 20, 70), P1: at(3, None)}))
    assert json.loads(json.dumps(lag.as_dict())) == {
        "pipeline": "lines", "state": "WARN",
        "reason": "lines-0: the oldest unprocessed record is 70 s old, more than 60 s",
        "lag_records": 11, "lag_s": 70, "data_loss_s": None, "partitions": {"NOTFOUND": 1, "WARN": 1},
        "worst": [{"topic": "lines", "partition": 0, "state": "WARN", "lag_records": 11, "lag_s": 70,
                   "reason": "the oldest unprocessed record is 70 s old, more than 60 s"}],
        "unknown": [{"topic": "lines", "partition": 1, "state": "NOTFOUND", "lag_records": None, "lag_s": 1,
                     "reason": "what was processed or what Kafka has is unknown"}],
        "alarms": [],
    }
