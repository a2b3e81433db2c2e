"""The batch that a pipeline's driver runs now: by its checkpoint or plan, and by the driver's own page."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import httpx

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.pipelines import state_evidence
from streamops.adapters.spark.master import REQUEST_TIMEOUT_S, SparkMaster
from streamops.declared.pipeline import Pipeline
from streamops.state import evidence
from streamops.state.running_batch import RunningBatch

#: Jobs of Spark's that are named; a batch has a few.
_MOST_JOBS = 3


def observe(
    pipeline: Pipeline, files: StateFiles, master: SparkMaster, oldest_waiting_ms: int | None,
) -> RunningBatch | None:
    """The batch that is begun and not logged; None where there is none. Raises StateError, and what StateFiles raises.

    It cannot have begun before its driver did, nor before the oldest record in it came (`oldest_waiting_ms`), nor
    before the last batch ended.
    """
    at = state_evidence.log_position(files)
    named = state_evidence.checkpointed(files, pipeline.approach, at)
    if at.generation is None or named.batch is None or (at.last is not None and named.batch <= at.last.batch):
        return None
    held = evidence.holder(files)
    since = [_time(ms) for ms in (named.began_ms, oldest_waiting_ms) if ms is not None]
    since += [datetime.fromisoformat(each) for each in (at.last.finished_at if at.last else None,
                                                        held.taken_at if held else None) if each is not None]
    began = max(since, default=datetime.now(UTC))
    return RunningBatch(at.generation.number, named.batch, began.isoformat(timespec="milliseconds"), named.ends,
                        tuple(_doing(master, f"streamops {pipeline.name}")))


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _doing(master: SparkMaster, application: str) -> Iterable[str]:
    """What the driver's page says of the jobs that run; nothing where it cannot be asked."""
    page = master.application_page(application)
    if page is None:
        return ["the driver's page is not known to the Spark master"]
    with httpx.Client(timeout=REQUEST_TIMEOUT_S, trust_env=False, follow_redirects=True) as http:
        try:
            [found, *_] = http.get(f"{page}/api/v1/applications").raise_for_status().json()
            jobs = http.get(f"{page}/api/v1/applications/{found['id']}/jobs", params={"status": "running"})
            running = jobs.raise_for_status().json()
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            return [f"the driver's page at {page} does not answer: {type(error).__name__}"]
    if not running:
        return ["no job of Spark's runs: the driver is in the transform or the sink, or waits"]
    return [f"job {job['jobId']} since {job.get('submissionTime')}: {job['numCompletedTasks']} of {job['numTasks']} "
            f"tasks done, {job['numActiveTasks']} run, {job['numFailedTasks']} failed" for job in running[:_MOST_JOBS]]
