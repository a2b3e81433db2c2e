"""Drills on the whole stack: what `streamops drill run` and the DAG `drill_recovery` do to pipelines, and find out.

    STREAMOPS_TEST_DRILLS=10 STREAMOPS_TEST_SEED=7 pytest tests/integration/test_drills.py -k matrix

repeats each fault of the matrix that often (`make drills`), in an order and at moments that the seed repeats.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from streamops.drills import Drill, DrillState
from streamops.stack import process
from streamops.stack.stack import Stack
from streamops.verdict import Kind, Outcome

from .running import state_of, wait_until

if TYPE_CHECKING:
    from .conftest import Airflow, Streamops

Say = Callable[[str], None]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]

SEED = int(os.environ.get("STREAMOPS_TEST_SEED", "0")) or random.randrange(1, 10**6)
REPETITIONS = int(os.environ.get("STREAMOPS_TEST_DRILLS", "1"))
#: What `make test` inflicts on the direct canary.
SOME = ("driver", "executor", "broker", "scheduler")
#: What a loaded machine with two cores may need beyond the objectives, which `make drills` holds it to.
PATIENCE_S = 90.0


def drilled(streamops: Streamops, say: Say, *arguments: str, code: int = 0) -> list[Drill]:
    """The drills of one command, as they are stored."""
    ran = streamops("drill", "run", *arguments, "--seed", str(SEED), "--yes", "--json", check=False)
    for line in ran.stderr.splitlines():
        say(line[:400])
    assert ran.returncode == code, f"seed {SEED}: {ran.returncode}: {ran.stdout}{ran.stderr}"
    return [Drill.from_json(line) for line in ran.stdout.splitlines()]


def options(faults: tuple[str, ...]) -> list[str]:
    return [part for fault in faults for part in ("--fault", fault)]


def require_exact(drill: Drill) -> None:
    assert drill.verdict is not None, drill.error
    assert drill.verdict.outcome is Outcome.EXACT, drill.verdict.describe()
    assert drill.state is DrillState.PASSED, drill.error
    total = drill.verdict.total
    assert total.delivered >= total.acknowledged > 100, drill.verdict.describe()


def table(drills: list[Drill]) -> str:
    """Lost, doubled, reordered of each drill's records, and the times of each of its faults."""
    lines = [f"{'pipeline':18s}{'fault':22s}{'runs':>5s}{'lost':>6s}{'doubled':>9s}{'reordered':>11s}"
             f"{'detected':>10s}{'first batch':>13s}{'worst':>8s}{'caught up':>11s}{'longest gap':>13s}"]
    for drill in drills:
        assert drill.verdict is not None
        counts = [drill.verdict.count(kind) for kind in (Kind.LOST, Kind.DOUBLED, Kind.REORDERED)]
        for fault in sorted({f"{each.kind}:{each.mode}" for each in drill.faults}):
            times = [each.times for each in drill.faults if f"{each.kind}:{each.mode}" == fault]
            figures = [[value for one in times if (value := getattr(one, name)) is not None] for name in (
                "detected_s", "first_batch_s", "caught_up_s", "longest_gap_s")]
            detected, first, caught, gap = (f"{median(each):.1f}" if each else "-" for each in figures)
            lines.append(f"{drill.pipeline:18s}{fault:22s}{len(times):5d}{counts[0]:6d}{counts[1]:9d}{counts[2]:11d}"
                         f"{detected:>10s}{first:>13s}{max(figures[1], default=0):8.1f}{caught:>11s}{gap:>13s}")
    return "\n".join(lines)


def test_the_direct_canary_comes_back_from_each_fault_with_every_record(
    airflow_api: Airflow, stack: Stack, streamops: Streamops, say: Say
) -> None:
    """Driver, executor, broker, and Airflow's scheduler, whose loss interrupts nothing."""
    (drill,) = drilled(streamops, say, "canary_direct", *options(SOME))
    say(table([drill]))
    require_exact(drill)
    assert {each.kind for each in drill.faults} == set(SOME)
    for fault in drill.faults:
        assert fault.inflicted_at is not None, fault.kind
        assert fault.healed_at is not None, fault.kind
        assert fault.times.first_batch_s is not None, fault.kind
        assert fault.times.first_batch_s < PATIENCE_S, fault.kind
    airflow = next(each for each in drill.faults if each.kind == "scheduler")
    assert airflow.times.longest_gap_s is not None
    assert airflow.times.longest_gap_s < 10, "the job goes on as if nothing had happened"
    assert "nothing was left" in streamops("drill", "heal").stdout
    # It was started for the drill, and is stopped again.
    assert json.loads(streamops("status", "canary_direct", "--json").stdout)["pipelines"][0]["state"] == "stopped"
