"""The operator that keeps a pipeline's job running: one task, whose life is that of the job.

It differs from SparkSubmitOperator, which it is, in what it takes for granted: the job has no end. So it

- supervises: `--supervise` on Spark standalone, which the stock operator has no parameter for;
- goes on with a driver that an earlier try left behind, and else submits a new one, also after a success was cleared
  and after the master has forgotten the driver, where the stock operator does nothing, or fails for ever;
- counts a job as started when its first batch is in the batch log;
- then defers without a time limit to `DriverTrigger`, with no JVM and no worker slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Self

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowRescheduleException
from airflow.sdk.execution_time.context import NEVER_EXPIRE

from streamops.errors import StreamopsError
from streamops.retry_policy import note_started
from streamops.running.driver_status import Standing
from streamops.state.lease import Owner, OwnerKind
from streamops.triggers import FORGOTTEN_AFTER_S, POLL_S, DriverTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from streamops.adapters.pipelines.drivers import PipelineDrivers
    from streamops.adapters.spark.submission import Submission


#: A run that waits for its pipeline to be started looks so often whether it was. `streamops start` clears it, so this
#: is for a start while Airflow was away, and each look costs a process.
LOOK_FOR_START = timedelta(minutes=5)


class StreamingSubmitHook(SparkSubmitHook):
    """SparkSubmitHook that supervises the driver, and tells its id as soon as the master has given it."""

    def __init__(self, *, on_driver: Callable[[str], None], master: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._on_driver = on_driver
        if master is not None:
            self._connection["master"] = master  # one of those that the connection names

    @classmethod
    def of(
        cls, job: Submission, *, conn_id: str, on_driver: Callable[[str], None], master: str | None = None
    ) -> Self:
        """The hook that submits a job as `Submission.command` says it."""
        return cls(
            on_driver=on_driver,
            master=master,
            conn_id=conn_id,
            name=job.name,
            java_class=job.java_class,
            application_args=list(job.arguments),
            conf=job.conf,
            files=job.archive,
            py_files=job.archive,
            driver_memory=job.driver_memory,
            executor_memory=job.executor_memory,
            executor_cores=job.executor_cores,
            total_executor_cores=job.total_executor_cores,
        )

    def _build_spark_common_args(self) -> list[str]:
        return [*super()._build_spark_common_args(), "--supervise"]

    def _process_spark_submit_log(self, itr: Iterator[Any]) -> None:
        # spark-submit stays for 5 s after the master took the driver; whoever ends this task meanwhile must not leave
        # a driver behind whose id nobody knows.
        def watched() -> Iterator[Any]:
            for line in itr:
                _, found, driver = line.partition("Driver successfully submitted as ")
                if found:
                    self._driver_id = driver.split()[0]
                    self._on_driver(self._driver_id)
                yield line

        super()._process_spark_submit_log(watched())


class StreamingJobOperator(SparkSubmitOperator):
    """Keep the job of one pipeline running, supervised, for as long as the run lasts.

    Everything else comes from pipelines.yaml and the connections it names, read when the task runs.

    Args:
        pipeline: the pipeline's name.
        poll_s: seconds between two looks at the driver while the task is deferred.
        forgotten_after_s: seconds for which a master in charge must not know the driver until another is submitted.
    """

    template_fields: Sequence[str] = ("pipeline",)

    def __init__(
        self,
        *,
        pipeline: str,
        poll_s: float = POLL_S,
        forgotten_after_s: float = FORGOTTEN_AFTER_S,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self.poll_s = poll_s
        self.forgotten_after_s = forgotten_after_s
        self._drivers: PipelineDrivers | None = None
        self._driver: str | None = None
        self._supersedes: tuple[str, ...] = ()
        self._was_killed = False

    def execute(self, context: Context) -> None:
        """Find or submit the driver, wait until its job has started, then defer. Returns when a person stops it."""
        try:
            drivers = self._open()
            self._require_no_stop(context, drivers)
            self._wait_after_failed_runs(context)
            self._driver = self._driver_to_go_on_with(context) or self._submitted(context)
            self._follow(context, drivers, self._driver)
        except StreamopsError as error:
            if not self._was_ordered():
                self._raise(error)

    def after_driver(self, context: Context, event: dict[str, Any]) -> None:
        """The driver is gone: done, where it says so; else this raises, or goes on with the driver's successor."""
        driver = str(event["driver"])
        try:
            drivers = self._open()
            if self._was_ordered():
                return
            if event["standing"] == Standing.MOVED:
                self._follow(context, drivers, driver)
            if event["standing"] != Standing.ENDED:
                raise AirflowException(
                    f"the Spark master no longer knows driver {driver}. Another try submits a new driver, which goes "
                    "on from the batch log."
                )
            if (summary := drivers.finished(driver)) is not None:
                self.log.info("driver %s has finished: %s", driver, summary)
                return
            raise drivers.why_ended(driver, f"driver {driver} of {self.pipeline} ended ({event['state']})")
        except StreamopsError as error:
            self._raise(error)

    def _require_no_stop(self, context: Context, drivers: PipelineDrivers) -> None:
        """Start nothing while a person has the pipeline stopped or paused.

        A scheduled run waits, because a continuous DAG would make the next one at once; any other fails with the
        reason.
        """
        if (order := drivers.order()) is None or not order.stops:
            return
        if not _is_scheduled(context):
            raise AirflowFailException(f"{self.pipeline} was {order}, so this run starts nothing.\n{order.repair}")
        self.log.warning("%s was %s. This run waits until it is started. %s", self.pipeline, order, order.repair)
        raise AirflowRescheduleException(datetime.now(UTC) + LOOK_FOR_START)  # type: ignore[no-untyped-call]

    def _was_ordered(self) -> bool:
        """Whether the driver is to be gone, because a person has the pipeline stopped: the task has done its work."""
        order = self._drivers.order() if self._drivers is not None else None
        if order is None or not order.stops:
            return False
        self.log.info("%s was %s. %s", self.pipeline, order, order.repair)
        return True

    def on_kill(self) -> None:
        """End the driver: called when a person marks or clears the task while it is not deferred yet.

        The task's process has 5 s from here on, so the driver is told to end and not waited for.
        """
        self._was_killed = True
        if self._hook is not None and self._hook._submit_sp is not None and self._hook._submit_sp.poll() is None:
            self._hook._submit_sp.kill()
        if self._drivers is not None and self._driver is not None:
            self.log.info("ending driver %s", self._driver)
            self._drivers.master.kill(self._driver)

    def _open(self) -> PipelineDrivers:
        from streamops.adapters.pipelines.drivers import PipelineDrivers

        self._drivers = PipelineDrivers.of(self.pipeline)
        return self._drivers

    def _follow(self, context: Context, drivers: PipelineDrivers, driver: str) -> NoReturn:
        """Wait until a driver's job has started, then defer until it is gone."""
        self._driver = driver
        started = drivers.wait_until_started(
            driver, owner_of(context), say=self._say, check=self._stop_here_if_killed
        )
        if started != driver:
            self._remember(context, started)
        note_started(context, NEVER_EXPIRE)
        self.defer(
            trigger=DriverTrigger(started, list(drivers.cluster.rest), self.poll_s, self.forgotten_after_s),
            method_name="after_driver",
            timeout=None,  # a deferral that times out leaves its driver behind
        )

    def _driver_to_go_on_with(self, context: Context) -> str | None:
        """The driver of an earlier try, when there is one that lives; ends drivers of runs that are over.

        Leaves in `_supersedes` what the next driver may take the lease from.
        """
        from streamops.adapters.airflow.runs import is_owner_alive

        assert self._drivers is not None
        prior = context["task_state_store"].get(self.external_id_key)
        plan = self._drivers.plan_takeover(
            owner_of(context),
            prior=str(prior) if prior else None,
            is_owner_alive=is_owner_alive,
            say=self._say,
            check=self._stop_here_if_killed,
        )
        self._supersedes = plan.supersedes
        if plan.adopt is not None:
            self.log.info("driver %s of an earlier try is running; going on with it", plan.adopt)
            self._remember(context, plan.adopt)
        return plan.adopt

    def _submitted(self, context: Context) -> str:
        """The id of a driver that is submitted now."""
        from streamops.adapters.spark.submission import submit_environment

        assert self._drivers is not None
        if (release := self._drivers.release()) is not None:
            self.log.warning("not what is deployed is started: %s", release)
        job, master = self._drivers.to_submit(self._drivers.submission(owner_of(context), self._supersedes))
        self._hook = StreamingSubmitHook.of(
            job,
            master=master,
            conn_id=self._drivers.pipeline.connections.spark,
            on_driver=lambda driver: self._remember(context, driver),
        )
        driver = self._hook.submit(job.application, env=submit_environment())
        assert driver is not None  # the hook raises when spark-submit named none
        return driver

    def _remember(self, context: Context, driver: str) -> None:
        self._driver = driver
        # A run may well last for longer than the 30 days after which Airflow forgets what a task stored.
        context["task_state_store"].set(self.external_id_key, driver, retention=NEVER_EXPIRE)
        self._stop_here_if_killed()

    def _wait_after_failed_runs(self, context: Context) -> None:
        """Put off the first try of a scheduled run that follows runs which failed soon after they started."""
        from streamops.adapters.airflow.runs import past_runs
        from streamops.running.run_backoff import not_before

        ti, run = context["ti"], context["dag_run"]
        if ti.try_number > 1 or not _is_scheduled(context):
            return
        until = not_before(past_runs(run.dag_id, run.logical_date))
        if until is not None and until > datetime.now(UTC):
            self.log.warning("the last runs failed soon after they started; trying again at %s", until.isoformat())
            raise AirflowRescheduleException(until)  # type: ignore[no-untyped-call]

    def _stop_here_if_killed(self) -> None:
        if self._was_killed:
            if self._drivers is not None and self._driver is not None:
                self._drivers.master.kill(self._driver)
            raise AirflowException("the task was stopped by a person, and its driver with it")

    def _say(self, text: str) -> None:
        self.log.info("%s", text)

    def _raise(self, error: StreamopsError) -> NoReturn:
        """In Airflow's terms: a further try where that can help, failed at once where it cannot."""
        raise (AirflowException if error.retryable else AirflowFailException)(str(error)) from error


def owner_of(context: Context) -> Owner:
    """The task that runs, as the owner of its driver."""
    ti = context["ti"]
    return Owner(OwnerKind.AIRFLOW, ti.dag_id, ti.run_id, ti.task_id, ti.try_number)


def _is_scheduled(context: Context) -> bool:
    """Whether the schedule made the run. A task's `run_type` is an enumeration whose text is `DagRunType.SCHEDULED`."""
    return bool(context["dag_run"].run_type == "scheduled")
