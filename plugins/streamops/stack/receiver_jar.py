"""Compiling the receiver with the Scala compiler that pyspark brings, against exactly that Spark."""

from __future__ import annotations

import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from streamops.adapters.receiver_jar import folder, jar_name, sources
from streamops.errors import StateError
from streamops.settings import Settings
from streamops.stack.jars import connector_jars
from streamops.stack.java import java, spark_home

#: Spark has declared its DStreams done, not removed; the receiver is a DStream on purpose (docs/decisions.md).
_OPTIONS = ("-deprecation", "-feature", "-Xlint", "-Xfatal-warnings", "-Wconf:msg=DStream is deprecated:s")

#: A ZIP's earliest time stamp: the same sources give the same jar.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def ensure(settings: Settings, say: Callable[[str], None]) -> Path:
    """The receiver's jar, compiled when it is not there yet, which takes about 20 s.

    Raises StateError with the compiler's words, ConfigurationError where the sources, Java, Spark or the connector are
    missing.
    """
    jar = folder(settings) / jar_name(settings.jobs)
    if jar.is_file():
        return jar
    say("compiling the receiver")
    jar.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".compile-", dir=jar.parent) as temporary:
        classes = Path(temporary) / "classes"
        classes.mkdir()
        _compile(sources(settings.jobs), connector_jars(settings.jars), classes)
        draft = Path(temporary) / jar.name
        _pack(classes, draft)
        draft.replace(jar)
    return jar


def _compile(scala: list[Path], connector: list[Path], into: Path) -> None:
    spark = spark_home() / "jars"
    class_path = ":".join(map(str, [*sorted(spark.glob("*.jar")), *connector]))
    command = [java(), "-Xss8m", "-cp", f"{spark}/*", "scala.tools.nsc.Main", *_OPTIONS]
    command += ["-d", str(into), "-cp", class_path, *map(str, scala)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StateError(
            f"the receiver does not compile against this Spark:\n{(done.stdout + done.stderr)[-3000:]}",
            "The sources in jobs/receiver fit the pyspark that requirements.txt pins: run `make setup`.",
        )


def _pack(classes: Path, jar: Path) -> None:
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(classes.rglob("*.class")):
            entry = zipfile.ZipInfo(path.relative_to(classes).as_posix(), _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
