"""Pipelines over a folder on the whole stack: by their DAGs, counted to the last word, the driver killed meanwhile."""

from __future__ import annotations

import json
import sysconfig
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streamops.stack.stack import Stack
from streamops.state import batch_log

from .faults import Killer
from .running import state_of, stopped, wait_until

if TYPE_CHECKING:
    from .conftest import Airflow, Streamops

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SOURCES = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:80]


def put(folder: Path, numbers: range) -> None:
    """Some of the sources, each of which appears whole. Their own names may begin with `_`, which would hide them."""
    for number in numbers:
        aside = folder / f".{number}.part"
        aside.write_bytes(SOURCES[number].read_bytes())
        aside.rename(folder / f"{number}.txt")


def words(numbers: range) -> Counter[str]:
    lines = (line for number in numbers for line in SOURCES[number].read_bytes().splitlines())
    return Counter(word for line in lines for word in line.decode("utf-8").split(" ") if word)


@pytest.fixture
def incoming(stack: Stack) -> Path:
    """The folder that tests/pipelines.yaml names."""
    made = stack.settings.data / "incoming"
    made.mkdir(exist_ok=True)
    return made


@pytest.mark.long
def test_a_folder_is_counted_by_a_run_and_by_a_stream_whose_driver_is_killed(
    airflow_api: Airflow, stack: Stack, streamops: Streamops, incoming: Path
) -> None:
    put(incoming, range(40))
    run = airflow_api.trigger("batch_files_batch")
    assert airflow_api.wait_for_run("batch_files_batch", run, timeout_s=300) == "success"
    expected = sorted(words(range(40)).items(), key=lambda item: (-item[1], item[0]))[:10]
    shown = json.loads(streamops("counts", "files_batch", "--json").stdout)
    assert list(shown.items()) == expected
    streamops("verify", "files_batch")

    files = state_of(stack, "files_stream")
    airflow_api.trigger("stream_files_stream")
    wait_until(lambda: batch_log.read_head(files, 1) is not None, "the stream's first batch")
    put(incoming, range(40, 60))
    Killer(stack, "files_stream").driver()
    put(incoming, range(60, 80))
    expected_all = words(range(80))

    def counted() -> bool:
        return bool(json.loads(streamops("counts", "files_stream", "--json").stdout) == expected_all)

    wait_until(counted, "every file is counted once")
    streamops("verify", "files_stream")
    (status,) = json.loads(streamops("status", "files_stream", "--json").stdout)["pipelines"]
    assert (status["lag_records"], status["lag_unknown"]) == (None, "a folder has no offsets")
    stopped(airflow_api, "stream_files_stream")
