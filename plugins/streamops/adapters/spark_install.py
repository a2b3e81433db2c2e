"""The Spark of this Python environment, and what its JVMs need."""

from __future__ import annotations

import functools
from importlib.util import find_spec
from pathlib import Path

#: What Spark's own launcher passes on Java 17 (JavaModuleOptions): netty and its serializers reach into these.
OPENED_MODULES = tuple(
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in (
        "java.lang",
        "java.lang.invoke",
        "java.lang.reflect",
        "java.io",
        "java.net",
        "java.nio",
        "java.util",
        "java.util.concurrent",
        "java.util.concurrent.atomic",
        "jdk.internal.ref",
        "sun.nio.ch",
        "sun.nio.cs",
        "sun.security.action",
        "sun.util.calendar",
    )
)


@functools.cache
def spark_home() -> Path | None:
    """Spark as the Python package brings it, or None where pyspark is not installed."""
    found = find_spec("pyspark")
    home = Path(found.origin).parent if found is not None and found.origin else None
    return home if home is not None and (home / "bin" / "spark-submit").exists() else None
