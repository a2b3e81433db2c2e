"""Recovery points taken, judged, stored and pruned: what DAG and command line both do.

Each pipeline is judged by its last points and the one that was just taken, which is stored with the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

from streamops.declared import schedules
from streamops.declared.pipeline import Pipeline
from streamops.declared.pipelines import Pipelines
from streamops.errors import AlarmError, ConfigurationError, RefusedError, StateError
from streamops.points import lag
from streamops.points.lag import PipelineLag, Thresholds
from streamops.points.recovery_points import RecoveryPoint
from streamops.points.retention import KeepRule

if TYPE_CHECKING:
    from streamops.adapters.database.points import Points

#: The Airflow connection of our own database.
DATABASE = "streamops_db"

Say = Callable[[str], object]


@dataclass(frozen=True)
class Taken:
    """A point that was taken and stored under `number`, what it says, and how many old ones went."""

    number: int
    point: RecoveryPoint
    lag: PipelineLag
    pruned: int

    def __str__(self) -> str:
        return f"point {self.number}: {describe(self.lag)}"


def store() -> Points:
    """The points in the database of the connection `streamops_db`. Raises ConfigurationError."""
    from streamops.adapters.connections import connection
    from streamops.adapters.database.points import Points
    from streamops.adapters.database.session import Database

    return Points(Database.of(connection(DATABASE)))


def chosen(declared: Pipelines, names: Iterable[str]) -> list[Pipeline]:
    """The pipelines of these names, or, for none or `all`, every one that reads topics.

    Raises ConfigurationError for a name that is not declared, or that of a pipeline which reads a folder.
    """
    wanted = list(dict.fromkeys(names))
    if not wanted or wanted == ["all"]:
        return [pipeline for pipeline in declared.pipelines.values() if pipeline.source == "kafka"]
    found = [declared.pipeline(name) for name in wanted]
    if folders := [pipeline.name for pipeline in found if pipeline.source == "folder"]:
        raise ConfigurationError(f"`{folders[0]}` reads a folder, and a recovery point is about offsets in Kafka",
                                 "Name pipelines that read topics; `streamops status` shows all.")
    return found


def due(pipelines: Iterable[Pipeline], points: Points, now: datetime) -> list[Pipeline]:
    """Those whose schedule has come round since their last point."""
    found = []
    for pipeline in pipelines:
        last = points.summaries(pipeline.name, limit=1)
        if schedules.is_due(pipeline.schedules.snapshot, last[0].taken_at if last else None, now):
            found.append(pipeline)
    return found


def take(pipelines: Iterable[Pipeline], points: Points, say: Say) -> Iterator[Taken]:
    """Take, judge and store a point of each pipeline, one after the other, then drop its points that are too old.

    `say` is told what was passed over. Raises UnavailableError and the like for our own database alone: what cannot be
    read of a pipeline is missing in its point, with the reason.
    """
    from streamops.adapters.pipelines.snapshot_reader import SnapshotReader

    with SnapshotReader() as reader:
        for pipeline in pipelines:
            limits = thresholds(pipeline)
            earlier = _window(pipeline, points, limits, datetime.now(UTC))
            last = _stored(points, earlier[-1], say) if earlier else None
            for last_try in (False, True):
                point = reader.take(pipeline, last)
                known = (each for number in earlier[:-1] if (each := _stored(points, number, say)) is not None)
                judged = lag.assess(chain(known, [last] if last else [], [point]), limits,
                                    pipeline.objectives.data_loss_s)
                try:
                    number = points.insert(point, judged.state)
                    break
                except RefusedError:  # another snapshot has taken one in this very millisecond
                    if last_try:
                        raise
            pruned = points.prune(pipeline.name, keep_rule(pipeline), datetime.now(UTC))
            yield Taken(number, point, judged, pruned)


def judge(pipeline: Pipeline, points: Points, say: Say) -> PipelineLag | None:
    """How a pipeline keeps up, by its stored points alone; None when it has none that can be read.

    The newest counts however old it is, since there is nothing better.
    """
    limits = thresholds(pipeline)
    newest = points.summaries(pipeline.name, limit=1)
    numbers = _window(pipeline, points, limits, newest[0].taken_at) if newest else []
    known = (each for number in numbers if (each := _stored(points, number, say)) is not None)
    first = next(known, None)
    return None if first is None else lag.assess(chain([first], known), limits, pipeline.objectives.data_loss_s)


def newest_first(pipeline: Pipeline, points: Points, say: Say, limit: int) -> Iterator[RecoveryPoint]:
    """The pipeline's stored points, read one by one; those that cannot be read are passed over, and `say` is told."""
    for summary in points.summaries(pipeline.name, limit=limit):
        if (point := _stored(points, summary.id, say)) is not None:
            yield point


def require_no_alarms(alarms: Sequence[str]) -> None:
    """Raises AlarmError with all of them when there are any."""
    if alarms:
        raise AlarmError(
            "\n".join(alarms),
            "What was processed, and what waits, is in the recovery points: streamops offsets points PIPELINE",
        )


def alarms_of(judged: PipelineLag) -> list[str]:
    """Its alarms, each with the pipeline's name."""
    return [f"{judged.pipeline}: {alarm}" for alarm in judged.alarms]


def alarm_event(judged: PipelineLag) -> dict[str, Any]:
    """What an asset event says of a pipeline with alarms."""
    return {key: value for key, value in judged.as_dict().items() if key not in ("worst", "unknown")}


def describe(judged: PipelineLag) -> str:
    """One line on how a pipeline keeps up: `lines: OK, 12 records wait, 0.4 s (…)`."""
    records = "lag unknown" if judged.lag_records is None else f"{judged.lag_records:,} records wait"
    seconds = "" if judged.lag_s is None else f", {judged.lag_s:,.1f} s"
    return f"{judged.pipeline}: {judged.state}, {records}{seconds} ({judged.reason})"


def thresholds(pipeline: Pipeline) -> Thresholds:
    """What the pipeline sets, and for the rest what follows from its objective and interval."""
    stated = {name: value for name, value in pipeline.lag.model_dump().items() if value is not None}
    return replace(Thresholds.of(pipeline.objectives.lag_s, pipeline.interval_s), **stated)


def keep_rule(pipeline: Pipeline) -> KeepRule:
    """How long its points are kept."""
    kept = pipeline.points
    return KeepRule(*(timedelta(days=days) for days in (kept.all_for_d, kept.hourly_for_d, kept.daily_for_d)))


def _window(pipeline: Pipeline, points: Points, limits: Thresholds, now: datetime) -> list[int]:
    """The numbers of the stored points to judge by, oldest first: at least the last one, however old it is."""
    since = now - timedelta(seconds=lag.window_s(limits))
    recent = points.summaries(pipeline.name, since=since) or points.summaries(pipeline.name, limit=1)
    return lag.thinned([each.id for each in reversed(recent)])


def _stored(points: Points, number: int, say: Say) -> RecoveryPoint | None:
    """A stored point; None where it is gone or cannot be read, which `say` is told."""
    try:
        document = points.document(number)
        return None if document is None else RecoveryPoint.from_json(document)
    except StateError as error:
        say(f"point {number} is passed over: {error.found}")
        return None
