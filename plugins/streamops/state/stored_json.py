"""Reading what the state directory keeps as JSON: each file, or line, says its format, which is public and versioned.

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from streamops.errors import StateError


@contextmanager
def reading(
    text: str, expected: str | None, what: str, repair: str = "Restore it from a copy."
) -> Iterator[dict[str, Any]]:
    """The object in `text` but its format. Raises StateError, about `what`, on any other format than the expected one.

    None is for what has no format in it. It does so, too, when the code inside of the `with` does not find in it what
    it looks for.
    """
    try:
        data = json.loads(text)
        if expected is not None and (found := data.pop("format")) != expected:
            raise StateError(
                f"{what} says format {found!r}; this version of streamops reads {expected!r}",
                "Run the version of streamops that wrote it, or a newer one.",
            )
        yield data
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(
            f"{what} cannot be read ({type(error).__name__}: {error}): {text[:200]!r}",
            f"It is written whole or not at all, so something else changed it. {repair}",
        ) from error
