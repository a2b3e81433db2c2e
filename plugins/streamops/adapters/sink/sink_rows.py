"""The rows of an `identity` pipeline's Parquet sink, as any reader of it finds them.

Other than sink_reader.py, this takes what is there, also where it contradicts the batch log: a drill is to find out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from streamops.adapters.files.state_files import StateFiles
from streamops.drills.verdict import Delivery
from streamops.errors import StateError
from streamops.state import batch_log, generations
from streamops.state.batch_log import OUTPUT, Entry
from streamops.state.offsets import Offsets, TopicPartition
from streamops.state.superseded import NOTHING, Superseded

_GENERATION, _BATCH = re.compile(r"^generation=(\d+)$"), re.compile(r"^batch=(\d+)$")
_COLUMNS = ["topic", "partition", "offset", "value"]
#: Rows in memory at once.
_ROWS = 20_000
#: A folder may be gone for a moment while a driver that was thought dead puts the same rows in its place. That happens
#: to one or two; where more differ from the log, it is the job, and looking again is a waste of time.
_LOOKS, _LOOK_AGAIN_S = 3, 0.5
_MOST_LOOKED_AT_AGAIN = 20
#: Stands for the generation and batch of files outside of any batch's folder.
STRAY = -1


@dataclass(frozen=True)
class _Counted:
    """The batches since a drill's start: the rows that the batch log says of each, and the last one of all."""

    first: Mapping[int, int]
    rows: Mapping[tuple[int, int], int]
    last: tuple[int, int]
    superseded: Superseded


def rows_since(files: StateFiles, start: Offsets) -> Iterator[Delivery]:
    """Every row that counts, of batches that read beyond `start`, in the order of batches; then what is in no batch.

    `files` are those of the state directory. Raises StateError where a file has not the columns of Kafka's records.
    """
    counted = _counted(files, start)
    strays: list[str] = []
    differing = 0
    for generation, folder in sorted(_numbered(files, OUTPUT, _GENERATION, strays)):
        batches = sorted(_numbered(files, folder, _BATCH, strays))
        for batch, path in batches:
            if batch < counted.first.get(generation, 0) or counted.superseded.covers(generation, batch):
                continue
            if (generation, batch) == (counted.last[0], counted.last[1] + 1):
                continue  # published, and not logged yet
            if generation in counted.first or (generation, batch) > counted.last:
                looks = _LOOKS if differing < _MOST_LOOKED_AT_AGAIN else 1
                paths, as_logged = _parts(files, path, counted.rows.get((generation, batch)), looks)
                differing += not as_logged
                for part in paths:
                    yield from _rows(files, part, generation, batch)
    for path in strays:
        yield from _rows(files, path, STRAY, STRAY)


def _counted(files: StateFiles, start: Offsets) -> _Counted:
    current = generations.current(files)
    first: dict[int, int] = {}
    rows: dict[tuple[int, int], int] = {}
    last = (0, -1)
    for number in range(current.number if current is not None else 0, 0, -1):
        first[number] = 0
        for entry in _back_to_a_hole(files, number):
            last = max(last, (number, entry.batch))
            if all(taken.until <= start.get(taken.topic_partition, taken.until) for taken in entry.ranges):
                # It ends where the drill began, and so does all before it.
                first[number] = entry.batch + 1
                return _Counted(first, rows, last, current.superseded if current else NOTHING)
            rows[number, entry.batch] = entry.rows
    return _Counted(first, rows, last, current.superseded if current else NOTHING)


def _back_to_a_hole(files: StateFiles, generation: int) -> Iterator[Entry]:
    """Entries from the newest back. Where the log lacks one, all that is older counts: the log's own proof names the
    hole, and the records that are missing with it are to be found, not to keep the others from being judged."""
    with suppress(StateError):
        yield from batch_log.newest_first(files, generation)


def _numbered(
    files: StateFiles, directory: str, pattern: re.Pattern[str], strays: list[str],
) -> Iterator[tuple[int, str]]:
    """Folders by their number. Files that lie about go into `strays`; hidden names are passed over, as by Spark."""
    for name in files.names(directory):
        if found := pattern.match(name):
            yield int(found[1]), f"{directory}/{name}"
        elif name.endswith(".parquet") and not name.startswith(("_", ".")):
            strays.append(f"{directory}/{name}")


def _parts(files: StateFiles, folder: str, expected: int | None, looks: int) -> tuple[list[str], bool]:
    """The files of a batch, and whether they hold as many rows as the batch log says."""
    paths: list[str] = []
    for look in range(looks):
        if look:
            time.sleep(_LOOK_AGAIN_S)
        paths = [f"{folder}/{name}" for name in sorted(files.names(folder))
                 if name.endswith(".parquet") and not name.startswith(("_", "."))]
        if expected is None or sum(_count(files, path) for path in paths) == expected:
            return paths, True
    return paths, False


def _count(files: StateFiles, path: str) -> int:
    opened = files.open(path)
    if opened is None:
        return 0
    with opened:
        try:
            return int(pq.ParquetFile(opened).metadata.num_rows)
        except pa.ArrowInvalid:
            return 0


def _rows(files: StateFiles, path: str, generation: int, batch: int) -> Iterator[Delivery]:
    opened = files.open(path)
    if opened is None:
        return
    with opened:
        try:
            file = pq.ParquetFile(opened)
        except pa.ArrowInvalid:
            return  # torn: its rows are missing, and the verdict says which
        if not set(_COLUMNS) <= set(file.schema_arrow.names):
            raise StateError(
                f"{files.url}/{path} has the columns {', '.join(file.schema_arrow.names)}, and records are judged by "
                f"{', '.join(_COLUMNS)}",
                "Drill a pipeline whose transform is `identity`; another one's batch log is judged alone.")
        for part in file.iter_batches(batch_size=_ROWS, columns=_COLUMNS, use_threads=False):
            columns = [part.column(name).to_pylist() for name in _COLUMNS]
            for topic, partition, offset, value in zip(*columns, strict=True):
                yield Delivery(generation, batch, topic, partition, offset, value)


def is_covered(ends: Offsets, processed: Mapping[TopicPartition, int]) -> bool:
    """Whether everything below `ends` was processed."""
    return all(processed.get(at, 0) >= offset for at, offset in ends.items())
