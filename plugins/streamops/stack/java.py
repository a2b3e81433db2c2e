"""The Java that runs Kafka, Spark and Ivy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from streamops.errors import ConfigurationError

#: Spark 4 and Kafka 4 brokers are compiled for it.
OLDEST_JAVA = 17

_INSTALL = (
    f"Install Java {OLDEST_JAVA} or newer (Debian, Ubuntu: openjdk-17-jre-headless; Fedora: java-21-openjdk-headless; "
    "macOS: brew install temurin), or point JAVA_HOME at one."
)


@cache
def java() -> str:
    """Path of a Java 17 or newer: `$JAVA_HOME/bin/java`, else the one on PATH. Raises ConfigurationError."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if found is None:
        raise ConfigurationError(f"No java in JAVA_HOME={home}." if home else "No java on PATH.", _INSTALL)
    done = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)
    version = java_version(done.stderr)
    if version is None:
        raise ConfigurationError(f"{found} -version says: {(done.stderr or done.stdout).strip()[:300]!r}", _INSTALL)
    if version < OLDEST_JAVA:
        raise ConfigurationError(f"{found} is Java {version}; Spark 4 and Kafka 4 need {OLDEST_JAVA}.", _INSTALL)
    return found


def java_version(output: str) -> int | None:
    """The major version in what `java -version` prints (8 for `1.8.0_392`); None when there is none."""
    match = re.search(r'version "(?:1\.)?(\d+)', output)
    return int(match.group(1)) if match else None
