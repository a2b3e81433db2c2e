"""Word counts over all batches of a pipeline, from the sink, as the batch log says what is in it.

Only what an entry of the batch log names is read, and only entries that count: a folder that a driver left behind
without an entry is not output, and a superseded batch was, before a restore.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from streamops.errors import ConfigurationError
from streamops.state import batch_log, generations
from streamops.state.batch_log import Entry, Files
from streamops.state.superseded import NOTHING

#: Rows read from the sink before they are added to the totals. A row of short words takes some 50 bytes, so this
#: stays below 20 MB however large the output is.
CHUNK_ROWS = 200_000


def require_word_counts(pipeline: str, transform: str, sink: str) -> None:
    """Raise ConfigurationError, with what to do instead, for a pipeline whose output holds no word counts."""
    if sink != "parquet":
        raise ConfigurationError(
            f"{pipeline} writes to the {sink} sink, which keeps nothing that could be counted",
            "Its batches are in the driver's log. For totals, give it `sink: {type: parquet}`; how far it is: "
            f"streamops status {pipeline}",
        )
    if transform != "word_count":
        raise ConfigurationError(
            f"{pipeline} writes what `{transform}` gives, and counts are read from `word_count` output",
            f"Read the Parquet files below its `output` folder with any reader; rows and offsets of its batches: "
            f"streamops batches {pipeline}",
        )


class CountsFollower:
    """Totals that grow with the pipeline: each update reads only the batches that were logged since the last one.

    `totals` maps a word, as the bytes that were in Kafka, to its count over `batches` batches; `last` is the newest.
    """

    def __init__(self, files: Files, read_batches: Callable[[Sequence[Entry]], Mapping[bytes, int]]) -> None:
        """`files` are those of the state directory; `read_batches` sums the sink's rows of some entries."""
        self._files = files
        self._read_batches = read_batches
        self._superseded = NOTHING
        self._generation = 1
        self._following = 0
        self.totals: Counter[bytes] = Counter()
        self.batches = 0
        self.rows = 0
        self.last: Entry | None = None

    def update(self) -> int:
        """Add the batches that are new, and return how many they are. When reading fails, the totals stay.

        After a restore all batches are read again, since some that were added do not count any more.
        """
        current = generations.current(self._files)
        latest = current.number if current is not None else 0
        superseded = current.superseded if current is not None else NOTHING
        if superseded == self._superseded:
            generation, following, last = self._generation, self._following, self.last
            totals, before, rows = self.totals, self.batches, self.rows
        else:
            generation, following, last = 1, 0, None
            totals, before, rows = Counter(), 0, 0
        added: Counter[bytes] = Counter()
        batches = 0
        while generation <= latest:
            found = batch_log.entries(self._files, generation, following)
            for chunk in chunks(each for each in found if not superseded.covers(generation, each.batch)):
                for word, count in self._read_batches(chunk).items():
                    added[word] += count
                batches += len(chunk)
                rows += sum(entry.rows for entry in chunk)
                last = chunk[-1]
                following = last.batch + 1
            if generation == latest:
                break
            generation, following = generation + 1, 0
        self._superseded, self._generation, self._following, self.last = superseded, generation, following, last
        totals.update(added)
        self.totals, self.batches, self.rows = totals, before + batches, rows
        return batches


def chunks(entries: Iterable[Entry], most_rows: int = CHUNK_ROWS) -> Iterator[list[Entry]]:
    """Entries in lists of at least one, closed once they hold `most_rows` rows."""
    chunk: list[Entry] = []
    rows = 0
    for entry in entries:
        chunk.append(entry)
        rows += entry.rows
        if rows >= most_rows:
            yield chunk
            chunk, rows = [], 0
    if chunk:
        yield chunk


def as_text(totals: Mapping[bytes, int], most: int | None = None) -> dict[str, int]:
    """Totals by words as text, largest first, then by word; only the `most` first when it is given.

    Bytes that are no UTF-8 become lone surrogates, as Python reads such files with `errors="surrogateescape"`: no two
    words become one, and encoding gives the bytes back.
    """
    ordered = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    return {word.decode(errors="surrogateescape"): count for word, count in ordered[:most]}
