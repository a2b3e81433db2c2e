"""A driver that dies again and again: what each process finds of those before it, and that it waits."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from hadoop_files import HadoopFiles
from job import Job, has_jvm
from streamops.errors import StopOrderedError
from streamops.state import crash_loop, orders
from streamops.state.job_spec import JobSpec
from streamops.state.orders import Order, Wish


def started(spark: SparkSession, spec: JobSpec) -> Job:
    """One more process of the driver, with the lease."""
    job = Job(spark, spec, "driver-1")
    held = job.take_lease(lambda _lost: None)
    held.end()
    return job


def test_each_process_counts_those_before_it_and_waits(
    spark: SparkSession, folder_spec: Callable[..., JobSpec], files: HadoopFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crash_loop, "FIRST_WAIT_S", 2.0)
    spec = folder_spec("folder_stream")
    started(spark, spec).crashed(RuntimeError("no space left"))
    second = started(spark, spec)
    assert [crash.error for crash in second.record.crashes] == ["RuntimeError: no space left"]
    third = started(spark, spec)
    assert [crash.error for crash in third.record.crashes] == ["RuntimeError: no space left", None], "it was killed"
    third.crashed(RuntimeError("no space left"))

    began = time.monotonic()
    fourth = started(spark, spec)
    assert time.monotonic() - began >= 2.0
    assert len(fourth.record.crashes) == 3
    assert not any(crash.has_progressed for crash in fourth.record.crashes)

    order = Order("p", 1, Wish.STOP, "alice@shell", "2026-11-20T03:00:00.000+00:00")
    files.write_new(orders.path(1), order.to_json())
    with pytest.raises(StopOrderedError):
        started(spark, spec)


def test_a_jvm_that_was_killed_is_gone() -> None:
    gateway = launch_gateway()
    with gateway.proc as process:
        assert has_jvm(gateway)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
        assert not has_jvm(gateway)
    gateway.shutdown()
