"""`streamops batches`: the newest batches of a pipeline, as its batch log has them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer


def command(
    pipeline: Annotated[str, typer.Argument(help="The pipeline.")],
    last: Annotated[int, typer.Option("--last", "-n", min=1, max=100, help="How many.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print the entries, one a line, newest last.")] = False,
    pipelines: Annotated[Path | None, typer.Option(help="The file that declares the pipelines.")] = None,
) -> None:
    """Show the newest batches of the current generation: rows, offsets, driver and times."""
    from streamops.adapters.pipelines.files import declared, state_files
    from streamops.state import batch_log, generations, numbered_files

    files = state_files(declared(pipelines).pipeline(pipeline))
    number = numbered_files.latest(files.names(generations.DIRECTORY))
    entries = list(itertools.islice(batch_log.backwards(files, number), last))[::-1] if number is not None else []
    if as_json:
        for entry in entries:
            typer.echo(entry.to_json())
        return
    if not entries:
        typer.echo(f"{pipeline} has no batch yet", err=True)
    for entry in entries:
        ranges = " ".join(f"{taken.topic_partition}:{taken.first}..{taken.until}" for taken in entry.ranges)
        typer.echo(
            f"{entry.finished_at}  generation {entry.generation} batch {entry.batch}: {entry.span:,} offsets, "
            f"{entry.rows:,} rows in {entry.sink_ms:,} ms by {entry.driver}, attempt {entry.attempt}  {ranges}"
        )
        if entry.dead_letters or entry.lost:
            gone = sum(lost.span for lost in entry.lost)
            typer.echo(f"    {entry.dead_letters:,} dead letters, {gone:,} offsets lost from Kafka")
