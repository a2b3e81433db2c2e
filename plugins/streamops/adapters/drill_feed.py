"""Records sent for a drill, each noted in the ledger before it is sent and after it is acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from streamops.adapters.connections import Connection
from streamops.ledger import VALUE_BYTES, Ledger


class DrillFeed:
    """Sends numbered records at a steady rate from a thread of its own, until it is closed.

        with DrillFeed.open(kafka, ["canary"], path, drill=key, rate=200) as feed:
            …                                   # faults
        ledger = ledger_files.read(path)        # also after a kill
    """

    @classmethod
    def open(
        cls, connection: Connection, topics: Sequence[str], path: Path, *, drill: str, rate: float,
        value_bytes: int = VALUE_BYTES, delivery_timeout_s: float = 120.0,
    ) -> Self:
        """A feed into every partition of these topics, over a Kafka connection.

        Raises ConfigurationError where a topic does not exist, UnavailableError where no broker answers, RefusedError
        where there is a ledger at `path` already.
        """
        raise NotImplementedError

    @property
    def sent(self) -> int:
        raise NotImplementedError

    @property
    def acknowledged(self) -> int:
        raise NotImplementedError

    def close(self, timeout_s: float | None = None) -> Ledger:
        """Stop sending, wait for answers, at most `timeout_s` (the delivery timeout by default); the ledger as it is on disk."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        raise NotImplementedError
