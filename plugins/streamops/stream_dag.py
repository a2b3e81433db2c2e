"""The DAG whose run is the life of a pipeline's job. `dags/` makes one of them for each pipeline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from streamops.declared.pipeline import Pipeline
from streamops.operators import StreamingJobOperator
from streamops.retry_policy import UntilItRuns

#: The task that submits the driver and then waits for its end.
TASK_ID = "driver"

#: Tries in a row after the first: with the delays below, half an hour of trying, without the time that the tries take.
MOST_IN_A_ROW = 8
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=10), timedelta(minutes=10)
#: Airflow's own limit, over the life of a run: a start each minute, for more than a year.
RETRIES = 1_000_000


def dag_id(pipeline: str) -> str:
    return f"stream_{pipeline}"


def stream_dag(pipeline: Pipeline, doc_md: str) -> DAG:
    """The DAG of one pipeline; `doc_md` is the runbook, which the pipeline's own settings are put under.

    At most one run at a time. With `run: always` the next run follows one that ended, with `run: manual` only a person
    starts one.
    """
    dag = DAG(
        dag_id(pipeline.name),
        schedule="@continuous" if pipeline.run == "always" else None,
        start_date=datetime(2024, 1, 1, tzinfo=UTC),  # any day in the past: a continuous DAG has no data intervals
        catchup=False,
        max_active_runs=1,
        # A run that is triggered on a paused DAG stays queued without a word, and a manual one does nothing by itself.
        # Whether one that starts by itself waits for a person at first is Airflow's own setting.
        is_paused_upon_creation=False if pipeline.run == "manual" else None,
        tags=["streamops", "stream", pipeline.job],
        doc_md=f"{doc_md}\n\n{_settings_of(pipeline)}",
    )
    _add_driver(dag, pipeline)
    return dag


def batch_dag(pipeline: Pipeline, doc_md: str) -> DAG:
    """The DAG of a pipeline whose job ends by itself: `batch_<pipeline>`, started by a person or another DAG."""
    dag = DAG(
        f"batch_{pipeline.name}",
        schedule=None,
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        tags=["streamops", "batch", pipeline.job],
        doc_md=f"{doc_md}\n\n{_settings_of(pipeline)}",
    )
    _add_driver(dag, pipeline)
    return dag


def _add_driver(dag: DAG, pipeline: Pipeline) -> None:
    StreamingJobOperator(
        task_id=TASK_ID,
        dag=dag,
        pipeline=pipeline.name,
        retries=RETRIES,
        # For a task that was lost with its process, of which nobody asks the policy.
        retry_delay=FIRST_DELAY,
        retry_exponential_backoff=2.0,
        max_retry_delay=LONGEST_DELAY,
        retry_policy=UntilItRuns(MOST_IN_A_ROW, FIRST_DELAY, LONGEST_DELAY),
    )


def _settings_of(pipeline: Pipeline) -> str:
    read = ", ".join(f"`{topic}`" for topic in pipeline.topics) + f" by the {pipeline.approach} approach"
    if pipeline.folder is not None:
        read = f"the folder `{pipeline.folder.path}`"
    often = "once" if pipeline.job == "folder_batch" else f"a batch every {pipeline.interval_s:g} s"
    return "\n".join([
        f"### Pipeline `{pipeline.name}`",
        f"- reads {read}, {often}",
        f"- transform `{pipeline.transform}`, sink `{pipeline.sink.type}`",
        f"- state directory `{pipeline.state_directory}` below the connection `{pipeline.connections.storage}`",
        f"- must log its first batch within {pipeline.start_timeout_s:g} s of its submission",
    ])
