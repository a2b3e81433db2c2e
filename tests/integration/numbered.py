"""Records that `streamops feed --number prefix` sent, from 1 on, looked up in the output of an `identity` pipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pyarrow.parquet as pq

from streamops.adapters.files.state_files import StateFiles
from streamops.state import batch_log

EXACT = "lost 0 [], doubled 0 [], unknown 0"


def verdict(files: StateFiles, entries: Iterable[batch_log.Entry], acknowledged: int) -> str:
    """`EXACT`, or what is wrong with the folders that the batch log names: each record's number is its first word."""
    found: Counter[int] = Counter()
    for entry in entries:
        if entry.output is not None:
            folder = f"output/{entry.output}"
            for name in files.names(folder):
                if name.endswith(".parquet"):
                    found.update(_numbers(files, f"{folder}/{name}"))
    lost = [number for number in range(1, acknowledged + 1) if number not in found]
    doubled = [number for number, times in found.items() if times > 1]
    strange = [number for number in found if number > acknowledged]
    return f"lost {len(lost)} {lost[:5]}, doubled {len(doubled)} {doubled[:5]}, unknown {len(strange)}"


def _numbers(files: StateFiles, path: str) -> list[int]:
    opened = files.open(path)
    assert opened is not None, path
    with opened:
        values = pq.read_table(opened, columns=["value"])["value"].to_pylist()
    return [int(value.split(b" ", 1)[0]) for value in values]
