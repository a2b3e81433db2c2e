"""Reads the ground on which cleanup judges: state directory, drivers, recovery points, Kafka. See cleanup_state.

What does not answer becomes `None` or empty, which keeps whatever needed it for its proof.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from streamops.adapters.connections import connection
from streamops.adapters.files.state_files import StateFiles
from streamops.cleaning import ground
from streamops.cleaning.ground import Ground, KafkaNow, KeptPoint
from streamops.cleaning.paths import Root, RootKind
from streamops.declared.pipeline import Cleanup, Pipeline
from streamops.errors import StateError, StreamopsError
from streamops.points.recovery_points import RecoveryPoint
from streamops.running.driver_status import Standing
from streamops.state import evidence, lease
from streamops.state.lease import JobState

if TYPE_CHECKING:
    from streamops.adapters.database.points import Points
    from streamops.adapters.kafka.broker import Broker
    from streamops.adapters.spark.master import SparkMaster
    from streamops.points.retention import KeepRule

Say = Callable[[str], object]

#: Seconds to wait for brokers. Without them, less can be proven and nothing is lost.
BROKER_TIMEOUT_S = 10.0


def now_ms() -> int:
    return round(time.time() * 1000)


def root_at(kind: RootKind, url: str, pipeline: str | None = None) -> Root:
    """A declared root, and where it really is."""
    url = url.rstrip("/")
    parts = urlsplit(url)
    path = parts.path if parts.scheme else url
    resolved = str(Path(path).resolve()) if parts.scheme in ("", "file") else path
    return Root(kind, url, resolved, pipeline)


class KeptPoints:
    """The recovery points of pipelines that stay, by one rule. A document is read once: a point never changes.

    `points` is None where the database is not known.
    """

    def __init__(self, points: Points | None, rule: KeepRule) -> None:
        self._points = points
        self._rule = rule
        self._read: dict[int, KeptPoint] = {}

    def read(self, pipelines: Iterable[str], say: Say) -> tuple[KeptPoint, ...] | None:
        """Those there are now; None where the database does not answer, or one of them cannot be read."""
        if self._points is None:
            return None
        try:
            return tuple(kept for name in sorted(set(pipelines)) for kept in self._of(self._points, name))
        except StreamopsError as error:
            say(f"recovery points are not known: {error.found}")
            return None

    def _of(self, points: Points, pipeline: str) -> Iterator[KeptPoint]:
        summaries = points.summaries(pipeline)
        expired = set(self._rule.expired(summaries, datetime.now(UTC)))
        for each in summaries:
            if each.id in expired:
                continue
            if each.id not in self._read:
                document = points.document(each.id)
                if document is None:
                    continue  # deleted in this moment
                point = RecoveryPoint.from_json(document)
                self._read[each.id] = KeptPoint(
                    each.id, point.generation, point.last_batch, point.processed, dict(point.topic_ids),
                    None if point.wal is None else point.wal.ranges, taken_ms=point.taken_ms)
            yield _held(self._read[each.id], each.needed)


def _held(point: KeptPoint, held: bool) -> KeptPoint:
    return point if point.held == held else replace(point, held=held)


def is_living(files: StateFiles, master: SparkMaster | None) -> bool | None:
    """Whether a driver has the lease or may take it; None where that cannot be told."""
    holder = evidence.holder(files)
    beat = evidence.beat(files, holder.epoch) if holder is not None else None
    if holder is None and files.names(lease.DIRECTORY):
        return None  # beats without a lease: a driver lives in a directory that was deleted
    known = evidence.known_drivers(files)
    uncertain = False
    for each in known:
        if each.ended_itself:
            continue
        if each.holds_lease and beat is not None and beat.state is JobState.STOPPED:
            continue
        standing = master.look(each.driver).standing if master is not None else Standing.NO_ANSWER
        if standing is Standing.LIVING or (standing is Standing.MOVED and not evidence.has_successor(each, known)):
            return True
        # A master knows none but its own: a driver of another one, or a restore, is judged by its beat alone.
        uncertain = uncertain or standing is Standing.NO_ANSWER or (
            standing is Standing.NOT_KNOWN and each.holds_lease)
    return None if uncertain else False


def ended_drivers(files: StateFiles, master: SparkMaster | None) -> frozenset[str]:
    """Drivers without an end in their records that never run again, by the master's word; empty where it has none."""
    if master is None:
        return frozenset()
    known = evidence.known_drivers(files)
    ended = set()
    for each in known:
        if not each.ended_itself:
            standing = master.look(each.driver).standing
            if standing is Standing.ENDED or (standing is Standing.MOVED and evidence.has_successor(each, known)):
                ended.add(each.driver)
    return frozenset(ended)


