"""Judges the files of one state directory, one by one, in whatever order a listing gives them.

    judge = Judge(ground, files)
    for found in listing: plan.write(totals.add(judge.item(found)).to_json())

Pure but for reading what proves something, through `files`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streamops.cleanup import Found, Item
from streamops.cleanup_state import Evidence, Ground


class Judge:
    """One pass over one state directory. Keeps what it read of an older start's logs, a few numbers each."""

    def __init__(self, ground: Ground, files: Evidence) -> None:
        raise NotImplementedError

    def item(self, found: Found) -> Item:
        """What becomes of one file. Reads it where its content is the proof."""
        raise NotImplementedError

    def items(self, listing: Iterable[Found]) -> Iterator[Item]:
        return map(self.item, listing)


def recheck(planned: Item, found: Found | None, again: Item | None) -> Item:
    """What becomes of a planned item at the moment of acting; `goes` only where nothing has changed.

    `found` is the file as it is now, None where it is gone. `again` is what a Judge on a new Ground says of it now.
    """
    raise NotImplementedError
