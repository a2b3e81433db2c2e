"""Transforms: what a pipeline does with a batch.

A transform is a function `transform(frame, batch) -> frame`. `frame` has the columns of Spark's Kafka source
(`key, value, topic, partition, offset, timestamp, timestampType, headers`), also where it reads a folder (see
folder_lines.py); `batch` says which batch it is. It must be a pure function of the records: a batch that is run again
gives the same rows.

`word_count` and `identity` are built in. Any other is named `module:function`, with the module in this folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from streamops.errors import TransformError
from streamops.state.offsets import OffsetRange

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Batch:
    """Which batch a transform works on."""

    pipeline: str
    generation: int
    number: int
    ranges: tuple[OffsetRange, ...]


Transform = Callable[["DataFrame", Batch], "DataFrame"]


def load(name: str) -> Transform:
    """The transform of that name. Raises TransformError when it does not exist or cannot be imported."""
    module, _, function = name.partition(":")
    try:
        found: Transform = getattr(import_module(f"transforms.{module}"), function or "transform")
    except Exception as error:  # a team's module may raise anything at all while it is imported
        raise TransformError(
            f"transform {name!r} cannot be loaded: {type(error).__name__}: {error}",
            f"It is looked for as jobs/transforms/{module}.py, function {function or 'transform'}(frame, batch).",
        ) from error
    return found