def kafka_now(broker: Broker | None, topics: Iterable[str]) -> KafkaNow:
    """Ids and earliest offsets of topics; empty where no broker answers."""
    from streamops.adapters.kafka import topic_positions

    if broker is None:
        return KafkaNow()
    try:
        found = topic_positions.layout(broker, list(topics))
        return KafkaNow(dict(found.topic_ids), dict(topic_positions.earliest(broker, found).values))
    except StreamopsError:
        return KafkaNow()


def _broker_of(conn_id: str, say: Say) -> Broker | None:
    """A connection to Kafka; None where no broker answers."""
    from streamops.adapters.kafka.broker import Broker

    try:
        return Broker.connect(connection(conn_id), BROKER_TIMEOUT_S)
    except StreamopsError as error:
        say(f"Kafka is not asked ({conn_id}): {error.found}")
        return None


def _master_of(conn_id: str, say: Say) -> SparkMaster | None:
    """The Spark master of a connection; None where there is no such connection."""
    from streamops.adapters.spark.master import Cluster, SparkMaster

    try:
        return SparkMaster(Cluster.of(connection(conn_id)))
    except StreamopsError as error:
        say(f"the Spark master is not asked ({conn_id}): {error.found}")
        return None


class Servers:
    """Brokers and masters by their connection, each asked for when it is first needed. To be closed."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._brokers: dict[str, Broker | None] = {}
        self._masters: dict[str, SparkMaster | None] = {}

    def broker(self, conn_id: str) -> Broker | None:
        """A connection to Kafka; None where no broker answered, and then for good."""
        if conn_id not in self._brokers:
            self._brokers[conn_id] = _broker_of(conn_id, self._say)
        return self._brokers[conn_id]

    def master(self, conn_id: str) -> SparkMaster | None:
        """The Spark master; None where there is no such connection."""
        if conn_id not in self._masters:
            self._masters[conn_id] = _master_of(conn_id, self._say)
        return self._masters[conn_id]

    def close(self) -> None:
        for broker in self._brokers.values():
            if broker is not None:
                broker.close()
        self._brokers.clear()


class GroundReader:
    """The ground of one state directory, read anew whenever it is asked."""

    def __init__(self, root: Root, files: StateFiles, name: str, settings: Cleanup, kept: KeptPoints,
                 servers: Servers, say: Say, pipeline: Pipeline | None) -> None:
        """`pipeline` is None for an orphan."""
        self.root = root
        self.files = files
        self._name = name
        self._settings = settings
        self._kept = kept
        self._say = say
        self._pipeline = pipeline
        self._servers = servers

    def read(self, roots: tuple[Root, ...]) -> Ground:
        """What is so now. Raises UnavailableError where the storage does not answer."""
        state = ground.observe(self.files)
        try:
            living = is_living(self.files, self._master)
        except StateError:
            living = None
        topics = self._pipeline.topics if self._pipeline is not None else ()
        kept = self._kept.read({self._name, *state.pipelines}, self._say)
        return Ground(self.root, roots, self._name, self._settings, now_ms(), state, living, kept,
                      kafka_now(self.broker, topics), declared=self._pipeline is not None)

    @property
    def broker(self) -> Broker | None:
        if self._pipeline is None or self._pipeline.source != "kafka":
            return None
        return self._servers.broker(self._pipeline.connections.kafka)

    @property
    def _master(self) -> SparkMaster | None:
        return self._servers.master(self._pipeline.connections.spark) if self._pipeline is not None else None

