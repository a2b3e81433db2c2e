"""Tables for a terminal, as plain text: whoever reads them may well be a script or a mail."""

from __future__ import annotations

from collections.abc import Sequence

from streamops.running.pipeline_status import duration

#: How a value that is not known is shown.
UNKNOWN = "?"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under their headers; columns of numbers and durations stand on the right."""
    lines = [tuple(headers), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [any(row[index][:1].isdigit() for row in rows) and all(
        row[index] == UNKNOWN or row[index][:1].isdigit() for row in rows) for index in range(len(headers))]
    return "\n".join("  ".join(
        text.rjust(width) if on_right else text.ljust(width)
        for text, width, on_right in zip(line, widths, right, strict=True)).rstrip() for line in lines)


def number(value: int | None) -> str:
    """`12,345`, or `?`."""
    return UNKNOWN if value is None else f"{value:,}"


def seconds(value: float | None) -> str:
    """`12 min`, or `?`."""
    return UNKNOWN if value is None else duration(value)
