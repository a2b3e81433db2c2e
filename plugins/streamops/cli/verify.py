"""`streamops verify`: is the batch log whole, and does the sink agree with it?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from streamops.errors import StateError


def command(
    pipeline: Annotated[str, typer.Argument(help="The pipeline.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    pipelines: Annotated[Path | None, typer.Option(help="The file that declares the pipelines.")] = None,
) -> None:
    """Check every batch of every generation; exit 5 when something is wrong.

    The offset ranges of each partition must meet without hole or overlap, from the start of the generation on; batch
    numbers must follow each other; no driver may have written after a newer one had begun; and each batch's folder in
    the sink must hold as many rows as its entry says, with no folder that has no entry. Batches that a restore has
    superseded are in the batch log for ever, and need not be in the sink. What a restore to a target within a batch
    repeated is counted, and no error.
    """
    from streamops.adapters.pipelines.files import declared, state_files
    from streamops.adapters.sink.verifying import verify

    found = verify(pipeline, state_files(declared(pipelines).pipeline(pipeline)))
    typer.echo(json.dumps(found.as_dict()) if as_json else found.describe())
    if not found.sound:
        raise typer.Exit(StateError.exit_code)
