"""What the runbook offset_out_of_range makes of receivers: their write-ahead log may hold what retention has taken."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from kafka import TopicPartition as At

from streamops.adapters.pipelines.files import declared
from streamops.adapters.pipelines.snapshot_reader import SnapshotReader
from streamops.errors import DataLossError, LeaseLostError
from streamops.runbooks import loss_actions
from streamops.runbooks.case import Case
from streamops.runbooks.offset_out_of_range import RUNBOOK
from streamops.runbooks.recommendation import Recommendation
from streamops.settings import Settings
from streamops.state import generations
from streamops.state.offsets import OffsetRange, TopicPartition

from .observing import until
from .test_receiver_logs import Gate
from .test_restored_streams import Streamed, streamed

__all__ = ["streamed"]


def case_of(streamed: Streamed) -> Case:
    file = declared()
    return Case(file, file.pipeline(streamed.name), Settings.load(), "the test", print)


def recommended(streamed: Streamed) -> Recommendation:
    return RUNBOOK.recommend(RUNBOOK.read(case_of(streamed)))


def held(streamed: Streamed) -> int | None:
    """Offsets that are in the write-ahead log and not processed."""
    with SnapshotReader() as reader:
        wal = reader.take(declared().pipeline(streamed.name)).wal
    return wal.offsets if wal is not None else None


def receive_without_processing(streamed: Streamed, count: int) -> None:
    """Leave records in the write-ahead log and in no batch, and a driver that was ended."""
    assert streamed.running is not None
    with pytest.MonkeyPatch.context() as patch:
        gate = Gate.shut(patch)
        streamed.send(count)
        until(lambda: held(streamed) == count, "everything is stored and committed")
        streamed.running.stream.stop_with(LeaseLostError("the test stops it"))
        gate.opened.set()
        streamed.stop()


@pytest.mark.parametrize("streamed", ["receiver"], indirect=True)
@pytest.mark.long
def test_the_log_comes_first_and_only_what_it_lacks_is_lost(streamed: Streamed) -> None:
    at = TopicPartition(streamed.topic, 0)
    streamed.start()
    streamed.send(20)
    streamed.wait_until_caught_up()
    receive_without_processing(streamed, 30)
    streamed.topics.admin.delete_records({At(*at): 40})
    found = recommended(streamed)
    assert found.what == f"start {streamed.name}"
    assert "the write-ahead log holds 20 of the records that Kafka lost" in found.reason
    streamed.start()
    streamed.wait_until_caught_up()
    streamed.stop()
    assert sum(streamed.held().values()) == 50

    streamed.send(10)
    streamed.topics.admin.delete_records({At(*at): 55})
    streamed.start()
    assert streamed.running is not None
    lost = streamed.running.join()
    assert isinstance(lost, DataLossError)
    job = streamed.running.job  # as the entry point leaves it behind
    job.record = replace(job.record, stopped_at=datetime.now(UTC).isoformat(), stop_kind=lost.kind, reason=lost.found)
    job._write_record()
    streamed.stop()
    found = recommended(streamed)
    assert found.data["offsets"] == {streamed.topic: {"0": 55}}, "its receivers have stored and committed above the gap"
    loss_actions.restore(case_of(streamed), {at: 55})
    restored = generations.read(streamed.files, 2)
    assert restored is not None
    assert restored.restored is not None
    assert restored.restored.lost == (OffsetRange(streamed.topic, 0, 50, 55),)
    streamed.start()
    streamed.wait_until_caught_up()
    streamed.stop()
    assert streamed.positions()[at] == 60
    assert sum(streamed.held().values()) == 55
