"""### Count the words of a folder

One DAG for each pipeline of `pipelines.yaml` with `source: folder`. With `mode: stream` it is `stream_<pipeline>`, and
its run is the job's life, as for topics. With `mode: batch` it is `batch_<pipeline>`: a run counts what is in the
folder, and succeeds when the job has finished. `streamops counts <pipeline>` shows the words either way.

**Symptom**: the task `driver` is `up_for_retry` or `failed`; files lie in the folder and no new batches come.

**Steps**
1. Read the last lines of the task's log: they say why the driver ended, with its own last lines.
2. A folder or a file that is gone: put it back. Files must come whole: written elsewhere on the same file system, or
   under a name that begins with `.` or `_`, and then renamed. What is changed later is not read again by a stream.
3. Clear the task `driver`. To count the folder of a batch once more, trigger its DAG.
4. To stop a stream: the DAG `lifecycle`, or `streamops stop` at a shell. A batch: mark its run failed.

**Is it safe to repeat?** Yes. A stream goes on with the files that it has not read; every run of a batch counts the
whole folder anew and keeps its own result.

**How to undo**: the DAG `lifecycle` with the action start, or trigger the batch. Output that was written is not touched
by any of this.
"""

from __future__ import annotations

from airflow.sdk import DAG

from streamops.declared import pipelines
from streamops.settings import Settings
from streamops.stream_dag import batch_dag, stream_dag

MAKERS = {"folder_stream": stream_dag, "folder_batch": batch_dag}

DAGS: list[DAG] = [
    MAKERS[pipeline.job](pipeline, __doc__ or "")
    for pipeline in pipelines.load(Settings.load().pipelines).pipelines.values()
    if pipeline.job in MAKERS
]

# Airflow finds a DAG by looking through the names of the module.
globals().update({dag.dag_id: dag for dag in DAGS})
