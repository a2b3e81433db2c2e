"""What a batch over a folder has counted: one JSON file for each run, `results/000004.json` below the state directory.

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from streamops.state import numbered_files, stored_json

FORMAT = "streamops.word_totals/1"
DIRECTORY = "results"


@dataclass(frozen=True)
class WordTotals:
    """The counts of one run, which is the generation of that number.

    `lines` counts those that are not empty, `words` every word, `different_words` each once. `top` are the most
    frequent ones with their counts, largest first, and by the word where counts are equal. `finished_at` is UTC,
    ISO 8601.
    """

    pipeline: str
    generation: int
    folder: str
    driver: str
    finished_at: str
    lines: int
    words: int
    different_words: int
    top: tuple[tuple[str, int], ...]

    def to_json(self) -> str:
        return json.dumps({
            "format": FORMAT, **asdict(self), "top": [{"word": word, "count": count} for word, count in self.top]})

    @classmethod
    def from_json(cls, text: str) -> WordTotals:
        """The totals that `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, FORMAT, "a result", "Run the batch again.") as data:
            return cls(**{**data, "top": tuple((each["word"], each["count"]) for each in data["top"])})

    def summary(self) -> str:
        return (
            f"{self.lines:,} lines that are not empty, {self.words:,} words, {self.different_words:,} of them different"
        )

    def table(self, most: int | None = None) -> str:
        """The most frequent words, one a line, their counts before them."""
        rows = self.top[:most]
        width = max((len(f"{count:,}") for _, count in rows), default=1)
        return "\n".join(f"{count:>{width},}  {word}" for word, count in rows)


def path(generation: int) -> str:
    return f"{DIRECTORY}/{numbered_files.name(generation)}"
