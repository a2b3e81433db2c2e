"""Progress in a consumer group: the last offsets, once each, and never in a batch's way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

import pytest

from group_commits import GroupCommits
from streamops.errors import UnavailableError
from streamops.state.offsets import TopicPartition

P0, P1 = TopicPartition("lines", 0), TopicPartition("lines", 1)


class Recorded:
    """A group that notes its commits, waits when it is told to, and refuses when it is told to."""

    def __init__(self) -> None:
        self.commits: list[dict[TopicPartition, int]] = []
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.refuses: Exception | None = None

    def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        assert group == "lines_direct"
        self.goes_on.wait(30)
        if self.refuses is not None:
            raise self.refuses
        self.commits.append(dict(offsets))


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_offsets_that_moved_are_committed() -> None:
    group = Recorded()
    commits = GroupCommits(group, "lines_direct")
    commits.offer({P0: 5, P1: 7})
    wait_until(lambda: len(group.commits) == 1)
    commits.offer({P0: 9, P1: 7})
    wait_until(lambda: len(group.commits) == 2)
    commits.offer({P0: 2, P1: 7})  # a rewind
    wait_until(lambda: len(group.commits) == 3)
    assert group.commits == [{P0: 5, P1: 7}, {P0: 9}, {P0: 2}]


def test_a_batch_never_waits_and_what_was_overtaken_is_left_out() -> None:
    group = Recorded()
    group.goes_on.clear()
    commits = GroupCommits(group, "lines_direct")
    for offset in range(1000):
        commits.offer({P0: offset})
    group.goes_on.set()
    wait_until(lambda: bool(group.commits) and group.commits[-1] == {P0: 999})
    assert len(group.commits) <= 2


@pytest.mark.parametrize("error", [UnavailableError("GroupAuthorizationException: no", "x"), ValueError("odd")])
def test_a_refusal_is_told_once_and_made_up_for(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    group = Recorded()
    group.refuses = error
    commits = GroupCommits(group, "lines_direct", retry_s=0.01)
    with caplog.at_level(logging.INFO, "streamops.group"):
        commits.offer({P0: 5, P1: 1})
        wait_until(lambda: bool(caplog.records))
        commits.offer({P0: 6})
        time.sleep(0.1)
        group.refuses = None
        wait_until(lambda: len(caplog.records) == 2)
    assert group.commits == [{P0: 6, P1: 1}]
    assert str(error).splitlines()[0].split(":")[-1] in caplog.records[0].message
    assert "shows this job's progress again" in caplog.records[1].message
