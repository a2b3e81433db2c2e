"""Compiling the receiver with the Scala compiler that pyspark brings, against exactly that Spark."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from streamops.adapters.spark.install import spark_home
from streamops.adapters.spark.receiver_jar import folder, jar_name, sources
from streamops.errors import StateError
from streamops.settings import Settings
from streamops.stack.jars import connector_jars
from streamops.stack.java import java
from streamops.zip_archive import zipped

#: Spark has declared its DStreams done, not removed; the receiver is a DStream on purpose (docs/decisions.md).
_OPTIONS = ("-deprecation", "-feature", "-Xlint", "-Xfatal-warnings", "-Wconf:msg=DStream is deprecated:s")


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
        compiled = {path.relative_to(classes).as_posix(): path.read_bytes() for path in classes.rglob("*.class")}
        draft = Path(temporary) / jar.name
        draft.write_bytes(zipped(compiled))
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
