"""The operator against Airflow's own classes: the command that it runs, and what its trigger survives."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.api.datamodels._generated import DagRunType

from streamops.adapters.connections import Connection
from streamops.adapters.spark.submission import job_spec, submission
from streamops.declared.pipeline import Pipeline
from streamops.errors import JobStopped, StreamopsError
from streamops.settings import Settings, project_root
from streamops.state.lease import Owner, OwnerKind
from streamops.state.orders import Order, Wish

MASTER = "spark://127.0.0.1:7077"
PIPELINE = Pipeline.model_validate({
    "name": "lines", "approach": "direct", "topics": ["lines"], "transform": "word_count", "sink": {"type": "parquet"},
    "resources": {"conf": {"spark.ui.enabled": False}},
})


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Airflow's library without a server, with the connection that its hook reads."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", "spark://spark%3A%2F%2F127.0.0.1:7077?deploy-mode=cluster")


def flags(command: list[str]) -> dict[str, list[str]]:
    """A command line by its flags, in no order; what follows the last flag is under ''."""
    found: dict[str, list[str]] = {}
    rest = command[1:]
    while rest and rest[0].startswith("--"):
        flag, rest = rest[0], rest[1:]
        values = found.setdefault(flag, [])
        if flag != "--supervise":
            values.append(rest[0])
            rest = rest[1:]
    return {**{flag: sorted(values) for flag, values in found.items()}, "": rest}


@pytest.mark.usefixtures("airflow")
def test_the_task_runs_the_command_that_a_shell_runs(tmp_path: Path) -> None:
    from streamops.operators import StreamingSubmitHook

    (tmp_path / "spark-sql-kafka-0-10_2.13-4.2.0.jar").touch()
    settings = Settings.load(home=tmp_path, jars=tmp_path, jobs=project_root() / "jobs")
    kafka = Connection("kafka_default", extra={"bootstrap.servers": "broker:9092"})
    storage = Connection("streamops_storage", extra={"url": "file:///streams"})
    owner = Owner(OwnerKind.AIRFLOW, "stream_lines", "run-1", "driver", 1)
    job = submission(PIPELINE, job_spec(PIPELINE, kafka=kafka, storage=storage, owner=owner), settings)
    hook = StreamingSubmitHook.of(job, conn_id="spark_default", on_driver=lambda _: None)
    by_the_task = hook._build_spark_submit_command(job.application)
    assert flags(by_the_task) == flags(job.command(MASTER))
    assert flags(by_the_task)["--supervise"] == []
    to_another = StreamingSubmitHook.of(job, conn_id="spark_default", on_driver=lambda _: None, master="spark://b:7077")
    assert flags(to_another._build_spark_submit_command(job.application))["--master"] == ["spark://b:7077"]


@pytest.mark.usefixtures("airflow")
def test_the_drivers_id_is_told_as_soon_as_the_master_has_given_it(tmp_path: Path) -> None:
    from streamops.operators import StreamingSubmitHook

    told: list[str] = []
    hook = StreamingSubmitHook(conn_id="spark_default", on_driver=told.append)
    lines = iter([
        "INFO ClientEndpoint: supersedes driver-20200101000000-0001",
        "INFO ClientEndpoint: Driver successfully submitted as driver-20261120030000-0007",
    ])
    hook._process_spark_submit_log(lines)
    assert told == ["driver-20261120030000-0007"]
    assert hook._driver_id == "driver-20261120030000-0007"


class EndedDriver:
    """What the operator asks of PipelineDrivers about a driver that has ended."""

    def __init__(self, summary: str | None = None, standing: Order | None = None) -> None:
        self.summary = summary
        self.standing = standing

    def order(self) -> Order | None:
        return self.standing

    def finished(self, _driver: str) -> str | None:
        return self.summary

    def why_ended(self, _driver: str, what: str) -> StreamopsError:
        return JobStopped(what)


PAUSED = Order("lines", 1, Wish.PAUSE, "alice@shell", "03:00", "certificates")


@dataclass
class Run:
    """A run as a task sees it."""

    run_type: DagRunType


def opened(task: Any, found: EndedDriver) -> EndedDriver:
    task._drivers = found
    return found


@pytest.mark.usefixtures("airflow")
def test_a_task_succeeds_when_its_driver_says_that_it_has_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from streamops.operators import StreamingJobOperator

    task = StreamingJobOperator(task_id="driver", pipeline="archive")
    event = {"driver": "driver-1", "standing": "ended", "state": "FINISHED"}
    monkeypatch.setattr(task, "_open", lambda: opened(task, EndedDriver("12 words")))
    task.after_driver({}, event)  # type: ignore[typeddict-item]
    monkeypatch.setattr(task, "_open", lambda: opened(task, EndedDriver()))
    with pytest.raises(AirflowFailException, match="ended"):
        task.after_driver({}, event)  # type: ignore[typeddict-item]


@pytest.mark.usefixtures("airflow")
def test_a_task_whose_driver_was_stopped_by_an_order_has_done_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamops.operators import StreamingJobOperator

    task = StreamingJobOperator(task_id="driver", pipeline="lines")
    monkeypatch.setattr(task, "_open", lambda: opened(task, EndedDriver(standing=PAUSED)))
    task.after_driver({}, {"driver": "driver-1", "standing": "ended", "state": "KILLED"})  # type: ignore[typeddict-item]


@pytest.mark.usefixtures("airflow")
def test_a_run_of_a_paused_pipeline_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

    from streamops.operators import StreamingJobOperator

    task = StreamingJobOperator(task_id="driver", pipeline="lines")
    monkeypatch.setattr(task, "_open", lambda: opened(task, EndedDriver(standing=PAUSED)))
    with pytest.raises(AirflowFailException, match=r"paused by alice@shell at 03:00: certificates(.|\n)*resume lines"):
        task.execute({"dag_run": Run(DagRunType.MANUAL)})  # type: ignore[typeddict-item]
    with pytest.raises(AirflowRescheduleException):
        task.execute({"dag_run": Run(DagRunType.SCHEDULED)})  # type: ignore[typeddict-item]


@pytest.mark.usefixtures("airflow")
@pytest.mark.parametrize("stored", [
    pytest.param({}, id="nothing"),
    pytest.param({"driver": "driver-1", "rest": ["http://m:6066"], "colour": "red"}, id="of a newer version"),
    pytest.param({"driver": "driver-1", "rest": None, "poll_s": 5.0}, id="of an older version"),
])
def test_a_trigger_is_made_from_whatever_was_stored(stored: dict[str, Any]) -> None:
    from streamops.triggers import DriverTrigger

    path, arguments = DriverTrigger(**stored).serialize()
    assert path == "streamops.triggers.DriverTrigger"
    assert "colour" not in arguments
    assert DriverTrigger(**arguments).serialize() == (path, arguments)


@pytest.mark.usefixtures("airflow")
def test_a_master_that_is_away_is_waited_for() -> None:
    from streamops.triggers import DriverTrigger

    trigger = DriverTrigger("driver-1", ["http://127.0.0.1:1"], poll_s=0.01, forgotten_after_s=0)

    async def first_event() -> object:
        return await anext(aiter(trigger.run()))

    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(first_event(), 1))
