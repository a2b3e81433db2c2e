"""`streamops verify`: is the batch log whole, and does the sink agree with it?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamops.errors import StateError

if TYPE_CHECKING:
    from streamops.adapters.state_files import StateFiles
    from streamops.verification import Verification


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
    from streamops.adapters.pipeline_files import declared, state_files

    found = verify(pipeline, state_files(declared(pipelines).pipeline(pipeline)))
    typer.echo(json.dumps(found.as_dict()) if as_json else found.describe())
    if not found.sound:
        raise typer.Exit(StateError.exit_code)


def verify(pipeline: str, files: StateFiles) -> Verification:
    """Verify what the state directory `files` holds. A pipeline may run meanwhile."""
    from streamops import batch_log, generations
    from streamops.adapters.sink_reader import SinkReader
    from streamops.superseded import NOTHING
    from streamops.verification import Verification, verify_generation, verify_start

    sink = SinkReader(files)
    found = Verification(pipeline)
    current = generations.current(files)
    superseded = current.superseded if current is not None else NOTHING
    for number in range(1, (current.number if current is not None else 0) + 1):
        generation = generations.read(files, number)
        if generation is None:
            found.add(f"generation {number}: {generations.path(number)} is missing")
            continue
        verify_start(found, found.ends, generation)
        folders = sink.folders(number)
        try:
            verify_generation(found, generation, batch_log.entries(files, number), sink.check, folders, superseded)
        except StateError as error:
            found.add(f"generation {number}: {error.found}")
    return found
