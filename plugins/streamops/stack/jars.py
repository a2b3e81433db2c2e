"""Jars that are not in the pyspark wheel, fetched once, each checked against the SHA-256 pinned in `jars.lock.json`.

    <home>/jars/broker      the embedded Kafka broker
    <home>/jars/connector   what `spark-submit --jars` takes so that Spark reads Kafka
    <home>/jars/hdfs        the embedded HDFS, beside the jars of pyspark; fetched when its servers are first started
    <home>/jars/s3          an S3 server, for tests
    <home>/jars/tools       Kafka's own command lines, for a benchmark
    <home>/jars/zookeeper_broker   a Kafka of the time before KRaft, for a test of KafkaUtils

Ivy's own command line, which is in the wheel too, does the fetching: into a temporary folder, from where only files
with the right sum move into place, one atomic rename each. So a group is resumable after an interruption at any point,
and `ensure` on a complete group costs one reading of the files. No folder is ever named `kafka`: Python would import it
in place of kafka-python.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Self
from xml.sax.saxutils import quoteattr

from streamops.adapters.spark.install import spark_home
from streamops.errors import ConfigurationError, StateError, StreamopsError, UnavailableError
from streamops.stack.java import java

Say = Callable[[str], None]

#: Groups that everybody needs. Any other is fetched by whoever needs it.
FETCHED_AT_SETUP = ("broker", "connector")


@dataclass(frozen=True)
class Jar:
    """One pinned jar: Maven coordinates and the SHA-256 of the file, in hex."""

    organisation: str
    module: str
    revision: str
    sha256: str

    @classmethod
    def of(cls, coordinates: str, pinned: str) -> Self:
        """From `organisation:module:revision` and the sum, as the lock file has them."""
        organisation, module, revision = coordinates.split(":")
        return cls(organisation, module, revision, pinned)

    @property
    def file_name(self) -> str:
        return f"{self.module}-{self.revision}.jar"


@dataclass(frozen=True)
class Problem:
    """A jar of a group that is not in place; `corrupt` when a file of its name is there with another sum."""

    jar: Jar
    corrupt: bool


def locked() -> dict[str, list[Jar]]:
    """Every group of the lock file and its jars: `{"broker": [Jar(...), ...], "connector": [...]}`."""
    text = files("streamops.stack").joinpath("jars.lock.json").read_text("utf-8")
    return {
        name: [Jar.of(coordinates, pinned) for coordinates, pinned in group["jars"].items()]
        for name, group in json.loads(text).items()
    }


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def problems(folder: Path, jars: Iterable[Jar]) -> list[Problem]:
    """The jars that `folder` lacks or holds with another sum."""
    found = []
    for jar in jars:
        path = folder / jar.file_name
        if not path.is_file():
            found.append(Problem(jar, corrupt=False))
        elif sha256(path) != jar.sha256:
            found.append(Problem(jar, corrupt=True))
    return found


def ensure(group: str, jars_folder: Path, say: Say) -> Path:
    """Bring the group's folder to exactly what is locked; returns it.

    A jar that arrives with another sum is named, removed (from Ivy's cache too) and fetched once more.
    Raises UnavailableError (no network), StateError (wrong sum twice), StreamopsError (a full disk).
    """
    wanted = locked()[group]
    folder = jars_folder / group
    folder.mkdir(parents=True, exist_ok=True)
    expected = {jar.file_name for jar in wanted}
    for stray in folder.glob("*.jar"):
        if stray.name not in expected:  # an older version beside the new one would be on the class path with it
            stray.unlink()
    for attempt in (1, 2):
        missing = problems(folder, wanted)
        for problem in missing:
            if problem.corrupt:
                say(f"{problem.jar.file_name} is corrupt: its SHA-256 is not the pinned one. Removed.")
                (folder / problem.jar.file_name).unlink()
        if not missing:
            return folder
        say(f"{group}: fetching {len(missing)} of {len(wanted)} jars")
        wrong = _fetch([problem.jar for problem in missing], folder, say)
        if not wrong:
            return folder
        for jar in wrong:
            _forget(jar)
            if attempt == 1:
                say(f"{jar.file_name} arrived corrupt: its SHA-256 is not the pinned one. Removed; fetching it again.")
    names = ", ".join(jar.file_name for jar in wrong)
    raise StateError(
        f"{names}: downloaded twice, and each time the SHA-256 was not the pinned one.",
        "Something between this machine and Maven Central changes the files (a proxy, a mirror). "
        "Compare with Maven Central from another network, then run this again.",
    )


def connector_jars(folder: Path) -> list[Path]:
    """The Spark connector for Kafka, complete. Raises ConfigurationError naming what is missing."""
    wanted = locked()["connector"]
    missing = [jar.file_name for jar in wanted if not (folder / jar.file_name).is_file()]
    if missing:
        raise ConfigurationError(f"{folder} lacks {', '.join(missing)}.", "Fetch them: streamops jars --fetch")
    return [folder / jar.file_name for jar in wanted]


def _fetch(jars: list[Jar], folder: Path, say: Say) -> list[Jar]:
    """Move what arrives with the right sum into `folder`; returns the jars whose sum is wrong."""
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as temporary:
        _run_ivy(jars, Path(temporary), say)
        wrong = []
        for jar in jars:
            arrived = Path(temporary) / jar.file_name
            if not arrived.is_file():
                raise UnavailableError(f"Ivy did not bring {jar.file_name}.", "Run this again.")
            if sha256(arrived) == jar.sha256:
                arrived.replace(folder / jar.file_name)
            else:
                wrong.append(jar)
        return wrong


def _run_ivy(jars: list[Jar], target: Path, say: Say) -> None:
    # Every jar is named and none is resolved transitively: what comes is what the lock file lists.
    dependencies = "".join(
        f"<dependency org={quoteattr(jar.organisation)} name={quoteattr(jar.module)} rev={quoteattr(jar.revision)}"
        ' transitive="false" conf="default->master"/>'
        for jar in jars
    )
    ivy_file = target / "ivy.xml"
    ivy_file.write_text(
        '<ivy-module version="2.0"><info organisation="streamops" module="jars"/>'
        '<configurations><conf name="default"/></configurations>'
        f"<dependencies>{dependencies}</dependencies></ivy-module>",
        "utf-8",
    )
    command = [java(), "-cp", f"{spark_home() / 'jars'}/*", "org.apache.ivy.Main", "-ivy", str(ivy_file)]
    command += ["-cache", str(_ivy_cache()), "-confs", "default"]
    # `bundle` matters: some artifacts are OSGi bundles and are not brought without it.
    command += ["-types", "jar", "bundle", "-retrieve", f"{target}/[artifact]-[revision].[ext]"]
    if settings := os.environ.get("STREAMOPS_IVY_SETTINGS"):  # a company's mirror of Maven Central
        command += ["-settings", settings]
    output = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as ivy:
        done = 0
        try:
            for line in ivy.stdout or ():
                output.append(line.rstrip())
                if "[SUCCESSFUL ]" in line:
                    done += 1
                    say(f"  {done} of {len(jars)}: {line.split('[SUCCESSFUL ]')[1].split('!')[0].strip()}")
        except BaseException:
            ivy.terminate()
            raise
    if ivy.returncode:
        raise _ivy_failure("\n".join(output), target)


def _ivy_failure(output: str, target: Path) -> StreamopsError:
    free_mb = shutil.disk_usage(target).free // 2**20
    if "No space left on device" in output or free_mb < 10:  # the wording differs between systems
        return StreamopsError(
            f"The disk is full: {free_mb} MB free at {target.parent}.", "Free at least 500 MB, then run this again."
        )
    reasons = ("UnknownHost", "ConnectException", "SocketTimeout", "NoRouteToHost", "SSLHandshake", "access error")
    tail = "\n".join(line for line in output.splitlines() if line.strip())[-800:]
    if any(reason in output for reason in reasons):
        return UnavailableError(
            f"Maven Central does not answer:\n{tail}",
            "Check the network (behind a proxy: JAVA_TOOL_OPTIONS=-Dhttps.proxyHost=… -Dhttps.proxyPort=…; "
            "with a mirror: STREAMOPS_IVY_SETTINGS=ivysettings.xml), then run this again; what is already here stays.",
        )
    return UnavailableError(f"Ivy could not fetch the jars:\n{tail}", "Run this again; what is already here stays.")


def _ivy_cache() -> Path:
    """Ivy's ordinary cache of the user, so that clones share what is downloaded; sums are checked all the same."""
    return Path.home() / ".ivy2" / "cache"


def _forget(jar: Jar) -> None:
    for cached in (_ivy_cache() / jar.organisation / jar.module).glob(f"*/{jar.file_name}"):
        cached.unlink(missing_ok=True)
