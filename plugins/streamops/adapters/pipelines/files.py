"""Where the pipelines are declared, and the state directory of one of them."""

from __future__ import annotations

from pathlib import Path

from streamops.adapters.connections import connection
from streamops.adapters.files.state_files import StateFiles
from streamops.declared.pipeline import Pipeline
from streamops.declared.pipelines import Pipelines, load
from streamops.settings import Settings


def declared(file: Path | None = None) -> Pipelines:
    """The pipelines of `file`, or of the settings' file. Raises ConfigurationError with every problem in it."""
    return load(file or Settings.load().pipelines)


def state_files(pipeline: Pipeline) -> StateFiles:
    """The pipeline's state directory, below the URL of its storage connection."""
    return StateFiles.at(connection(pipeline.connections.storage), pipeline.state_directory)
