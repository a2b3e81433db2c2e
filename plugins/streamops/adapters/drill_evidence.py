"""The verdict's evidence: the sink's rows, Kafka's records, the batch log; and the verdict from them."""

from __future__ import annotations

from streamops.adapters.connections import Connection
from streamops.adapters.state_files import StateFiles
from streamops.ledger import Ledger
from streamops.verdict import Verdict


def judge(pipeline: str, files: StateFiles, ledger: Ledger | None, kafka: Connection | None) -> Verdict:
    """The verdict on a pipeline after a drill; it may run meanwhile. Reads, and changes nothing.

    `files` are its state directory's. Without a `ledger`, by the batch log alone. Without `kafka`, a loss is nobody's.
    Raises UnavailableError where a server does not answer, StateError where the batch log cannot be read.
    """
    raise NotImplementedError


def processed_all(files: StateFiles, ledger: Ledger) -> bool:
    """Whether the batch log covers every acknowledged record: the moment to judge."""
    raise NotImplementedError
