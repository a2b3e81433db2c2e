"""The Spark of this Python environment, and what its JVMs need."""

from __future__ import annotations

import functools
import os
from importlib.util import find_spec
from pathlib import Path

from streamops.errors import ConfigurationError

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
def spark_home() -> Path:
    """The pyspark package: it holds `bin/spark-submit` and `jars/`. Found without importing pyspark.

    Raises ConfigurationError when it is the thin client only (`pyspark-client` writes into the same folder), or none.
    """
    spec = find_spec("pyspark")
    locations = list(spec.submodule_search_locations or []) if spec else []
    home = Path(locations[0]) if locations else None
    if home is None or not (home / "bin" / "spark-submit").is_file() or not (home / "jars").is_dir():
        raise ConfigurationError(
            f"No complete pyspark in this Python (found: {home}): spark-submit or the jars are missing.",
            "Run `make setup`; when that does not help, delete .venv and run it again.",
        )
    return home


def spark_jars() -> list[Path]:
    """The jars of the Spark that SPARK_HOME names, else of pyspark's, sorted; none where there is neither."""
    try:
        home = Path(os.environ.get("SPARK_HOME") or spark_home())
    except ConfigurationError:
        return []
    return sorted((home / "jars").glob("*.jar"))
