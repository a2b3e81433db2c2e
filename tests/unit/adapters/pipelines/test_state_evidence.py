"""What a state directory says for a recovery point; the files are real, on a local disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.pipelines.state_evidence import (
    LogPosition,
    checkpointed,
    log_position,
    sink_batch,
    stored,
    write_ahead_log,
)
from streamops.declared.pipeline import Pipeline
from streamops.errors import StateError
from streamops.points.recovery_points import WalExtent
from streamops.state import batch_log, generations, planned_batch
from streamops.state.batch_log import Entry
from streamops.state.generations import Generation
from streamops.state.offsets import OffsetRange, TopicPartition
from streamops.state.planned_batch import PlannedBatch

P0, P1 = TopicPartition("lines", 0), TopicPartition("lines", 1)
AT = "2026-11-20T03:00:00+00:00"


@pytest.fixture
def files(tmp_path: Path) -> StateFiles:
    """A generation that begins at 5 and 0, with two batches."""
    made = StateFiles(f"file://{tmp_path}")
    made.write_new(generations.path(2), Generation("lines", 2, "direct", {P0: 5, P1: 0}, "test", AT).to_json())
    for batch, (first, until) in enumerate(((5, 8), (8, 10))):
        ranges = (OffsetRange("lines", 0, first, until), OffsetRange("lines", 1, 0, 0))
        entry = Entry("lines", 2, batch, ranges, 3, f"generation=2/batch={batch}", 1, "driver-1", 1, AT, AT, 5)
        made.write_new(batch_log.entry_path(2, batch), entry.to_json())
    return made


def pipeline(**given: Any) -> Pipeline:
    return Pipeline.model_validate({"name": "lines", "topics": ["lines"], "transform": "word_count",
                                    "sink": {"type": "parquet"}, **given})


RECEIVER = pipeline(approach="receiver")


def test_where_the_batch_log_stands(files: StateFiles, tmp_path: Path) -> None:
    found = log_position(files)
    assert (found.processed, found.settled) == ({P0: 10, P1: 0}, {P0: 8, P1: 0})
    nothing = log_position(StateFiles(f"file://{tmp_path}/nothing"))
    assert (nothing.generation, nothing.processed, nothing.settled) == (None, {}, {})
    files.write_new(generations.path(3), Generation("lines", 3, "direct", {P0: 7, P1: 0}, "rewind", AT).to_json())
    assert log_position(files).settled == {P0: 7, P1: 0}


def test_the_last_batch_of_a_checkpoint(files: StateFiles) -> None:
    at = log_position(files)
    assert checkpointed(files, "direct", at).reason == "the checkpoint names no batch yet"
    for batch, until in ((9, 9), (10, 12)):
        files.write_new(f"checkpoint/000002/offsets/{batch}", f'v1\n{{}}\n{{"lines":{{"0":{until},"1":0}}}}')
    found = checkpointed(files, "direct", at)
    assert (found.batch, found.ends) == (10, {P0: 12, P1: 0})
    files.write_new("checkpoint/000002/offsets/11", "v1\n")
    with pytest.raises(StateError, match="offsets/11"):
        checkpointed(files, "direct", at)


def test_the_planned_batch_of_a_receiver_job(files: StateFiles) -> None:
    at = log_position(files)
    assert "no batch is planned" in checkpointed(files, "receiver", at).reason
    files.write_new(planned_batch.path(2, 2), PlannedBatch(2, 2, 1, (OffsetRange("lines", 0, 10, 14),)).to_json())
    found = checkpointed(files, "receiver", at)
    assert (found.batch, found.ends) == (2, {P0: 14})


def test_how_far_the_sink_is(files: StateFiles, tmp_path: Path) -> None:
    at = log_position(files)
    assert sink_batch(files, "console", at) == (None, "the sink console keeps nothing")
    assert sink_batch(files, "parquet", at) == (None, "the batch log has batch 1, and its output is not there")
    files.write_new("output/generation=2/batch=1/part-0.parquet", "")
    assert sink_batch(files, "parquet", at) == (1, "")
    files.write_new("output/generation=2/batch=2/part-0.parquet", "")
    assert sink_batch(files, "parquet", at) == (2, "")
    begun = LogPosition(at.generation, None)
    assert sink_batch(files, "parquet", begun) == (None, "no batch is in the sink yet")
    assert sink_batch(files, "parquet", LogPosition(None, None))[0] is None


def test_files_and_bytes_of_the_write_ahead_log(files: StateFiles) -> None:
    at = log_position(files)
    assert "direct job" in write_ahead_log(files, pipeline(), at)[1]
    assert "write_ahead_log: false" in write_ahead_log(files, pipeline(
        approach="receiver", receiver={"write_ahead_log": False}), at)[1]
    assert write_ahead_log(files, RECEIVER, at) == (WalExtent(0, 0), "")
    for path, text in (("000001-001/receivedData/0/log-1-2", "four"), ("000002-001/receivedData/0/log-3-4", "seven77"),
                       ("000002-001/receivedData/1/log-3-4", "x"), ("000002-001/receivedBlockMetadata/log-3-4", "yy"),
                       ("000002-001/receivedData/1/.log-3-4.crc", "checksum"), ("000002-001/written_by.json", "{}")):
        files.write_new(f"checkpoint/000002/{path}", text)
    assert write_ahead_log(files, RECEIVER, at) == (WalExtent(4, 14), "")


def test_what_is_stored_and_not_processed() -> None:
    assert stored({P0: 10, P1: 5}, {P0: 14, P1: 5}) == (OffsetRange("lines", 0, 10, 14),)
    assert stored({P0: 10}, {P0: 9, P1: 5}) == ()


def test_sizes_come_from_one_listing(files: StateFiles) -> None:
    assert files.sizes("batch_log/000009") == {}
    sizes = files.sizes("batch_log/000002")
    assert sizes == {name: files.size(f"batch_log/000002/{name}") for name in files.names("batch_log/000002")}
    assert json.loads(files.read("batch_log/000002/000000000000.json") or "")["batch"] == 0
