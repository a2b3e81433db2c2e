"""Records sent for a drill, each noted in the ledger before it is sent, and again when it is acknowledged.

Numbers are reserved in the ledger some seconds ahead, so that a kill leaves none that was sent and not noted; it leaves
some that were noted and never sent, which count as unknown and are found to be absent.

A producer that does not answer in time is put away (producer.py), with whatever it has open, and another one goes on.
What is put away is unknown and is never sent again, so nothing is doubled by it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from kafka import errors as kafka_errors

from streamops.adapters.connections import Connection
from streamops.adapters.drills import ledger_files
from streamops.adapters.drills.ledger_files import LedgerFile
from streamops.adapters.kafka.broker import Broker, short_error
from streamops.adapters.kafka.producer import (
    GRACE_S,
    MOST_OPEN_RECORDS,
    REFUSALS,
    end_producer,
    idempotent_producer,
    is_overdue,
)
from streamops.drills import ledger
from streamops.drills.ledger import VALUE_BYTES, Acknowledgement, Identity, Ledger, value_of
from streamops.errors import UnavailableError
from streamops.feed import Pace
from streamops.state.offsets import Offsets

if TYPE_CHECKING:
    from kafka.producer.future import FutureRecordMetadata

#: Seconds of records whose numbers are reserved at once: each costs a write to the disk, and a kill leaves so many
#: numbers that were never sent.
_RESERVED_S = 2.0
#: Seconds between two looks at what was acknowledged; a look writes one line a partition.
_LOOK_S = 0.1
#: Seconds between two tries to reach Kafka again.
_RECONNECT_S = 1.0


class DrillFeed:
    """Sends numbered records at a steady rate from a thread of its own, until it is closed.

        with DrillFeed.open(kafka, ["canary"], path, drill=key, rate=200) as feed:
            …                                   # faults
        ledger = ledger_files.read(path)        # also after a kill

    Record number s goes to partition s modulo their count. A broker that is away holds back only its own partitions,
    until MOST_OPEN_RECORDS wait for an answer. `failure` is why it stopped sending by itself, None while it did not.
    """

    def __init__(
        self, connect: Callable[[], Any], file: LedgerFile, path: Path, drill: str, start: Offsets, rate: float,
        value_bytes: int, delivery_timeout_s: float,
    ) -> None:
        self._connect, self._producer = connect, connect()
        self._file, self._path, self._drill = file, path, drill
        self._places = sorted(start)
        self._rate, self._value_bytes, self._delivery_timeout_s = rate, value_bytes, delivery_timeout_s
        self._open: list[deque[tuple[int, float, FutureRecordMetadata]]] = [deque() for _ in self._places]
        self._reserved = 0
        self._gave_up = False
        self._stop = threading.Event()
        self._give_up_at_s: float | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"feed of {drill}", daemon=True)
        self.sent = 0
        self.acknowledged = 0
        self.failure: Exception | None = None

    @classmethod
    def open(
        cls, connection: Connection, topics: Sequence[str], path: Path, *, drill: str, rate: float,
        value_bytes: int = VALUE_BYTES, delivery_timeout_s: float = 120.0,
    ) -> Self:
        """A feed into every partition of these topics, over a Kafka connection; `rate` in records a second.

        Raises ConfigurationError where a topic does not exist, UnavailableError where no broker answers, RefusedError
        where there is a ledger at `path` already.
        """
        with Broker.connect(connection) as broker:
            start, servers = broker.latest_offsets(topics), broker.servers
        opened_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        file = LedgerFile.create(path, ledger.header(drill, drill, opened_at, start, value_bytes))
        try:
            feed = cls(lambda: idempotent_producer(connection, servers, topics[0], delivery_timeout_s), file, path,
                       drill, start, rate, value_bytes, delivery_timeout_s)
        except BaseException:
            file.close()
            raise
        feed._thread.start()
        return feed

    @property
    def open_records(self) -> int:
        """Records that were sent and have no answer yet."""
        return sum(map(len, self._open))

    def close(self, timeout_s: float | None = None) -> Ledger:
        """Stop sending, wait for the answers, at most `timeout_s` (the delivery time-out by default); then the ledger.

        What has no answer by then is unknown. Closing twice is harmless.
        """
        if not self._closed:
            waited_s = self._delivery_timeout_s + GRACE_S if timeout_s is None else timeout_s
            self._give_up_at_s = time.monotonic() + waited_s
            self._stop.set()
            self._thread.join()
            self._closed = True
        return ledger_files.read(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
    ) -> None:
        self.close(None if kind is None else 5.0)

    # In the thread

    def _run(self) -> None:
        try:
            self._send_all()
            while self.open_records and (self._give_up_at_s is None or time.monotonic() < self._give_up_at_s):
                self._harvest()
                time.sleep(_LOOK_S)
        except Exception as error:  # noqa: BLE001  a full disk, for one: whoever runs the drill looks at `failure`
            self.failure = self.failure or error
        finally:
            self._end()

    def _send_all(self) -> None:
        pace = Pace(self._rate, time.monotonic())
        looked_at_s = time.monotonic()
        while not self._stop.is_set() and self.failure is None:
            now_s = time.monotonic()
            if now_s - looked_at_s >= _LOOK_S:
                self._harvest()
                looked_at_s = now_s
            if self._gave_up:
                self._change_producer()
                continue
            if self.open_records >= MOST_OPEN_RECORDS:
                self._stop.wait(_LOOK_S)
                continue
            if (wait_s := pace.wait_s(now_s)) > 0 and self._stop.wait(wait_s):
                return
            self._send(self.sent)

    def _send(self, sequence: int) -> None:
        if sequence >= self._reserved:
            self._reserved = sequence + max(int(self._rate * _RESERVED_S), len(self._places))
            self._file.append(ledger.reserve(self._reserved))
            self._file.sync()
        number = sequence % len(self._places)
        place = self._places[number]
        value = value_of(Identity(self._drill, sequence), self._value_bytes)
        self.sent = sequence + 1
        try:
            future = self._producer.send(place.topic, value, partition=place.partition)
            self._open[number].append((sequence, time.monotonic(), future))
        except kafka_errors.KafkaError as error:
            self._failed(sequence, error)

    def _harvest(self) -> None:
        """Write down the answers that have come, place by place in the order of the records."""
        answered: list[Acknowledgement] = []
        for number, waiting in enumerate(self._open):
            while waiting and waiting[0][2].is_done:
                sequence, _, future = waiting.popleft()
                if future.exception is None:
                    answered.append(Acknowledgement(number, sequence, future.value.offset))
                else:
                    self._failed(sequence, future.exception)
            self._gave_up = self._gave_up or bool(waiting and is_overdue(waiting[0][1], self._delivery_timeout_s))
        if answered:
            self._file.append("".join(ledger.acknowledged(answered, len(self._places))))
            self.acknowledged += len(answered)

    def _failed(self, sequence: int, error: Exception) -> None:
        is_refusal = isinstance(error, REFUSALS)
        self._gave_up = self._gave_up or not is_refusal
        self._file.append((ledger.refused if is_refusal else ledger.unknown)(sequence, short_error(error)))

    def _change_producer(self) -> None:
        """Put the producer away with what it has open, and wait until Kafka takes another one."""
        self._put_away("no answer in time, or given up with a record that had none")
        while not self._stop.is_set():
            try:
                self._producer, self._gave_up = self._connect(), False
                return
            except UnavailableError:
                self._stop.wait(_RECONNECT_S)

    def _put_away(self, why: str) -> None:
        self._harvest()
        end_producer(self._producer)
        self._harvest()
        left = sorted(sequence for waiting in self._open for sequence, *_ in waiting)
        self._file.append("".join(ledger.unknown(sequence, why) for sequence in left))
        for waiting in self._open:
            waiting.clear()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            self._put_away("no answer when the feed was closed")
            self._file.append(ledger.closed(self.sent))
        with contextlib.suppress(OSError):
            self._file.close()
