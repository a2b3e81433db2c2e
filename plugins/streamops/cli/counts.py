"""`streamops counts`: how often each word occurred, over all batches of a pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streamops.adapters.files.state_files import StateFiles


def command(
    pipeline: Annotated[str, typer.Argument(help="A pipeline with word_count and the parquet sink.")],
    top: Annotated[int | None, typer.Option(min=1, help="Only the most frequent words.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help='Print {"word": count, …}, largest first.')] = False,
    pipelines: Annotated[Path | None, typer.Option(help="The file that declares the pipelines.")] = None,
) -> None:
    """Print the totals of every word over all batches, from the sink.

    Only batches that the batch log names count; rows are compared with it, and a difference is an error (exit 5). Of a
    batch over a folder, the newest result is printed: its most frequent words, and how much it counted.
    """
    from streamops.adapters.pipelines.files import declared, state_files
    from streamops.adapters.sink.sink_reader import SinkReader
    from streamops.state.counts import CountsFollower, as_text, require_word_counts

    found = declared(pipelines).pipeline(pipeline)
    require_word_counts(found.name, found.transform, found.sink.type)
    files = state_files(found)
    if found.job == "folder_batch":
        _show_result(found.name, files, top, as_json)
        return
    follower = CountsFollower(files, SinkReader(files).word_counts)
    follower.update()
    counts = follower.totals
    shown = as_text(counts, most=top)
    if as_json:
        typer.echo(json.dumps(shown))
        return
    width = max((len(f"{count:,}") for count in shown.values()), default=1)
    for word, count in shown.items():
        typer.echo(f"{count:>{width},}  {word.encode(errors='surrogateescape').decode(errors='replace')}")
    typer.echo(
        f"{counts.total():,} words, {len(counts):,} of them different, in {follower.batches:,} batches", err=True
    )


def _show_result(pipeline: str, files: StateFiles, top: int | None, as_json: bool) -> None:
    from streamops.errors import StateError
    from streamops.state import numbered_files, word_totals
    from streamops.state.word_totals import WordTotals

    newest = numbered_files.latest(files.names(word_totals.DIRECTORY))
    text = files.read(word_totals.path(newest)) if newest is not None else None
    if text is None:
        raise StateError(f"{pipeline} has no result yet", f"Run it: streamops submit {pipeline}, or its DAG.")
    totals = WordTotals.from_json(text)
    typer.echo(json.dumps(dict(totals.top[:top])) if as_json else totals.table(top))
    typer.echo(f"{totals.summary()}, in {totals.folder} at {totals.finished_at}", err=True)
