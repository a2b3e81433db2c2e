"""A pipeline's state directory in memory, as drivers write it, and the ground on which cleanup judges it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, BinaryIO

from streamops.cleaning import ground as cleanup_state
from streamops.cleaning.cleanup import Found, Item
from streamops.cleaning.ground import Ground, KafkaNow, KeptPoint
from streamops.cleaning.judge import Judge
from streamops.cleaning.paths import Root, RootKind
from streamops.declared.pipeline import Cleanup
from streamops.errors import StateError
from streamops.state import batch_log, generations, lease, planned_batch
from streamops.state.batch_log import Entry
from streamops.state.generations import Generation, Restored
from streamops.state.lease import Beat, JobState, Lease, Owner, OwnerKind
from streamops.state.offsets import OffsetRange, Offsets, TopicPartition
from streamops.state.planned_batch import PlannedBatch
from streamops.state.superseded import NOTHING, Superseded

from .segments import segment

#: The moment of judging, and that of everything that was written, a week before.
NOW_MS = 1_795_000_000_000
WRITTEN_MS = NOW_MS - 7 * 86_400_000
P0, P1 = TopicPartition("lines", 0), TopicPartition("lines", 1)
ROOT = Root(RootKind.STATE, "file:///var/streams/orders", "/var/streams/orders", "orders")
TOPIC_ID = "Zk0aWq1mTn2-iH4o7cXw9g"
KAFKA = KafkaNow({"lines": TOPIC_ID}, {P0: 0, P1: 0})


def iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def span(first: int, until: int, at: TopicPartition = P0) -> OffsetRange:
    return OffsetRange(*at, first, until)


def point(generation: int = 1, **changes: Any) -> KeptPoint:
    """A point that was taken with nothing in the log: it shows which topic it was, and needs nothing."""
    plain = KeptPoint(generation, generation, 0, {P0: 0}, {"lines": TOPIC_ID}, (), taken_ms=WRITTEN_MS)
    return replace(plain, **changes)


class StateDirectory:
    """Files by their paths; `modified_ms` of those that are not of WRITTEN_MS."""

    def __init__(self, pipeline: str = "orders") -> None:
        self.pipeline = pipeline
        self.files: dict[str, bytes] = {}
        self.modified_ms: dict[str, int] = {}
        self.links: set[str] = set()

    def read(self, path: str) -> str | None:
        found = self.files.get(path)
        return None if found is None else found.decode()

    def open(self, path: str) -> BinaryIO | None:
        found = self.files.get(path)
        return None if found is None else BytesIO(found)

    def names(self, directory: str) -> list[str]:
        if directory in self.files:
            raise StateError(f"{directory} is no directory", "Look at it.")
        below = f"{directory}/"
        return sorted({path[len(below):].split("/")[0] for path in self.files if path.startswith(below)})

    def put(self, path: str, content: bytes | str = b"x", modified_ms: int | None = None) -> str:
        self.files[path] = content.encode() if isinstance(content, str) else content
        if modified_ms is not None:
            self.modified_ms[path] = modified_ms
        return path

    def generation(self, number: int, start: Offsets, *, approach: str = "receiver", superseded: Superseded = NOTHING,
                   restored: Restored | None = None, pipeline: str | None = None) -> None:
        opened = Generation(
            pipeline or self.pipeline, number, approach, start, "a test", iso(WRITTEN_MS), superseded, restored)
        self.put(generations.path(number), opened.to_json())

    def batch(self, generation: int, number: int, *taken: OffsetRange, lost: Iterable[OffsetRange] = ()) -> str:
        entry = Entry(self.pipeline, generation, number, taken, 1, None, 1, "driver-1", 1, iso(WRITTEN_MS),
                      iso(WRITTEN_MS), 1, tuple(lost))
        return self.put(batch_log.entry_path(generation, number), entry.to_json())

    def roll_up(self, generation: int, first: int, last: int) -> str:
        texts = [self.files[batch_log.entry_path(generation, batch)].decode() for batch in range(first, last + 1)]
        return self.put(batch_log.roll_up_path(generation, first, last), "".join(f"{text}\n" for text in texts))

    def plan(self, generation: int, batch: int, *ranges: OffsetRange) -> str:
        return self.put(planned_batch.path(generation, batch), PlannedBatch(generation, batch, 1, ranges).to_json())

    def lease(self, epoch: int, at_ms: int = WRITTEN_MS) -> None:
        owner = Owner(OwnerKind.SHELL)
        self.put(lease.path(epoch), Lease(self.pipeline, epoch, "driver-1", owner, "h", 1, iso(at_ms)).to_json())
        self.put(lease.beat_path(epoch), Beat(epoch, iso(at_ms), JobState.RUNNING).to_json())

    def log(self, start: str, *spans: OffsetRange, generation: int = 1, began: int = 1, stream: int = 0,
            content: bytes | None = None) -> str:
        """A segment of a start's receiver, with a chunk for each span."""
        path = f"checkpoint/{generation:06d}/{start}/receivedData/{stream}/log-{began}000-{began + 60}000"
        return self.put(path, segment(*[[each] for each in spans]) if content is None else content)

    def checkpointed(self, generation: int, batch: int, ends: dict[str, dict[str, int]]) -> str:
        """`offsets/<batch>` of a direct job."""
        return self.put(f"checkpoint/{generation:06d}/offsets/{batch}", f"v1\n{{}}\n{json.dumps(ends)}")

    def found(self, path: str) -> Found:
        modified_ms = self.modified_ms.get(path, WRITTEN_MS)
        return Found(path, len(self.files[path]), modified_ms, path in self.links)

    def ground(self, **changes: Any) -> Ground:
        ground = Ground(ROOT, (ROOT,), "orders", Cleanup(), NOW_MS, cleanup_state.observe(self), False, (), KAFKA)
        return replace(ground, **changes)

    def judged(self, path: str, **changes: Any) -> Item:
        return Judge(self.ground(**changes), self).item(self.found(path))

    def plan_all(self, **changes: Any) -> dict[str, Item]:
        judge = Judge(self.ground(**changes), self)
        return {item.path: item for item in judge.items(map(self.found, sorted(self.files)))}


def receiving() -> StateDirectory:
    """A receiver pipeline that has processed partition 0 up to 100, with two segments in the log of its start."""
    made = StateDirectory()
    made.generation(1, {P0: 0})
    made.batch(1, 0, span(0, 100))
    made.lease(1)
    made.log("000001-001", span(0, 60), span(60, 100), began=1)
    made.log("000001-001", span(100, 130), began=70)
    return made


#: The two segments of `receiving`: one that may go, and the one that its receiver writes to.
PROCESSED = "checkpoint/000001/000001-001/receivedData/0/log-1000-61000"
NEWEST = "checkpoint/000001/000001-001/receivedData/0/log-70000-130000"


def restored() -> StateDirectory:
    """The same after a new generation, which began where the first one's batch log ends, and has gone on to 200."""
    made = receiving()
    made.generation(2, {P0: 100})
    made.batch(2, 0, span(100, 200))
    made.lease(2)
    made.put("checkpoint/000001/000001-001/written_by.json")
    return made
