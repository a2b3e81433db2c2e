"""Which errors end a task at once: another try does not make them right."""

from __future__ import annotations

from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule


def failing_at_once_on(*errors: type[Exception]) -> ExceptionRetryPolicy:
    """A task's `retry_policy`: these errors, and those derived from them, fail it; after others it is tried again."""
    return ExceptionRetryPolicy([RetryRule(exception=error, action=RetryAction.FAIL) for error in errors])
