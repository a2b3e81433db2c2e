"""Sending lines until there are no more, or until somebody asks to stop; then waiting for every answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from streamops.adapters.kafka.producer import RecordSender
from streamops.feed import Line, Pace, Shape

#: Records between two looks at what was acknowledged. A look costs 100 ns a record, and this is 10 ms at full speed.
_LOOK_RECORDS = 500

#: Seconds between two looks while answers are awaited, and between two looks for new lines in files that grow.
_ANSWER_POLL_S = 0.005
_LINES_POLL_S = 0.5


def feed(
    sender: RecordSender,
    lines: Iterable[Line | None],
    shape: Shape,
    *,
    pace: Pace | None = None,
    stop: threading.Event | None = None,
    progress: Callable[[RecordSender], None] = lambda _: None,
) -> None:
    """Send `lines` as records of `shape`, and return when each has its answer. `sender.tally` holds the counts.

    It stops early at the first record that fails and when `stop` is set; records that were sent are waited for even
    then. A None among the lines means that there is none now. `progress` is called often, and returns at once.
    """
    stop = stop or threading.Event()
    for line in lines:
        if stop.is_set():
            break
        if line is None:
            sender.harvest()
            progress(sender)
            stop.wait(_LINES_POLL_S)
            continue
        if pace is not None and (wait_s := pace.wait_s(time.monotonic())) > 0:
            stop.wait(wait_s)
        sender.send(shape.record(line, sender.tally.sent + 1))
        if pace is not None or sender.tally.sent % _LOOK_RECORDS == 0 or sender.full:
            sender.harvest()
            progress(sender)
            while sender.full and sender.failure is None and not stop.is_set():
                time.sleep(_ANSWER_POLL_S)
                sender.harvest()
                progress(sender)
        if sender.failure is not None:
            break
    while sender.open_records:
        sender.harvest()
        progress(sender)
        time.sleep(_ANSWER_POLL_S)
