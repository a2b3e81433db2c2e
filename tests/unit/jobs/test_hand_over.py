"""Where a job of the other approach goes on, by the state directory and what Kafka still has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from hand_over import start_after
from streamops.adapters.files.state_files import StateFiles
from streamops.errors import ConfigurationError, DataLossError
from streamops.state import batch_log, generations
from streamops.state.batch_log import Entry
from streamops.state.generations import Generation
from streamops.state.job_spec import FolderSpec, JobSpec
from streamops.state.lease import Owner, OwnerKind
from streamops.state.offsets import OffsetRange, Offsets, TopicPartition

AT = "2026-11-20T03:00:00+00:00"
P0, P1 = TopicPartition("lines", 0), TopicPartition("lines", 1)
RECEIVED = Generation("lines", 1, "receiver", {P0: 0, P1: 5}, "test", AT)
SPEC = JobSpec("lines", "direct", ("lines",), {}, "file:///s", "file:///s/output", "word_count", "parquet", 1,
               "earliest", "stop", "fail", Owner(OwnerKind.SHELL))


@dataclass
class Positions:
    """Kafka, as far as retention has left it."""

    first: Offsets

    def earliest(self, partitions: Iterable[TopicPartition]) -> Offsets:
        return {at: self.first.get(at, 0) for at in partitions}


@pytest.fixture
def files(tmp_path: Path) -> StateFiles:
    """Receivers processed up to 10 and 7, and have left a write-ahead log."""
    made = StateFiles(tmp_path.as_uri())
    ranges = (OffsetRange("lines", 0, 0, 10), OffsetRange("lines", 1, 5, 7))
    entry = Entry("lines", 1, 0, ranges, 1, None, 1, "driver-1", 1, AT, AT, 5)
    made.write_new(batch_log.entry_path(1, 0), entry.to_json())
    made.write_new(f"{generations.checkpoint_path(1)}/000001-001/written_by.json", "{}")
    return made


def start(files: StateFiles, generation: Generation = RECEIVED, spec: JobSpec = SPEC, **first: int) -> Offsets:
    taken = {P0: first.get("p0", 0), P1: first.get("p1", 0)}
    return start_after(generation, spec, cast("Any", files), cast("Any", Positions(taken)))


def test_it_goes_on_where_the_batch_log_ends(files: StateFiles) -> None:
    assert start(files) == {P0: 10, P1: 7}
    assert start(files, p0=10, p1=7) == {P0: 10, P1: 7}, "retention has taken nothing but what is processed"
    assert start(files, replace(RECEIVED, number=2)) == {P0: 0, P1: 5}, "a generation without a batch"
    assert start(files, spec=replace(SPEC, topics=("others",))) == {}, "a topic that is not read any more"


def test_what_the_write_ahead_log_may_have_alone_is_not_passed_over(files: StateFiles) -> None:
    with pytest.raises(DataLossError, match=r"lines-1 begins at 8, after 7(.|\n)*a receiver pipeline again"):
        start(files, p1=8)
    with pytest.raises(DataLossError):
        start(files, spec=replace(SPEC, on_data_loss="continue"), p1=8)
    direct = replace(RECEIVED, approach="direct")
    assert start(files, direct, replace(SPEC, approach="receiver"), p1=8) == {P0: 10, P1: 7}, "the job's policy decides"


def test_a_folder_has_no_offsets_to_go_on_from(files: StateFiles) -> None:
    with pytest.raises(ConfigurationError, match="no offsets in common"):
        start(files, replace(RECEIVED, approach="folder_stream"))
    with pytest.raises(ConfigurationError, match="Make it a receiver pipeline again"):
        start(files, spec=replace(SPEC, approach="folder_stream", folder=FolderSpec("file:///in")))
