"""When Airflow tries a task again: soon after a job that ran, and not after an error that stays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.retry_policy import (
    ExceptionRetryPolicy,
    RetryAction,
    RetryDecision,
    RetryPolicy,
    RetryRule,
)

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

#: Where a task notes the try under which its job has last come to run.
STARTED_TRY = "streamops_started_try"


def failing_at_once_on(*errors: type[Exception]) -> ExceptionRetryPolicy:
    """A task's `retry_policy`: these errors, and those derived from them, fail it; after others it is tried again."""
    return ExceptionRetryPolicy([RetryRule(exception=error, action=RetryAction.FAIL) for error in errors])


@dataclass(frozen=True)
class UntilItRuns(RetryPolicy):
    """A job is started again however often it has ended; what fails the task are tries in a row of which none ran.

    Airflow counts tries over the life of a run, which may be years. A try that follows a job which ran waits for
    `first_delay`, and each further one in a row twice as long, up to `longest_delay`.

    Args:
        most: how many tries in a row may fail before the last one, which fails the task.
    """

    most: int
    first_delay: timedelta
    longest_delay: timedelta

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None  # noqa: ARG002
    ) -> RetryDecision:
        """Airflow's question after a failure: whether to try again, and when."""
        failed = try_number - _started_try(context)
        if failed > self.most:
            return RetryDecision.fail(f"{failed} tries in a row brought no job to run")
        delay = min(self.first_delay * 2 ** max(0, failed - 1), self.longest_delay)
        return RetryDecision.retry(delay, f"try {failed} since a job ran" if failed else "the job had run")

    def serialize(self) -> dict[str, Any]:
        return {"__type": type(self).__name__, "most": self.most}


def note_started(context: Context, retention: Any) -> None:
    """Note that this try's job runs."""
    context["task_state_store"].set(STARTED_TRY, context["ti"].try_number, retention=retention)


def _started_try(context: Context | None) -> int:
    found = context["task_state_store"].get(STARTED_TRY) if context is not None else None
    return found if isinstance(found, int) else 0
