"""`streamops demo`: the whole way from nothing to live word counts, then a view of them."""

from __future__ import annotations

import sys
import time
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from streamops.batch_log import Entry
    from streamops.counts import CountsFollower

#: How many words and batches are shown.
_TOP, _BATCHES = 12, 8
_REFRESH_S = 1.0


def command() -> None:
    """Start the stack, provision the topic, run the direct job on the stack's own logs, and watch the counts.

    Ctrl-C leaves the view and the stack up. Without a terminal, plain lines are printed and the command returns once
    counts are live. Safe to repeat.
    """
    from streamops.cli.stack import addresses
    from streamops.stack.demo import Demo
    from streamops.stack.stack import Stack

    def say(line: str) -> None:
        typer.echo(line, err=True)

    began = time.monotonic()
    stack = Stack(say=say)
    counts = Demo(stack, say).run()
    say(f"{time.monotonic() - began:6.1f} s  in all")
    where = addresses(stack)
    if not sys.stdout.isatty():
        for word, count in counts.totals.most_common(_TOP):
            typer.echo(f"{count:>8,}  {_shown(word)}")
        typer.echo(where)
        return
    try:
        _watch(counts, where)
    except KeyboardInterrupt:
        typer.echo(f"The stack stays up.\n{where}")


def _watch(counts: CountsFollower, where: str) -> None:
    from rich.live import Live

    from streamops.errors import StreamopsError

    recent: deque[Entry] = deque(maxlen=_BATCHES)
    trouble = ""
    with Live(auto_refresh=False, screen=False) as live:
        while True:
            try:
                counts.update()
                trouble = ""
            except StreamopsError as error:
                trouble = error.found  # a server that is being restarted; the next look tells
            if counts.last is not None and (not recent or recent[-1] != counts.last):
                recent.append(counts.last)
            live.update(_page(counts, recent, where, trouble), refresh=True)
            time.sleep(_REFRESH_S)


def _page(counts: CountsFollower, recent: deque[Entry], where: str, trouble: str) -> RenderableType:
    from rich.columns import Columns
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    batches = Table(title="newest batches", title_justify="left")
    for name in ("batch", "finished", "records", "rows", "sink"):
        batches.add_column(name, justify="right")
    for entry in reversed(recent):
        at = f"{datetime.fromisoformat(entry.finished_at).astimezone():%H:%M:%S}"
        batches.add_row(f"{entry.batch:,}", at, f"{entry.span:,}", f"{entry.rows:,}", f"{entry.sink_ms:,} ms")
    words = Table(title="most frequent words", title_justify="left")
    words.add_column("word", max_width=40, no_wrap=True)
    words.add_column("count", justify="right")
    for word, count in counts.totals.most_common(_TOP):
        words.add_row(Text(_shown(word)), f"{count:,}")
    total = f"{counts.totals.total():,} words in {counts.batches:,} batches"
    foot = Text(f"{total}\n{where}\nCtrl-C leaves this view; the stack stays up.")
    return Group(Columns([batches, words]), Text(trouble, style="red"), foot) if trouble else Group(
        Columns([batches, words]), foot
    )


def _shown(word: bytes) -> str:
    return word.decode(errors="replace")
