"""Ledgers on the disk of whoever runs the drill: below `<home>/drills`, one file a drill."""

from __future__ import annotations

from pathlib import Path

from streamops.ledger import Ledger


def path(home: Path, drill: str) -> Path:
    """Where a drill's ledger is."""
    return home / "drills" / f"{drill}.ledger.jsonl"


def read(path: Path) -> Ledger:
    """The ledger in a file, also of a drill that was killed. Raises StateError, ConfigurationError where there is none."""
    raise NotImplementedError
