"""Watching a pipeline around a fault, by a thread: batches as they come, Kafka's latest offsets, signs of the fault.

It sees what `streamops status` and Airflow see: the state directory, the Spark master, the brokers. One clock, this
process's, times everything.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from streamops.adapters.connections import connection
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.kafka.broker import Broker
from streamops.adapters.pipelines.drivers import PipelineDrivers
from streamops.declared.pipeline import Pipeline
from streamops.drills.recovery_times import SeenBatch, SeenLatest, Sign, Watched
from streamops.errors import StreamopsError
from streamops.running.driver_status import Standing
from streamops.settings import Settings
from streamops.state import batch_log, evidence, generations
from streamops.state.lease import TTL_S
from streamops.state.offsets import Offsets, TopicPartition, advance

log = logging.getLogger("streamops.drills")

#: Between two looks at the batch log: a tenth of the shortest interval that is of use.
_LOOK_S = 0.2
#: Between two listings of the batch log, while the next batch is awaited.
_LIST_S = 2.0
#: Between two questions to a master or to brokers.
_ASK_S = 0.5
_ASK_WITHIN_S = 3.0
#: Records that wait for so long without a batch are a sign: several intervals, and more than a batch takes on two busy
#: cores.
_LATE_INTERVALS, _LATE_S = 3, 5.0


class Watch:
    """From `with` on; `since` is told when the fault is inflicted, and times count from there."""

    def __init__(self, pipeline: Pipeline, settings: Settings) -> None:
        self._pipeline = pipeline
        self._drivers = PipelineDrivers(pipeline, settings)
        self._files: StateFiles = self._drivers.files
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, args=(look, every_s), daemon=True, name=f"watch-{name}")
                         for name, look, every_s in (("batches", self._look_at_batches, _LOOK_S),
                                                     ("lateness", self._look_for_lateness, _ASK_S),
                                                     ("latest", self._look_at_kafka, _ASK_S),
                                                     ("signs", self._look_for_signs, _ASK_S))]
        self._batches: list[SeenBatch] = []
        self._latest: list[SeenLatest] = []
        self._signs: list[Sign] = []
        self._beat: tuple[object, float] | None = None
        self._epoch: int | None = None
        self._executors: frozenset[str] = frozenset()
        self._broker: Broker | None = None
        self._late: SeenBatch | None = None
        self._known = 0
        self._listed_at_s = 0.0

    def __enter__(self) -> Self:
        with contextlib.suppress(StreamopsError):
            self._look_at_batches()
        self._known = len(self._batches)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(timeout=2 * _ASK_WITHIN_S)

    @property
    def last(self) -> SeenBatch | None:
        """The last batch that was seen."""
        return self._batches[-1] if self._batches else None

    @property
    def count(self) -> int:
        """How many batches were logged since it began to watch."""
        return max(0, len(self._batches) - self._known)

    def since(self, inflicted_s: float) -> Watched:
        """What was seen, in seconds since `inflicted_s` of `time.monotonic`."""
        batches = [each._replace(at_s=each.at_s - inflicted_s) for each in self._batches]
        before = [each for each in batches if each.at_s < 0][-1:]
        return Watched(
            [*before, *(each for each in batches if each.at_s >= 0)],
            [each._replace(at_s=each.at_s - inflicted_s) for each in self._latest],
            [each._replace(at_s=each.at_s - inflicted_s) for each in self._signs if each.at_s >= inflicted_s],
        )

    def _repeat(self, look: Callable[[], None], every_s: float) -> None:
        while not self._ended.wait(every_s):
            try:
                look()
            except (StreamopsError, OSError) as error:
                # What a server that was hit does to whoever asks it; the next look tells more.
                log.debug("%s: %s", look.__name__, error)
            except Exception:
                log.warning("a look at %s failed", self._pipeline.name, exc_info=True)
        if look == self._look_at_kafka and self._broker is not None:
            self._broker.close()

    def _look_at_batches(self) -> None:
        last = self.last
        if last is not None:
            following = last.batch + 1
            found = self._files.read(batch_log.entry_path(last.generation, following))
            if found is None and (newest := self._newest_listed(last)) is not None:
                found = self._files.read(batch_log.entry_path(last.generation, newest))
            if found is not None:
                entry = batch_log.Entry.from_json(found)
                self._batches.append(SeenBatch(time.monotonic(), entry.generation, entry.batch,
                                               advance(last.ends, entry.ranges)))
                return
        current = generations.current(self._files)
        if current is None or (last is not None and current.number == last.generation):
            return
        head = batch_log.read_head(self._files, current.number)
        if head is not None:
            ends: Offsets = {TopicPartition(each.topic, each.partition): each.until for each in head.ranges}
            self._batches.append(SeenBatch(time.monotonic(), head.generation, head.batch, ends))

    def _newest_listed(self, last: SeenBatch) -> int | None:
        """The newest batch behind one that is missing: a job that skips batches is what a drill is there to find."""
        now_s = time.monotonic()
        if now_s - self._listed_at_s < _LIST_S:
            return None
        self._listed_at_s = now_s
        names = self._files.names(batch_log.directory(last.generation))
        numbers = [int(name.removesuffix(".json")) for name in names if name[:1].isdigit() and "-" not in name]
        return max(numbers, default=0) if max(numbers, default=0) > last.batch + 1 else None

    def _look_for_lateness(self) -> None:
        """What shows that a driver or an executor stands still: nobody is told, and no batch comes."""
        last, late_s = self.last, max(_LATE_S, _LATE_INTERVALS * self._pipeline.interval_s)
        now_s = time.monotonic()
        if last is None or last is self._late or now_s - last.at_s < late_s:
            return
        before = [seen for seen in list(self._latest) if seen.at_s <= now_s - late_s][-1:]
        if before and any(last.ends.get(at, 0) < offset for at, offset in before[0].latest.items()):
            self._late = last  # once for each batch that does not come
            self._signs.append(Sign(now_s, f"records wait, and no batch has come for {late_s:g} s"))

    def _look_at_kafka(self) -> None:
        began_s = time.monotonic()
        try:
            if self._broker is None:
                self._broker = Broker.connect(connection(self._pipeline.connections.kafka), timeout_s=_ASK_WITHIN_S)
            latest = self._broker.latest_offsets(self._pipeline.topics)
            self._latest.append(SeenLatest(began_s, latest))
        except StreamopsError as error:
            self._signs.append(Sign(time.monotonic(), f"Kafka: {error.found[:200]}"))
            if self._broker is not None:
                with contextlib.suppress(Exception):
                    self._broker.close()
            self._broker = None

    def _look_for_signs(self) -> None:
        held = evidence.holder(self._files)
        if held is None:
            return
        now_s = time.monotonic()
        if self._epoch is not None and held.epoch != self._epoch:
            self._signs.append(Sign(now_s, f"driver {held.driver} took the lease ({held.epoch})"))
        self._epoch = held.epoch
        beat = evidence.beat(self._files, held.epoch)
        if self._beat is None or beat != self._beat[0]:
            self._beat = (beat, now_s)
        elif now_s - self._beat[1] > TTL_S / 2:
            self._signs.append(Sign(now_s, f"driver {held.driver} shows no life"))
        executors = self._drivers.master.executors(f"streamops {self._pipeline.name}")
        if executors is None:
            self._signs.append(Sign(now_s, "no Spark master's page answers"))
        else:
            if self._executors - executors:
                self._signs.append(Sign(now_s, f"{len(self._executors - executors)} executors are gone"))
            self._executors = executors
        seen = self._drivers.master.look(held.driver)
        if seen.standing is not Standing.LIVING or seen.state != "RUNNING":
            self._signs.append(Sign(now_s, f"Spark's master: driver {held.driver} is {seen}"))
