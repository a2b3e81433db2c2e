"""The Spark of this Python environment."""

from __future__ import annotations

import functools
from importlib.util import find_spec
from pathlib import Path


@functools.cache
def spark_home() -> Path | None:
    """Spark as the Python package brings it, or None where pyspark is not installed."""
    found = find_spec("pyspark")
    home = Path(found.origin).parent if found is not None and found.origin else None
    return home if home is not None and (home / "bin" / "spark-submit").exists() else None
