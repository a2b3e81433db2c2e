"""The receiver's jar: where it is, named by the sources and the Spark that it is compiled from and against.

Set-up compiles it (stack/receiver_jar.py). A jar of older sources stays beside a newer one, since a supervised driver
that is relaunched next week has its path among its arguments.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from streamops.adapters.spark.install import spark_jars
from streamops.errors import ConfigurationError
from streamops.settings import Settings

RECEIVER_JARS = "streamops-receiver-*.jar"


def sources(jobs: Path) -> list[Path]:
    """The Scala sources in the folder of jobs, sorted."""
    return sorted((jobs / "receiver").glob("*.scala"))


def jar_name(jobs: Path) -> str:
    """`streamops-receiver-3f9a0c1d52ab.jar`. Raises ConfigurationError where sources or Spark are missing."""
    found = sources(jobs)
    if not found:
        raise ConfigurationError(
            f"there are no sources of the receiver in {jobs / 'receiver'}",
            "Set STREAMOPS_JOBS to the project's jobs/ folder, as it comes with this version of streamops.",
        )
    digest = hashlib.sha256(_spark_version().encode())
    for path in found:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return RECEIVER_JARS.replace("*", digest.hexdigest()[:12])


def folder(settings: Settings) -> Path:
    """Where set-up puts the jar."""
    return settings.home / "jars" / "receiver"


def receiver_jar(settings: Settings) -> Path:
    """The jar, beside the connector or where set-up puts it. Raises ConfigurationError where it is in neither."""
    name = jar_name(settings.jobs)
    for place in (settings.jars, folder(settings)):
        if (place / name).is_file():
            return place / name
    raise ConfigurationError(
        f"the receiver is not compiled: there is no {name} in {folder(settings)}",
        "Compile it with `streamops jars --fetch`. On other machines put the jar at the same path, or beside the "
        "connector, where STREAMOPS_JARS says.",
    )


def _spark_version() -> str:
    """The name of Spark's core jar, which holds Scala's version and Spark's."""
    core = next((jar for jar in spark_jars() if jar.match("spark-core_*.jar")), None)
    if core is None:
        raise ConfigurationError("there is no Spark here", "Install pyspark, or set SPARK_HOME.")
    return core.name
