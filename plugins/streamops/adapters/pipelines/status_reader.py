"""Reading what `streamops status` shows: a few files of each state directory, and Kafka's latest offsets.

Whatever is away is said in the status of the pipelines that need it; the others are shown as usual.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeVar

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.pipelines.files import state_files
from streamops.declared.pipeline import Pipeline
from streamops.errors import StreamopsError
from streamops.running import pipeline_status
from streamops.running.pipeline_status import RATE_WINDOW_S, RECENT_BATCHES, Observed, PipelineStatus
from streamops.state import batch_log, drivers, generations, lease, numbered_files, orders, releases
from streamops.state.batch_log import Entry
from streamops.state.drivers import DriverRecord
from streamops.state.lease import Beat, Lease
from streamops.state.offsets import Offsets

#: Seconds to wait for brokers: a person waits for the answer.
_BROKER_TIMEOUT_S = 3.0

_Parsed = TypeVar("_Parsed", Lease, Beat, DriverRecord)


def read_statuses(pipelines: Iterable[Pipeline]) -> list[PipelineStatus]:
    """The status of each pipeline, in their order. Never raises for a server that is away."""
    pipelines = list(pipelines)
    latest = _latest_offsets(pipelines)
    statuses = []
    for pipeline in pipelines:
        try:
            observed = observe(state_files(pipeline))
        except StreamopsError as error:
            statuses.append(pipeline_status.unreadable(pipeline.name, error.found))
        else:
            statuses.append(pipeline_status.assess(pipeline.name, observed, latest[pipeline.name], datetime.now(UTC)))
    return statuses


def observe(files: StateFiles) -> Observed:
    """What the state directory says, from a number of small files that does not grow with the pipeline's age."""
    generation = generations.current(files)
    recent: list[Entry] = []
    positions: Offsets | None = None
    if generation is not None:
        recent = _recent(files, generation.number)
        positions = pipeline_status.positions(generation, recent[-1] if recent else None)
    epoch = numbered_files.latest(files.names(lease.DIRECTORY))
    held = _read(files, lease.path(epoch), Lease) if epoch is not None else None
    return Observed(
        generation=generation,
        recent=tuple(recent),
        positions=positions,
        lease=held,
        beat=_read(files, lease.beat_path(held.epoch), Beat) if held else None,
        driver=_read(files, drivers.path(held.driver), DriverRecord) if held else None,
        newest=_newest_driver(files),
        order=orders.standing(files),
        release=releases.standing(files),
    )


def latest_offsets(pipeline: Pipeline) -> Offsets | str:
    """Kafka's latest offsets of a pipeline's topics, or why they are unknown."""
    return _latest_offsets([pipeline])[pipeline.name]


def _read(files: StateFiles, path: str, kind: type[_Parsed]) -> _Parsed | None:
    text = files.read(path)
    return kind.from_json(text) if text is not None else None


def _newest_driver(files: StateFiles) -> DriverRecord | None:
    """The record of the driver that was submitted last: a standalone master's ids begin with the time."""
    names = [name.removesuffix(".json") for name in files.names(drivers.DIRECTORY) if name.endswith(".json")]
    return _read(files, drivers.path(max(names)), DriverRecord) if names else None


def _recent(files: StateFiles, generation: int) -> list[Entry]:
    """The newest entries, oldest first: those of the last minute or so, and one more to see where it begins."""
    now = datetime.now(UTC)
    recent: list[Entry] = []
    for entry in batch_log.backwards(files, generation):
        recent.append(entry)
        age_s = (now - datetime.fromisoformat(entry.finished_at)).total_seconds()
        if age_s > RATE_WINDOW_S or len(recent) == RECENT_BATCHES:
            break
    return recent[::-1]


def _latest_offsets(pipelines: list[Pipeline]) -> dict[str, Offsets | str]:
    """Kafka's latest offsets for each pipeline by its name, or why they are unknown."""
    from streamops.adapters.connections import connection
    from streamops.adapters.kafka.broker import Broker

    of_folders = [pipeline for pipeline in pipelines if pipeline.source == "folder"]
    latest: dict[str, Offsets | str] = dict.fromkeys((each.name for each in of_folders), "a folder has no offsets")
    of_topics = [pipeline for pipeline in pipelines if pipeline.source == "kafka"]
    for conn_id in {pipeline.connections.kafka for pipeline in of_topics}:
        readers = [pipeline for pipeline in of_topics if pipeline.connections.kafka == conn_id]
        try:
            with Broker.connect(connection(conn_id), timeout_s=_BROKER_TIMEOUT_S) as broker:
                for pipeline in readers:
                    try:
                        latest[pipeline.name] = broker.latest_offsets(pipeline.topics)
                    except StreamopsError as error:
                        latest[pipeline.name] = error.found
        except StreamopsError as error:
            latest.update({pipeline.name: error.found for pipeline in readers})
    return latest
