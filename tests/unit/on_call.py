"""A pipeline as runbooks see it: healthy, with whatever a test changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from streamops.declared import pipelines
from streamops.points.recovery_points import PartitionPoint, RecoveryPoint
from streamops.runbooks.evidence import DriverSight, Evidence
from streamops.running.broker_health import BrokerHealth
from streamops.running.driver_status import Standing
from streamops.running.lifecycle import SeenDag, SeenRun, Situation
from streamops.running.pipeline_status import Observed, assess
from streamops.state.batch_log import Entry
from streamops.state.drivers import DriverRecord
from streamops.state.generations import Generation
from streamops.state.lease import TTL_S, Beat, JobState, Lease, Owner, OwnerKind
from streamops.state.offsets import OffsetRange, TopicPartition
from streamops.state.orders import Order, Wish

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
PIPELINE = pipelines.load("pipelines.yaml", """
version: 1
topics: {lines: {partitions: 2, replication: 1}}
pipelines:
  lines: {approach: direct, topics: [lines], transform: word_count, sink: {type: parquet}, interval_s: 2,
          start_timeout_s: 120}
""").pipeline("lines")
P0, P1 = TopicPartition("lines", 0), TopicPartition("lines", 1)
OWNER = Owner(OwnerKind.AIRFLOW, "stream_lines", "run-1", "driver", 1)


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def entry(batch: int, ended_s: float, took_s: float = 1.0, records: int = 100, sink_s: float = 0.8) -> Entry:
    """A batch of partition 0 that ended `ended_s` seconds ago."""
    ranges = (OffsetRange("lines", 0, batch * records, (batch + 1) * records), OffsetRange("lines", 1, 50, 50))
    return Entry("lines", 1, batch, ranges, 9, f"generation=1/batch={batch}", 2, "driver-1", 1, ago(ended_s + took_s),
                 ago(ended_s), round(sink_s * 1000))


RECORD = DriverRecord("driver-1", "lines", OWNER, ago(300), 2)
OBSERVED = Observed(
    Generation("lines", 1, "direct", {P0: 0, P1: 50}, "first start", ago(1000)),
    [entry(0, 6), entry(1, 4), entry(2, 2)],
    {P0: 300, P1: 50}, Lease("lines", 2, "driver-1", OWNER, "host", 1, ago(299)), Beat(2, ago(1), JobState.RUNNING, 2),
    RECORD, RECORD)
SIGHT = DriverSight("driver-1", Standing.LIVING, "RUNNING", str(OWNER), ago(300), holds_lease=True)
GONE = replace(SIGHT, standing=Standing.NOT_KNOWN, state="not known")
DAG = SeenDag("stream_lines", is_paused=False, runs=(SeenRun("run-1", "running", "deferred"),))
BROKERS = BrokerHealth(brokers={1: None}, partitions=2)
STOP = Order("lines", 1, Wish.STOP, "alice@shell", ago(60), "new disks")
SILENT = Beat(2, ago(60), JobState.RUNNING, 2)


def evidence(
    waiting: int = 0, *, observed: Observed | None = None, drivers: tuple[DriverSight, ...] = (SIGHT,),
    brokers: BrokerHealth = BROKERS, dag: SeenDag | None = DAG, lag_s: float | None = 1.0, **changed: Any,
) -> Evidence:
    """What is found of the pipeline with `waiting` records in partition 0; keywords change parts of it."""
    observed = OBSERVED if observed is None else observed
    positions = observed.positions or {}
    latest = {at: offset + (waiting if at == P0 else 0) for at, offset in positions.items()}
    status = assess("lines", observed, brokers.away or latest, NOW)
    partitions = {at: PartitionPoint(processed=positions[at], latest=latest[at], lag_s=lag_s if at == P0 else 0.0)
                  for at in positions}
    point = RecoveryPoint("lines", "direct", ago(0), 1, 2, ago(2), 2, 2, {"lines": "id"}, partitions)
    situation = Situation("lines", "always", 60, 120, observed.order, dag=dag)
    fresh = status.beat_age_s is not None and status.beat_age_s <= TTL_S
    made = Evidence(PIPELINE, NOW, status, brokers, observed, drivers, situation, point, beats=fresh)
    return replace(made, **changed)


def seen(**changed: Any) -> Observed:
    """What the state directory says, with changes."""
    return replace(OBSERVED, **changed)
