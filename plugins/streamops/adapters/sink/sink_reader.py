"""Reading the Parquet sink: the folders that entries of the batch log name, and the rows in them.

`output/generation=1/batch=217/part-….parquet` below the state directory, one folder a batch.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from streamops.adapters.files.state_files import StateFiles
from streamops.errors import StateError
from streamops.state.batch_log import OUTPUT, Entry

#: A driver that was thought dead may put a batch's folder, with the same rows, in its own place once more. It is gone
#: for a moment then, so what looks wrong is looked at again.
_LOOKS = 3
_LOOK_AGAIN_S = 0.5

#: Words as bytes: a transform may keep whatever bytes were in Kafka, and Arrow's text would refuse what is no UTF-8.
_WORD_COUNTS = pa.schema([("word", pa.binary()), ("count", pa.int64())])

_Read = TypeVar("_Read")


class SinkReader:
    """The output of one pipeline. Raises StateError where it differs from what the batch log says."""

    def __init__(self, files: StateFiles) -> None:
        """`files` are those of the state directory."""
        self._files = files

    def word_counts(self, entries: Sequence[Entry]) -> dict[bytes, int]:
        """Counts summed over some batches of `word_count`, by the word's bytes."""
        tables = [self._checked(entry, self._word_table) for entry in entries if entry.output is not None]
        if not tables:
            return {}
        summed = pa.concat_tables(tables).group_by("word").aggregate([("count", "sum")])
        return dict(zip(summed["word"].to_pylist(), summed["count_sum"].to_pylist(), strict=True))

    def check(self, entry: Entry) -> None:
        """Compare the rows in the sink with the entry's, from the files' footers."""
        if entry.output is not None:
            self._checked(entry, self._footers)

    def folders(self, generation: int) -> set[int]:
        """The batches that have a folder in the sink."""
        names = self._files.names(f"{OUTPUT}/generation={generation}")
        return {int(name.removeprefix("batch=")) for name in names if name.removeprefix("batch=").isdigit()}

    def _checked(self, entry: Entry, read: Callable[[Entry], tuple[int, _Read]]) -> _Read:
        rows: int | None = None
        for look in range(_LOOKS):
            if look:
                time.sleep(_LOOK_AGAIN_S)
            try:
                rows, result = read(entry)
            except _VanishedError:
                continue
            if rows == entry.rows:
                return result
        folder = f"{self._files.url}/{OUTPUT}/{entry.output}"
        held = f"{folder} holds {rows:,} rows" if rows else f"{folder} is missing or empty"
        raise StateError(
            f"{held}, and the batch log says {entry.rows:,} for batch {entry.batch} of generation {entry.generation}",
            "Something other than streamops changed the output. Restore the folder from a copy, or process the "
            "records again in a new generation.",
        )

    def _footers(self, entry: Entry) -> tuple[int, None]:
        rows = 0
        for path in self._parts(entry):
            with self._parquet(path) as file:
                rows += file.metadata.num_rows
        return rows, None

    def _word_table(self, entry: Entry) -> tuple[int, pa.Table]:
        tables = [_WORD_COUNTS.empty_table()]
        for path in self._parts(entry):
            with self._parquet(path) as file:
                if not set(_WORD_COUNTS.names) <= set(file.schema_arrow.names):
                    raise StateError(
                        f"{self._files.url}/{path} has the columns {', '.join(file.schema_arrow.names)}, "
                        "and word counts have `word` and `count`",
                        "The pipeline's transform was another one for this batch; its totals cannot be read as one.",
                    )
                read = file.read(columns=_WORD_COUNTS.names, use_threads=False)
                tables.append(read.select(_WORD_COUNTS.names).cast(_WORD_COUNTS))
        table = pa.concat_tables(tables)
        return table.num_rows, table

    def _parts(self, entry: Entry) -> list[str]:
        folder = f"{OUTPUT}/{entry.output}"
        return [f"{folder}/{name}" for name in sorted(self._files.names(folder)) if not name.startswith("_")]

    @contextlib.contextmanager
    def _parquet(self, path: str) -> Iterator[pq.ParquetFile]:
        opened = self._files.open(path)
        if opened is None:
            raise _VanishedError(path)
        with opened:
            try:
                file = pq.ParquetFile(opened)
            except pa.ArrowInvalid as error:
                raise StateError(
                    f"{self._files.url}/{path} is no whole Parquet file: {str(error)[:200]}",
                    "Something other than streamops changed the output. Restore the file from a copy.",
                ) from error
            yield file


class _VanishedError(Exception):
    """A file that was listed is not there any more."""
