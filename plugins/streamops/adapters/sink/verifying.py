"""Verifying a pipeline: its state directory read, generation by generation (see streamops/state/verification.py)."""

from __future__ import annotations

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.sink.sink_reader import SinkReader
from streamops.errors import StateError
from streamops.state import batch_log, generations
from streamops.state.superseded import NOTHING
from streamops.state.verification import Verification, verify_generation, verify_start


def verify(pipeline: str, files: StateFiles) -> Verification:
    """Verify what the state directory `files` holds. A pipeline may run meanwhile."""
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
