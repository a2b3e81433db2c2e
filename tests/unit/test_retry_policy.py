"""How often, and after how long, a job is started again."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction

from streamops import stream_dag
from streamops.retry_policy import UntilItRuns, note_started


class Store(dict[str, Any]):
    """What a task keeps over its tries, as Airflow hands it out."""

    def set(self, key: str, value: object, *, retention: object) -> None:  # noqa: ARG002
        self[key] = value


def context(try_number: int, store: Store) -> Any:
    return {"ti": SimpleNamespace(try_number=try_number), "task_state_store": store}


POLICY = UntilItRuns(stream_dag.MOST_IN_A_ROW, stream_dag.FIRST_DELAY, stream_dag.LONGEST_DELAY)


def test_a_job_that_never_runs_is_tried_for_half_an_hour() -> None:
    store = Store()
    decisions = [POLICY.evaluate(ValueError(), number, stream_dag.RETRIES, context(number, store))
                 for number in range(1, 10)]
    assert [each.action for each in decisions] == [RetryAction.RETRY] * 8 + [RetryAction.FAIL]
    delays = [each.retry_delay for each in decisions if each.retry_delay is not None]
    assert [delay.total_seconds() for delay in delays] == [10, 20, 40, 80, 160, 320, 600, 600]
    assert timedelta(minutes=25) < sum(delays, timedelta()) < timedelta(minutes=35)


@pytest.mark.parametrize("tries", [9, 500, 99_999])
def test_a_job_that_ran_is_started_again_soon_however_often_it_has_ended(tries: int) -> None:
    store = Store()
    note_started(context(tries, store), retention=None)
    decision = POLICY.evaluate(ValueError(), tries, stream_dag.RETRIES, context(tries, store))
    assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, stream_dag.FIRST_DELAY)
    failing = [POLICY.evaluate(ValueError(), tries + more, stream_dag.RETRIES, context(tries + more, store))
               for more in (1, 8, 9)]
    assert [each.action for each in failing] == [RetryAction.RETRY, RetryAction.RETRY, RetryAction.FAIL]


def test_airflow_alone_would_not_end_a_run_before() -> None:
    assert timedelta(days=100) < stream_dag.RETRIES * stream_dag.FIRST_DELAY
