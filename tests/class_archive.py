"""Faster JVMs for the tests: without the optimising compiler, and with Spark's classes in an archive (JEP 350).

The tests start drivers and executors by the hundred, which live for a minute each and whose time is the processor's.
A driver's start with its first batch took 15.7 s of it; 8.7 s without the optimising compiler, and 4.3 s with the
archive as well. The archive is made once a set-up, in half a minute; Java leaves it aside without a word wherever the
class path does not begin as it did there, which is so for all but the drivers and executors of direct jobs.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from streamops.adapters.spark.install import OPENED_MODULES, spark_home
from streamops.adapters.spark.submission import connector_jars
from streamops.settings import Settings
from streamops.stack.java import java
from streamops.stack.settings import LOOPBACK

_PROGRAM = Path(__file__).parent / "class_archive_program.py"
_WITHOUT_OPTIMISING = "-XX:TieredStopAtLevel=1"


def use() -> None:
    """Let every JVM that this process starts from now on start fast; the archive may still be missing."""
    options = (os.environ.get("JAVA_TOOL_OPTIONS", ""), _WITHOUT_OPTIMISING, f"-XX:SharedArchiveFile={_archive()}",
               "-Xlog:cds=off", "-Xlog:cds+dynamic=off")
    os.environ["JAVA_TOOL_OPTIONS"] = " ".join(options).strip()


def make(say: Callable[[str], object]) -> None:
    """Make the archive where it is missing."""
    archive = _archive()
    if archive.exists():
        return
    say("Spark's classes are put into an archive, once for all runs of the tests")
    archive.parent.mkdir(parents=True, exist_ok=True)
    made = archive.with_suffix(f".{os.getpid()}")
    command = [java(), "-cp", _class_path(), *OPENED_MODULES, _WITHOUT_OPTIMISING]
    _run([*command, "-Xmx512M", f"-XX:ArchiveClassesAtExit={made}", "-Dspark.master=local[2]", "-Dspark.ui.port=0",
          "org.apache.spark.deploy.SparkSubmit", str(_PROGRAM)])
    # With `on` in place of the default `auto`, Java ends where it cannot use the archive.
    _run([*command, "-Xshare:on", f"-XX:SharedArchiveFile={made}", "-version"])
    made.rename(archive)


def _archive() -> Path:
    """Named by all that Java compares: itself, the class path, and the jars' sizes and times."""
    folder = (spark_home() / "jars").stat()
    named = f"{_run([java(), '-version'])} {_class_path()} {folder.st_mtime_ns}"
    return Settings.load().home / "classes" / f"{hashlib.sha256(named.encode()).hexdigest()[:12]}.jsa"


def _class_path() -> str:
    """How Spark begins the class path of a direct job's driver (`AbstractCommandBuilder.buildClassPath`)."""
    jars = spark_home() / "jars"
    logging = next(jars.glob("slf4j-api-*.jar"))
    return ":".join(map(str, [*connector_jars(Settings.load().jars), spark_home() / "conf", logging,
                              jars / "*"]))


def _run(command: list[str]) -> str:
    """What it says. Nothing of `use` is in its environment."""
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_HOME": str(spark_home()),
                   "SPARK_LOCAL_IP": LOOPBACK, "JAVA_TOOL_OPTIONS": ""}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr
