"""What a runbook knows of a pipeline that retention has overtaken: the pipeline's evidence, and that of its topics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from streamops.errors import DataLossError, StreamopsError
from streamops.points import retention_loss
from streamops.points.lag_seconds import Retention
from streamops.points.recovery_points import RecoveryPoint
from streamops.points.retention_loss import Oldest, Overtaken
from streamops.restoring import forecast
from streamops.runbooks.case import Case
from streamops.runbooks.evidence import Evidence, newest
from streamops.running.pipeline_status import duration
from streamops.state.offsets import TopicPartition

#: Stored recovery points that are looked through for the time at which it happened: a day of five-minute points.
_POINTS = 288


@dataclass(frozen=True)
class LossEvidence:
    """What is known of the pipeline, and the partitions that retention has overtaken.

    `retention` is that of each topic; `unjudged` are partitions of which nobody can say, with the reason. `made_again`
    are topics that are not those of the newest recovery point any more. `catch_up_s` is for what Kafka has left.
    `log_unknown` says that receivers stored something, and that nobody knows whether it is what Kafka lost.
    """

    known: Evidence
    overtaken: tuple[Overtaken, ...] = ()
    unjudged: Mapping[TopicPartition, str] = field(default_factory=dict)
    retention: Mapping[str, Retention] = field(default_factory=dict)
    made_again: tuple[str, ...] = ()
    catch_up_s: float | None = None
    may_raise: bool = True
    log_unknown: bool = False

    @property
    def raised_ms(self) -> dict[str, int]:
        """`retention.ms` that each topic needs, so that no more is gone before the pipeline is back."""
        needed_s = self.known.pipeline.start_timeout_s + (self.catch_up_s or 0)
        return retention_loss.enough_ms(self.overtaken, self.retention, needed_s)

    def lines(self) -> Iterator[str]:
        """For a person."""
        yield from self.known.lines()
        yield f"on_data_loss: {self.known.pipeline.on_data_loss}"
        for topic, limits in self.retention.items():
            kept = "for ever" if limits.retention_ms is None else f"for {duration(limits.retention_ms / 1000)}"
            size = "" if limits.retention_bytes is None else f", at most {limits.retention_bytes:,} bytes a partition"
            yield f"topic {topic} keeps its records {kept}{size}"
        if self.overtaken:
            yield from retention_loss.shown(self.overtaken).splitlines()
        else:
            yield "overtaken by retention: no partition"
        yield from (f"unknown: {at}: {why}" for at, why in self.unjudged.items())

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**self.known.as_dict(), "on_data_loss": self.known.pipeline.on_data_loss,
                "overtaken": [each.as_dict() for each in self.overtaken],
                "unjudged": {str(at): why for at, why in self.unjudged.items()},
                "made_again": list(self.made_again), "catch_up_s": self.catch_up_s}


def read(case: Case, *, may_raise: bool) -> LossEvidence:
    """The evidence. What a server does not say is left out, with the reason in its `unknown`."""
    from streamops.runbooks import reading

    known = reading.read(case)
    if known.point is None or known.brokers.away is not None:
        return LossEvidence(known)
    from streamops.actions import snapshots
    from streamops.adapters.connections import connection
    from streamops.adapters.kafka import retention_reader, topic_positions
    from streamops.adapters.kafka.broker import Broker

    point, places = known.point, retention_loss.places(known.point)
    limits: dict[str, Retention] = {}
    oldest: dict[TopicPartition, Oldest] = {}
    try:
        with Broker.connect(connection(case.pipeline.connections.kafka)) as broker:
            limits = topic_positions.retention(broker, case.pipeline.topics)
            oldest = retention_reader.oldest(broker, point, places, limits, point.taken_ms)
    except StreamopsError as error:
        known.unknown["retention"] = error.found
    earlier: list[RecoveryPoint] = []
    try:
        stored = snapshots.newest_first(case.pipeline, snapshots.store(), case.say, _POINTS)
        earlier = list(stored if places else islice(stored, 1))
    except StreamopsError as error:
        known.unknown["recovery points"] = error.found
    # A driver that ended on the loss has looked for it in the write-ahead log. What its receivers then stored, and
    # committed, begins above the gap.
    said = newest(known.drivers)
    has_looked = said is not None and said.stop_kind == DataLossError.kind
    found = retention_loss.overtaken(replace(point, wal=None) if has_looked else point, earlier, oldest)
    wal = point.wal
    before = earlier[0].topic_ids if earlier else {}
    pace = forecast.Pace.measured(known.observed.recent, 0.0, case.pipeline.rate_limit)
    catch_up_s, _ = forecast.catch_up_s(sum(each.left or 0 for each in found), pace)
    return LossEvidence(
        known, found, retention_loss.unknown(point), limits,
        tuple(topic for topic, now in point.topic_ids.items()
              if now is not None and before.get(topic) not in (None, now)),
        catch_up_s, may_raise,
        log_unknown=not has_looked and wal is not None and wal.size_bytes > 0 and wal.ranges is None)
