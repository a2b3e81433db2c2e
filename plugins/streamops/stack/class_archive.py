"""Making the archive of classes: both approaches run for a moment, and Java writes down what it loaded (JEP 350).

Everything is real, since only classes that were loaded come into the archive: a Kafka broker, a driver, and an executor
in a JVM of its own. What the executor loads, the driver loads by name at the end, so one archive serves both.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from streamops.adapters.spark import class_archive
from streamops.adapters.spark.code_bundle import bundle_code
from streamops.adapters.spark.install import OPENED_MODULES, spark_home
from streamops.adapters.spark.submission import job_jars
from streamops.errors import StreamopsError
from streamops.settings import Settings
from streamops.stack.java import java
from streamops.stack.settings import LOOPBACK, StackSettings
from streamops.stack.spark_cluster import scala_version
from streamops.stack.stack import Stack

Say = Callable[[str], object]

#: The entry point in jobs/ that runs both approaches.
_PROGRAM = "load_classes.py"
_TOPIC = "classes"
#: Begins the name of the folder that an archive is made in; the broker's stack is in there.
_DRAFT, _STACK = ".classes-", "stack"
#: Which one could not be made, and what was said then.
_FAILED = "failed.log"
#: Seconds until that is tried again: a machine that is too busy now is so for the next command as well.
_AGAIN_S = 86_400.0
#: Ends one that hangs; on two busy cores it takes a minute.
_LIMIT_S = 400.0


def ensure(settings: Settings, say: Say) -> Path | None:
    """The archive, made where there is none that Java takes, in about a minute. None where it cannot be made, or could
    not within the last day: it is a matter of seconds at each start, and no job needs it.
    """
    jars = job_jars(settings)
    archive = class_archive.path(settings, jars)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with _alone(archive.parent):
        if archive.is_file() and _is_taken(archive, jars):
            return archive
        failed = archive.parent / _FAILED
        if _failed_lately(failed, archive):
            say(f"jobs start without an archive of classes, which could not be made; to try again, delete {failed}")
            return None
        say("putting Spark's classes into an archive, out of which jobs start sooner")
        from kafka.errors import KafkaError

        try:
            with tempfile.TemporaryDirectory(prefix=_DRAFT, dir=archive.parent) as temporary:
                made = Path(temporary) / archive.name
                _make(settings, jars, Path(temporary), made)
                made.replace(archive)
            failed.unlink(missing_ok=True)
        except (StreamopsError, OSError, KafkaError, NotMadeError) as error:
            failed.write_text(f"{archive.name}\n{error}\n", "utf-8")
            say(f"the archive of classes could not be made, and jobs start without it, see {failed}")
            return None
        for older in archive.parent.glob(class_archive.ARCHIVES):
            if older != archive:
                older.unlink(missing_ok=True)  # a JVM that has it mapped keeps it
    return archive


class NotMadeError(Exception):
    """Java did not write the archive, or does not take it."""


def _failed_lately(failed: Path, archive: Path) -> bool:
    return (failed.is_file() and failed.read_text("utf-8").startswith(archive.name)
            and time.time() - failed.stat().st_mtime < _AGAIN_S)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait for another one at work; then end what one that was killed has left: its broker, and its files."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob(f"{_DRAFT}*"):
            Stack(StackSettings(data=left / _STACK)).down()
            shutil.rmtree(left, ignore_errors=True)
        yield


def _make(settings: Settings, jars: list[Path], temporary: Path, archive: Path) -> None:
    # The settings of a stack that runs in this shell are not this one's.
    own = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("STREAMOPS_STACK_")}
    stack = Stack(StackSettings.on_free_ports(temporary / _STACK, jars=settings.home / "jars"))
    try:
        stack.up(["kafka"])
        with _records(stack.settings.bootstrap_servers):
            _run_jobs(settings, jars, temporary, archive, stack.settings.bootstrap_servers)
    finally:
        os.environ.update(own)
        stack.down()
    if not archive.is_file() or not _is_taken(archive, jars):
        raise NotMadeError("Java does not take it")


def _run_jobs(settings: Settings, jars: list[Path], temporary: Path, archive: Path, servers: str) -> None:
    bundle = bundle_code(settings.jobs, temporary / "code")
    loaded = temporary / "executor.log"
    conf = {
        "spark.driver.host": LOOPBACK,
        "spark.executor.memory": "512m",
        "spark.ui.port": "0",
        "spark.executor.extraClassPath": ":".join(map(str, jars)),
        "spark.executor.extraJavaOptions": f"-Xlog:class+load:file={loaded}",
        "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
        "spark.streaming.receiver.writeAheadLog.enable": "true",
        "spark.streaming.backpressure.enabled": "true",
    }
    command = [
        java(), "-Xmx512m", f"-XX:ArchiveClassesAtExit={archive}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off",
        *OPENED_MODULES, "-cp", class_archive.class_path(jars), "org.apache.spark.deploy.SparkSubmit",
        "--master", "local-cluster[1,2,512]",
        *(part for name, value in conf.items() for part in ("--conf", f"{name}={value}")),
        "--files", str(bundle.archive), "--py-files", str(bundle.archive),
        str(bundle.entry_point(_PROGRAM)), (temporary / "state").as_uri(), servers, _TOPIC, str(loaded),
    ]  # fmt: skip
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))},
        "SPARK_HOME": os.environ.get("SPARK_HOME") or str(spark_home()),
        "SPARK_LOCAL_IP": LOOPBACK,
        "SPARK_LOCAL_DIRS": str(temporary),
        "SPARK_WORKER_DIR": str(temporary / "work"),
        "SPARK_SCALA_VERSION": scala_version(),
        "PYSPARK_PYTHON": sys.executable,
        "JAVA_TOOL_OPTIONS": "",
    }
    try:
        ended = subprocess.run(command, env=environment, cwd=temporary, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", check=False, timeout=_LIMIT_S)
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
        raise NotMadeError(f"{_PROGRAM} had not ended after {_LIMIT_S:g} s:\n"
                           f"{said.decode(errors='replace') if isinstance(said, bytes) else said}") from None
    if ended.returncode:
        raise NotMadeError(f"{_PROGRAM} ended with {ended.returncode}:\n{ended.stdout}")


@contextlib.contextmanager
def _records(servers: str) -> Iterator[None]:
    """A topic into which records come, some at a time."""
    from kafka import KafkaAdminClient, KafkaProducer
    from kafka.admin import NewTopic

    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.create_topics([NewTopic(_TOPIC, num_partitions=2, replication_factor=1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=servers)
    ended = threading.Event()

    def send() -> None:
        while not ended.wait(0.1):
            for number in range(20):
                producer.send(_TOPIC, key=b"key", value=b"value %d" % number, headers=[("name", b"value")])

    producer.send(_TOPIC, b"first").get(timeout=60)
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join()
        producer.close(timeout=5)


def _is_taken(archive: Path, jars: list[Path]) -> bool:
    """With `on` in place of the default `auto`, Java ends where it cannot use the archive."""
    path = class_archive.class_path(jars)
    command = [java(), "-Xshare:on", f"-XX:SharedArchiveFile={archive}", "-cp", path, "-version"]
    environment = {**os.environ, "JAVA_TOOL_OPTIONS": ""}
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
