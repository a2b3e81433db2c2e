"""`streamops feed`: lines of text into a topic."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from streamops.errors import ConfigurationError, UnavailableError
from streamops.feed import Key, Line, Numbering, Pace, Shape, parse_headers

if TYPE_CHECKING:
    from streamops.adapters.kafka.producer import RecordSender

#: Seconds between two lines of progress; without a terminal they are kept, so there are fewer.
_PROGRESS_S = 0.5
_PROGRESS_KEPT_S = 5.0

#: Seconds without an answer after which progress says that the broker is awaited.
_AWAITED_S = 3.0


def command(
    topic: Annotated[str, typer.Option("--topic", "-t", help="The topic; it must exist.")],
    files: Annotated[list[str] | None, typer.Argument(help="Files; `-`, the default, is standard input.")] = None,
    follow_stack_logs: Annotated[
        bool, typer.Option("--follow-stack-logs", help="Send the embedded stack's own logs as they grow, without end.")
    ] = False,
    key: Annotated[Key, typer.Option(help="What each record's key is.")] = Key.NONE,
    number: Annotated[Numbering, typer.Option(help="Where each record says its number, from 1.")] = Numbering.NONE,
    header: Annotated[list[str] | None, typer.Option(help="A header, as name=value; repeatable.")] = None,
    partition: Annotated[int | None, typer.Option(min=0, help="Send everything to this partition.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.01, help="Records a second; unlimited by default.")] = None,
    repeat: Annotated[int, typer.Option(min=0, help="Send the files this many times; 0 is for ever.")] = 1,
    timeout: Annotated[float, typer.Option(min=40, help="Seconds to try one record while the broker is away.")] = 600.0,
    connection: Annotated[str, typer.Option(help="The Airflow connection of Kafka.")] = "kafka_default",
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Send lines to a topic, each as one record, and count what Kafka has acknowledged.

    A record is the line's bytes without the newline; an empty line is an empty record. Each record is in the topic
    once, also when a broker goes away meanwhile and comes back. Ctrl-C stops reading, waits for what was sent, and
    prints the counts; a second Ctrl-C does not wait, and says which records are unknown.
    """
    if follow_stack_logs and files:
        raise ConfigurationError("--follow-stack-logs takes no files", "Run a second feed for the files.")
    from streamops.adapters.kafka.line_sources import from_files

    shape = Shape(key, number, parse_headers(header or ()))
    lines: Iterator[Line | None] = _stack_logs() if follow_stack_logs else from_files(files or ["-"], repeat)

    from streamops.adapters.connections import connection as read_connection
    from streamops.adapters.kafka.feeding import feed
    from streamops.adapters.kafka.producer import RecordSender

    sender = RecordSender.connect(
        read_connection(connection), topic, partition=partition, delivery_timeout_s=timeout
    )
    start_s = time.monotonic()
    interrupts = _Interrupts()
    progress = _Progress(start_s)
    try:
        with interrupts:
            feed(
                sender,
                interrupts.reading(lines),
                shape,
                pace=Pace(rate, start_s) if rate else None,
                stop=interrupts.asked,
                progress=progress,
            )
    except KeyboardInterrupt:
        typer.echo("not waiting for the records that have no answer yet", err=True)
    finally:
        sender.close()
        elapsed_s = time.monotonic() - start_s
        progress.end()
        tally = sender.tally
        typer.echo(json.dumps(tally.summary(topic, elapsed_s)) if as_json else tally.describe(topic, elapsed_s))
    if sender.failure is not None:
        raise _worded(sender)
    if tally.unknown:
        raise typer.Exit(UnavailableError.exit_code)


def _stack_logs() -> Iterator[Line | None]:
    from streamops.adapters.files.log_follower import LogFollower
    from streamops.stack.settings import StackSettings

    directory = StackSettings.load().data
    if not directory.is_dir():
        raise ConfigurationError(f"there is no embedded stack in {directory}", "Start it: streamops stack up")
    return LogFollower(directory).lines()


def _worded(sender: RecordSender) -> Exception:
    from streamops.adapters.kafka.broker import short_error

    error = short_error(sender.failure) if sender.failure else ""
    if sender.tally.refused:
        return ConfigurationError(
            f"record {sender.tally.refused[0]:,} was refused: {error}",
            "Nothing after it was sent. Leave that line out, or raise the topic's max.message.bytes.",
        )
    return UnavailableError(
        f"Kafka did not take a record: {error}",
        "The counts above say which records may be in the topic or not. See that the broker is up.",
    )


class _Interrupts:
    """Ctrl-C and SIGTERM: the first one asks the feed to stop, unless it waits for input, the second one ends it."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._reading = False

    def __enter__(self) -> None:
        self._before = {number: signal.signal(number, self._signalled) for number in (signal.SIGINT, signal.SIGTERM)}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def reading(self, lines: Iterator[Line | None]) -> Iterator[Line | None]:
        """`lines`, ended by the first signal even while the next one is awaited."""
        try:
            while True:
                self._reading = True
                try:
                    line = next(lines)
                except StopIteration:
                    return
                self._reading = False
                yield line
        except KeyboardInterrupt:
            if not self._reading:
                raise
        finally:
            self._reading = False

    def _signalled(self, *_: object) -> None:
        if self._reading and not self.asked.is_set():
            self.asked.set()
            raise KeyboardInterrupt
        if self.asked.is_set():
            raise KeyboardInterrupt
        self.asked.set()


class _Progress:
    """One line on stderr, rewritten on a terminal."""

    def __init__(self, start_s: float) -> None:
        self._start_s = self._shown_s = start_s
        self._terminal = sys.stderr.isatty()
        self._every_s = _PROGRESS_S if self._terminal else _PROGRESS_KEPT_S

    def __call__(self, sender: RecordSender) -> None:
        now_s = time.monotonic()
        if now_s - self._shown_s < self._every_s:
            return
        self._shown_s = now_s
        tally = sender.tally
        rate = tally.acknowledged / (now_s - self._start_s)
        text = f"{tally.sent:,} sent, {tally.acknowledged:,} acknowledged, {rate:,.0f}/s"
        if sender.open_records and (awaited_s := now_s - sender.answered_at_s) > _AWAITED_S:
            text += f"; waiting for the broker for {awaited_s:.0f} s"
        typer.echo(f"\r{text}\x1b[K" if self._terminal else text, err=True, nl=not self._terminal)

    def end(self) -> None:
        if self._terminal and self._shown_s != self._start_s:
            typer.echo(err=True)
