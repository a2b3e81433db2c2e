"""The archive of classes that drivers and executors map at their start, where they would read and check 2,000 of jars.

Java takes an archive (JEP 350) for just the class path that it was made with, and only while those jars are the very
files of then; otherwise it leaves it aside and goes on. Its name says all of that. Set-up makes it
(stack/class_archive.py), beside the receiver.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from streamops.adapters.spark.install import spark_home, spark_jars
from streamops.errors import ConfigurationError
from streamops.settings import Settings

ARCHIVES = "spark-*.jsa"


def folder(settings: Settings) -> Path:
    """Where set-up puts it."""
    return settings.home / "jars" / "classes"


def class_path(jars: Iterable[Path]) -> str:
    """How Spark begins the class path of a driver or an executor that is given `jars` as its extra class path.

    As in `AbstractCommandBuilder.buildClassPath`; Hadoop's settings come behind it, where Java allows anything.
    """
    home = Path(os.environ.get("SPARK_HOME") or spark_home())
    logging = [jar for jar in spark_jars() if jar.match("slf4j-api-*.jar")]
    conf = os.environ.get("SPARK_CONF_DIR") or home / "conf"
    return ":".join(map(str, [*jars, conf, *logging, home / "jars" / "*"]))


def path(settings: Settings, jars: Iterable[Path]) -> Path:
    """The archive for a job with these jars; it need not be there."""
    mine = list(jars)
    digest = hashlib.sha256(class_path(mine).encode())
    for jar in [*mine, *spark_jars()]:
        found = jar.stat()
        digest.update(f"{jar.name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return folder(settings) / ARCHIVES.replace("*", digest.hexdigest()[:12])


def java_option(settings: Settings, jars: Iterable[Path]) -> str | None:
    """What a JVM is told so that it starts from the archive; None where there is none, or no Spark here."""
    try:
        archive = path(settings, jars)
    except (ConfigurationError, OSError):
        return None
    if not archive.is_file():
        return None
    option = f"-XX:SharedArchiveFile={archive}"
    return f'"{option}"' if " " in option else option
