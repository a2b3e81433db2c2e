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

    from streamops.state.batch_log import Entry
    from streamops.state.counts import CountsFollower

#: How many words and batches are shown.
_TOP, _BATCHES = 6, 6
_REFRESH_S = 1.0


def command() -> None:
    """Start the stack, provision the topic, run a direct and a receiver job on the stack's own logs, and watch.

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
        for pipeline, each in counts.items():
            typer.echo(pipeline)
            for word, count in each.totals.most_common(_TOP):
                typer.echo(f"{count:>8,}  {_shown(word)}")
        typer.echo(where)
        return
    try:
        _watch(counts, where)
    except KeyboardInterrupt:
        typer.echo(f"The stack stays up.\n{where}")


def _watch(counts: dict[str, CountsFollower], where: str) -> None:
    from rich.live import Live

    from streamops.errors import StreamopsError

    recent: dict[str, deque[Entry]] = {pipeline: deque(maxlen=_BATCHES) for pipeline in counts}
    trouble = ""
    with Live(auto_refresh=False, screen=False) as live:
        while True:
            try:
                for each in counts.values():
                    each.update()
                trouble = ""
            except StreamopsError as error:
                trouble = error.found  # a server that is being restarted; the next look tells
            for pipeline, each in counts.items():
                seen = recent[pipeline]
                if each.last is not None and (not seen or seen[-1] != each.last):
                    seen.append(each.last)
            live.update(_page(counts, recent, where, trouble), refresh=True)
            time.sleep(_REFRESH_S)


def _page(
    counts: dict[str, CountsFollower], recent: dict[str, deque[Entry]], where: str, trouble: str
) -> RenderableType:
    from rich.columns import Columns
    from rich.console import Group
    from rich.text import Text

    sections: list[RenderableType] = []
    for pipeline, each in counts.items():
        total = f"{each.totals.total():,} words in {each.batches:,} batches"
        sections.append(Columns([_batches(pipeline, recent[pipeline]), _words(each)]))
        sections.append(Text(total, style="dim"))
    if trouble:
        sections.append(Text(trouble, style="red"))
    return Group(*sections, Text(f"{where}\nCtrl-C leaves this view; the stack stays up."))


def _batches(pipeline: str, recent: deque[Entry]) -> RenderableType:
    from rich.table import Table

    table = Table(title=f"{pipeline}: newest batches", title_justify="left")
    for name in ("batch", "finished", "records", "rows", "sink"):
        table.add_column(name, justify="right")
    for entry in reversed(recent):
        at = f"{datetime.fromisoformat(entry.finished_at).astimezone():%H:%M:%S}"
        table.add_row(f"{entry.batch:,}", at, f"{entry.span:,}", f"{entry.rows:,}", f"{entry.sink_ms:,} ms")
    return table


def _words(counts: CountsFollower) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="most frequent words", title_justify="left")
    table.add_column("word", max_width=40, no_wrap=True)
    table.add_column("count", justify="right")
    for word, count in counts.totals.most_common(_TOP):
        table.add_row(Text(_shown(word)), f"{count:,}")
    return table


def _shown(word: bytes) -> str:
    return word.decode(errors="replace")
