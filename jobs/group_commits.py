"""The direct job's progress as offsets of a consumer group, so that every Kafka tool shows its lag.

They follow the batch log, which stays the authority: nothing ever reads them to go on. A commit that fails is a warning
in the driver's log and is made up for by the next one; no batch waits for it, let alone fails.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Protocol

from streamops.errors import StreamopsError
from streamops.state.offsets import Offsets, TopicPartition

log = logging.getLogger("streamops.group")

#: Seconds until what failed is tried again, where no batch ends before that.
RETRY_S = 10.0


class Groups(Protocol):
    """Where commits go: KafkaPositions."""

    def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Set a group's offsets. Raises StreamopsError."""


class GroupCommits:
    """Commits for one group, in a thread of its own. The group has no members: it is ours alone."""

    def __init__(self, groups: Groups, group: str, retry_s: float = RETRY_S) -> None:
        self._groups = groups
        self._group = group
        self._retry_s = retry_s
        self._offered = threading.Condition()
        self._wanted: Offsets = {}
        self._committed: Offsets = {}
        self._warned: str | None = None
        threading.Thread(target=self._run, name="group-commits", daemon=True).start()

    def offer(self, processed: Mapping[TopicPartition, int]) -> None:
        """Commit these offsets soon; of several offers for a partition, the last one. Returns at once."""
        with self._offered:
            self._wanted.update(processed)
            self._offered.notify()

    def _run(self) -> None:
        while True:
            with self._offered:
                self._offered.wait_for(lambda: self._wanted)
                wanted, self._wanted = self._wanted, {}
            # Each offset costs calls into the JVM, so only what moved is committed.
            moved = {at: offset for at, offset in wanted.items() if self._committed.get(at) != offset}
            if moved and not self._commit(moved):
                with self._offered:
                    self._offered.wait(self._retry_s)
                    self._wanted = {**moved, **self._wanted}

    def _commit(self, offsets: Offsets) -> bool:
        try:
            self._groups.commit(self._group, offsets)
        except Exception as error:  # noqa: BLE001  whatever it is, progress in Kafka is for people's eyes only
            said = error.found if isinstance(error, StreamopsError) else f"{type(error).__name__}: {error}"[:300]
            if said != self._warned:
                log.warning("the group %s does not show this job's progress: %s", self._group, said)
            self._warned = said
            return False
        if self._warned is not None:
            log.info("the group %s shows this job's progress again", self._group)
        self._warned = None
        self._committed.update(offsets)
        return True
