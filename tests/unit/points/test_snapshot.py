"""Snapshots: a recovery point out of readings, with a reason for everything that is missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from streamops.points.lag_seconds import Growth, Retention
from streamops.points.recovery_points import COLUMNS, RecoveryPoint, Source, Unknown, WalExtent
from streamops.points.snapshot import (
    ObservedBatchLog,
    ObservedEvidence,
    ObservedKafka,
    Reading,
    take,
)
from streamops.state.offsets import OffsetRange, TopicPartition

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
P0, P1, Q0 = TopicPartition("lines", 0), TopicPartition("lines", 1), TopicPartition("orders", 0)

KAFKA = ObservedKafka(
    partitions=(P0, P1),
    topic_ids={"lines": "id1"},
    earliest=Reading({P0: 0, P1: 5}),
    latest=Reading({P0: 30, P1: 50}),
    leader_epochs=Reading({P0: 1, P1: 2}),
    processed_at_ms=Reading({P0: NOW_MS - 4000}),
    latest_at_ms=Reading({P0: NOW_MS - 10, P1: NOW_MS - 20}),
    retention={"lines": Retention(3_600_000)},
)
LOG = ObservedBatchLog(2, 217, NOW.isoformat(), Reading({P0: 10, P1: 50}), {P0: 8, P1: 50})
EVIDENCE = ObservedEvidence(Reading({P0: 10, P1: 50}), Reading({P0: 15, P1: 50}), 218, 217,
                            reasons={"wal": "a direct pipeline has none"})


def taken(kafka: ObservedKafka = KAFKA, log: ObservedBatchLog = LOG, evidence: ObservedEvidence = EVIDENCE,
          approach: str = "direct") -> RecoveryPoint:
    return take("lines", approach, ["lines"], kafka, log, evidence, NOW)


def every_none_has_a_reason(point: RecoveryPoint) -> bool:
    whole = ("generation", "last_batch", "last_batch_finished_at", "checkpoint_batch", "sink_batch", "wal")
    return (all(getattr(point, what) is not None or point.why_unknown(what) for what in whole)
            and all(getattr(each, what) is not None or point.why_unknown(what, at)
                    for at, each in point.partitions.items() for what in (*COLUMNS, "lag_records"))
            and all(topic_id is not None or point.why_unknown("topic_id", TopicPartition(topic, 0))
                    for topic, topic_id in point.topic_ids.items()))


def test_a_point_of_a_pipeline_that_runs() -> None:
    point = taken()
    row = point.partitions[P0]
    assert (row.earliest, row.processed, row.group_committed, row.checkpointed, row.latest) == (0, 10, 10, 15, 30)
    assert (row.leader_epoch, row.processed_at_ms, row.latest_at_ms) == (1, NOW_MS - 4000, NOW_MS - 10)
    assert (row.lag_records, row.lag_s, row.data_loss_s) == (20, 4.0, 3596.0)
    assert (point.partitions[P1].lag_records, point.partitions[P1].lag_s) == (0, 0.0)
    assert point.why_unknown("data_loss_s", P1) == "nothing is unprocessed"
    assert (point.generation, point.last_batch, point.checkpoint_batch, point.sink_batch) == (2, 217, 218, 217)
    assert (point.lag_records, point.lag_s, point.data_loss_s) == (20, 4.0, 3596.0)
    assert point.why_unknown("wal") == "a direct pipeline has none"
    assert every_none_has_a_reason(point)
    assert RecoveryPoint.from_json(point.to_json()) == point


@pytest.mark.parametrize(("kafka", "log", "evidence"), [
    pytest.param(ObservedKafka(), LOG, EVIDENCE, id="no broker answers"),
    pytest.param(KAFKA, ObservedBatchLog(reason="the state directory is away"), EVIDENCE, id="no batch log"),
    pytest.param(KAFKA, LOG, ObservedEvidence(), id="no evidence"),
    pytest.param(ObservedKafka(), ObservedBatchLog(), ObservedEvidence(), id="nothing at all"),
    pytest.param(replace(KAFKA, retention={}, topic_ids={}), LOG, EVIDENCE, id="the topic cannot be described"),
    pytest.param(replace(KAFKA, latest=Reading({P1: 50, P0: 3})), LOG, EVIDENCE, id="the topic was made again"),
])
def test_what_could_not_be_read_is_none_with_its_reason(
    kafka: ObservedKafka, log: ObservedBatchLog, evidence: ObservedEvidence,
) -> None:
    assert every_none_has_a_reason(taken(kafka, log, evidence))


def test_without_brokers_a_point_still_says_what_was_processed() -> None:
    away = Reading(reason="no Kafka broker answers")
    point = taken(ObservedKafka(earliest=away, latest=away))
    assert point.processed == {P0: 10, P1: 50}
    assert (point.lag_records, point.partitions[P0].latest) == (None, None)
    assert Unknown("latest", "no Kafka broker answers") in point.unknown


def test_a_broker_that_is_partly_away_costs_its_partitions_only() -> None:
    point = taken(replace(KAFKA, latest=Reading({P0: 30}, missing={P1: "broker 3 does not answer"})))
    assert point.lag_records == 20
    assert Unknown("latest", "broker 3 does not answer", "lines", (1,)) in point.unknown
    assert point.why_unknown("lag_records", P1) == "the latest offset is unknown"


def test_reasons_are_gathered_by_topic() -> None:
    kafka = ObservedKafka((P0, P1, Q0), {"lines": "a", "orders": "b"}, latest=Reading({Q0: 5}, "lines is away"))
    point = take("p", "direct", ["lines", "orders"], kafka, LOG, EVIDENCE, NOW)
    assert Unknown("latest", "lines is away", "lines") in point.unknown
    assert Unknown("earliest", "it was not read") in point.unknown
    assert Unknown("processed", "it was not read", "orders") in point.unknown


@pytest.mark.parametrize(("samples", "latest_at_ms", "lag_s"), [
    pytest.param([(0, -20_000), (20, -10_000)], -10, 15.0, id="between two records that earlier points saw"),
    pytest.param([(5, -9_000)], -1_000, 7.333, id="between one of them and the newest of now"),
    pytest.param([], -1_000, None, id="nothing was seen before"),
    pytest.param([(5, -9_000)], None, None, id="the newest of now was not read"),
    pytest.param([(12, -9_000)], -1_000, None, id="everything seen is newer"),
    pytest.param([(0, -9_000), (29, -1_000)], -500, 6.242, id="the newest of now was seen before"),
])
def test_seconds_come_from_records_on_both_sides(
    samples: list[tuple[int, int]], latest_at_ms: int | None, lag_s: float | None,
) -> None:
    newest = Reading({} if latest_at_ms is None else {P0: NOW_MS + latest_at_ms})
    point = taken(replace(KAFKA, processed_at_ms=Reading(), latest_at_ms=newest,
                          samples={P0: [(offset, NOW_MS + at_ms) for offset, at_ms in samples]}))
    assert point.partitions[P0].lag_s == pytest.approx(lag_s, abs=0.001)
    assert every_none_has_a_reason(point)


def test_seconds_are_interpolated_and_the_timestamp_is_not_made_up() -> None:
    samples = {P0: [(0, NOW_MS - 20_000), (20, NOW_MS - 10_000)]}
    point = taken(replace(KAFKA, processed_at_ms=Reading(reason="not read"), samples=samples))
    assert (point.partitions[P0].lag_s, point.partitions[P0].processed_at_ms) == (15.0, None)
    assert point.why_unknown("processed_at_ms", P0) == "not read"


def test_retention_by_size_needs_the_growth() -> None:
    kafka = replace(KAFKA, retention={"lines": Retention(None, 3000)}, growth={P0: Growth(3000, 2.0)})
    assert taken(kafka).partitions[P0].data_loss_s == 5.0


def test_disagreements_are_in_the_point() -> None:
    assert [(each.source, each.expected, each.sizes) for each in taken().disagreements] == [
        (Source.CHECKPOINT, True, {P0: 5})]
    assert taken(evidence=replace(EVIDENCE, group_committed=Reading({P0: 7}))).disagreements[0].sizes == {P0: -3}


def test_a_group_of_other_topics_is_left_out() -> None:
    evidence = replace(EVIDENCE, group_committed=Reading({P0: 10, Q0: 3}))
    assert set(taken(evidence=evidence).partitions) == {P0, P1}


def test_the_write_ahead_log_is_in_the_point() -> None:
    wal = WalExtent(2, 100, (OffsetRange("lines", 0, 10, 15),))
    point = taken(evidence=replace(EVIDENCE, wal=wal))
    assert (point.wal, point.why_unknown("wal"), point.why_unknown("wal_offsets")) == (wal, None, None)
    point = taken(evidence=replace(EVIDENCE, wal=WalExtent(2, 100), reasons={"wal_offsets": "no group"}))
    assert (point.wal, point.why_unknown("wal_offsets")) == (WalExtent(2, 100), "no group")
