"""### Keep a direct streaming job running

One DAG for each pipeline of `pipelines.yaml` with `approach: direct`. **The run is the job's life**: it runs while the
job does, deferred, without a worker slot. The task `driver` submits the Spark driver, supervised, waits for its first
batch in the batch log, and then follows it.

**Symptom**: the task is `up_for_retry` or `failed`, or the run is there and no new batches are (`streamops status`).

**Steps**
1. Read the last lines of the task's log: they say why the driver ended, with its own last lines.
2. Correct what it names (a record, a topic, `pipelines.yaml`, a connection).
3. Clear the task `driver`. To restart a job that runs, clear it just the same.
4. To stop the job: the DAG `lifecycle`, or `streamops stop` at a shell. It finishes its batch, and nothing starts it
   until a start. Marking the task or the run failed ends it at once, and with `run: always` the next run starts anew.

**Is it safe to repeat?** Yes. A new driver goes on from the batch log; a lease keeps two drivers from writing.

**How to undo**: the DAG `lifecycle` with the action start. Output that was written is not touched by any of this.
"""

from __future__ import annotations

from airflow.sdk import DAG

from streamops.declared import pipelines
from streamops.settings import Settings
from streamops.stream_dag import stream_dag

DAGS: list[DAG] = [
    stream_dag(pipeline, __doc__ or "")
    for pipeline in pipelines.load(Settings.load().pipelines).pipelines.values()
    if pipeline.job == "direct"
]

# Airflow finds a DAG by looking through the names of the module.
globals().update({dag.dag_id: dag for dag in DAGS})
