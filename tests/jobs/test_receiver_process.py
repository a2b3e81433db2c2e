"""The receiver job as a process of its own, started by spark-submit: what SIGTERM and a missing right do to it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hadoop_files import HadoopFiles
from streamops.adapters.spark.install import spark_home
from streamops.adapters.spark.receiver_jar import receiver_jar
from streamops.settings import Settings, project_root
from streamops.stack.jars import connector_jars
from streamops.state import batch_log, lease
from streamops.state.job_spec import JobSpec, ReceiverSpec
from streamops.state.lease import Beat, JobState

from .conftest import Topics
from .observing import covered
from .receiving import Committed, numbered

LIMIT_S = 180


@pytest.fixture
def submitted(tmp_path: Path) -> Iterator[Callable[[JobSpec], subprocess.Popen[bytes]]]:
    """Starts the job by spark-submit in a session of this machine, with the settings of a receiver job."""
    settings = Settings.load()
    jars = ":".join(map(str, [*connector_jars(settings.jars), receiver_jar(settings)]))
    started: list[subprocess.Popen[bytes]] = []

    def start(spec: JobSpec) -> subprocess.Popen[bytes]:
        conf = {
            "spark.driver.extraClassPath": jars,
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.streaming.receiver.writeAheadLog.enable": "true",
            "spark.shutdown.timeout": "90s",
            "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
        }
        command = [str(spark_home() / "bin" / "spark-submit"), "--master", "local[3]"]
        command += [part for name, value in conf.items() for part in ("--conf", f"{name}={value}")]
        command += [str(settings.jobs / "receiver_stream.py"), spec.to_json()]
        path = os.pathsep.join([str(settings.jobs), str(project_root() / "plugins")])
        with (tmp_path / "log").open("wb") as log:
            started.append(subprocess.Popen(
                command, env={**os.environ, "PYTHONPATH": path, "SPARK_LOCAL_IP": "127.0.0.1"}, stdout=log, stderr=log,
                start_new_session=True,
            ))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait(holds: Callable[[], bool], process: subprocess.Popen[bytes], what: str, log: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert process.poll() is None, f"{what}: the job ended: {log.read_text()[-3000:]}"
        assert time.monotonic() < deadline, f"{what}: not within {LIMIT_S} s: {log.read_text()[-3000:]}"
        time.sleep(0.1)


def test_told_to_end_it_processes_what_it_has_received_and_the_next_one_goes_on(
    files: HadoopFiles, topics: Topics, spec: Callable[..., JobSpec], tmp_path: Path,
    submitted: Callable[[JobSpec], subprocess.Popen[bytes]],
) -> None:
    topic, log = topics.create(partitions=2), tmp_path / "log"
    job = spec(topic, approach="receiver", interval_s=4.0, transform="identity",
               receiver=ReceiverSpec(1, "group", stop_within_s=60))
    process = submitted(job)
    wait(lambda: batch_log.read_head(files, 1) is not None, process, "the receiver is there", log)
    topics.send(topic, numbered(5000))
    wait(lambda: Committed(topics).of(topic) >= 5000, process, "everything is received", log)
    process.send_signal(signal.SIGTERM)
    process.wait(LIMIT_S)
    assert covered(files) == 5000, log.read_text()[-3000:]
    text = files.read(lease.beat_path(1))
    assert text is not None
    assert Beat.from_json(text).state is JobState.STOPPED, "the next driver need not wait"

    # On a local disk, with the file system that a cluster's receivers have there.
    topics.send(topic, numbered(10))
    again = submitted(job)
    wait(lambda: covered(files) == 5010, again, "the next driver reads the log of this one, and goes on", log)
