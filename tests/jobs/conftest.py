"""One Spark session for all tests of the jobs, and topics on the session's real broker."""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from pyspark.sql import SparkSession

import transforms
from hadoop_files import HadoopFiles
from job import Job
from streamops.adapters.connections import Connection
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.spark.submission import hadoop_url
from streamops.errors import LeaseLostError
from streamops.settings import Settings
from streamops.stack import receiver_jar
from streamops.stack.hdfs import client_configuration
from streamops.stack.jars import connector_jars
from streamops.stack.stack import Stack
from streamops.state.job_spec import FolderSpec, JobSpec, ReceiverSpec
from streamops.state.lease import Owner, OwnerKind


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"  # or Spark listens on the machine's own address
    settings = Settings.load()
    jars = [*connector_jars(settings.jars), receiver_jar.ensure(settings, print)]
    session = (
        SparkSession.builder.master("local[4]")  # two receivers keep a core each
        .appName("tests of the jobs")
        .config("spark.jars", ",".join(map(str, jars)))
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture
def files(spark: SparkSession, tmp_path: Path) -> HadoopFiles:
    context = spark.sparkContext
    return HadoopFiles(context._gateway, context._jsc.hadoopConfiguration(), (tmp_path / "state").as_uri())


@dataclass(frozen=True)
class OnHdfs:
    """A new directory on the session's HDFS: as a driver sees it, and as the command line does."""

    files: HadoopFiles
    state_files: StateFiles


@pytest.fixture
def on_hdfs(spark: SparkSession, hdfs: Connection, stack: Stack) -> OnHdfs:
    context = spark.sparkContext
    settings = context._jsc.hadoopConfiguration()
    # As on the class path of the stack's own drivers.
    settings.addResource(
        context._jvm.org.apache.hadoop.fs.Path(f"{client_configuration(stack.settings)}/hdfs-site.xml")
    )
    name = f"test-{uuid.uuid4().hex[:12]}"
    return OnHdfs(HadoopFiles(context._gateway, settings, hadoop_url(hdfs, name)), StateFiles.at(hdfs, name))


class Topics:
    """Makes topics and sends records to them."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", metadata_max_age_ms=500)

    def create(self, partitions: int = 1, **configs: str) -> str:
        name = f"t-{uuid.uuid4().hex[:12]}"
        self.admin.create_topics(
            {name: {"num_partitions": partitions, "replication_factor": 1, "configs": configs}},
            wait_for_metadata=True,  # a consumer that is told there is no such topic asks again after five minutes
        )
        return name

    def make_again(self, topic: str, partitions: int = 1) -> None:
        """Delete a topic and create it under its name."""
        self.admin.delete_topics([topic])
        deadline = time.monotonic() + 30
        while topic in self.admin.list_topics():
            assert time.monotonic() < deadline, f"{topic} is still there"
            time.sleep(0.2)
        self.admin.create_topics(
            {topic: {"num_partitions": partitions, "replication_factor": 1}}, wait_for_metadata=True)

    def forbid_reading(self, topic: str) -> None:
        """From now on everybody may write to it and see that it is there, and do nothing else."""
        at = ResourcePattern(ResourceType.TOPIC, topic)
        allowed = (ACLOperation.WRITE, ACLOperation.DESCRIBE)
        self.admin.create_acls([ACL("User:*", "*", each, ACLPermissionType.ALLOW, at) for each in allowed])

    def send(self, topic: str, values: list[bytes], partition: int = 0) -> None:
        sent = [self._producer.send(topic, value, partition=partition) for value in values]
        self._producer.flush()
        for future in sent:
            future.get(timeout=60)

    def close(self) -> None:
        self._producer.close()
        self.admin.close()


@pytest.fixture(scope="session")
def topics(kafka: str) -> Iterator[Topics]:
    made = Topics(kafka)
    yield made
    made.close()


@pytest.fixture
def spec(tmp_path: Path, kafka: str) -> Callable[..., JobSpec]:
    def make(*topics: str, **changes: Any) -> JobSpec:
        state = (tmp_path / "state").as_uri()
        plain = JobSpec(
            pipeline="p",
            approach="direct",
            topics=topics,
            kafka={"bootstrap.servers": kafka},
            state_url=state,
            output_url=f"{state}/output",
            transform="word_count",
            sink="parquet",
            interval_s=0.2,
            starting_offsets="earliest",
            on_data_loss="stop",
            on_bad_record="fail",
            owner=Owner(OwnerKind.SHELL),
        )
        return replace(plain, **changes)

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that `folder_spec` reads."""
    made = tmp_path / "incoming"
    made.mkdir()
    return made


@pytest.fixture
def folder_spec(spec: Callable[..., JobSpec], folder: Path) -> Callable[..., JobSpec]:
    def make(approach: str, **changes: Any) -> JobSpec:
        return spec(approach=approach, kafka={}, **{"folder": FolderSpec(folder.as_uri()), **changes})

    return make


@pytest.fixture
def as_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A team's own transform, which fails on a value that is no number."""
    (tmp_path / "as_number.py").write_text(
        "from pyspark.sql import functions as F\n"
        "def transform(frame, batch):\n"
        "    return frame.select(F.col('value').cast('string').cast('int').alias('number'))\n"
    )
    monkeypatch.setattr(transforms, "__path__", [*transforms.__path__, str(tmp_path)])
    yield "as_number"
    sys.modules.pop("transforms.as_number", None)



class RunningStream:
    """A stream over topics or a folder, or receivers, in a thread of this process, as a driver of its own."""

    def __init__(self, session: SparkSession, spec: JobSpec, driver: str) -> None:
        from direct_stream import DirectStream
        from folder_stream import FolderStream
        from receiver_stream import ReceiverStream

        kinds = {"direct": DirectStream, "folder_stream": FolderStream, "receiver": ReceiverStream}
        self.job = Job(session, spec, driver)
        self.stream = kinds[spec.approach](self.job)
        self.ended_with: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"driver {driver}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.stream.run()
        except BaseException as error:  # noqa: BLE001  what it ends with is what the test looks at
            self.ended_with = error
        finally:
            if self.job.held is not None:
                self.job.held.end()

    def stop(self) -> None:
        self.stream.stop_with(LeaseLostError("the test stops it"))
        self.join()

    def join(self, timeout_s: float = 300) -> BaseException | None:
        """Wait until the driver has ended; what it ended with."""
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "the driver did not end"
        return self.ended_with


@pytest.fixture
def driver(spark: SparkSession) -> Iterator[Callable[..., RunningStream]]:
    started: list[RunningStream] = []

    def start(spec: JobSpec, name: str = "driver-1") -> RunningStream:
        started.append(RunningStream(spark, spec, name))
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def streaming(spark: SparkSession) -> Iterator[Callable[..., None]]:
    """Sets Spark's streaming settings for one test, as spark-submit's --conf would."""
    conf = spark.sparkContext._jsc.sc().conf()
    before: dict[str, str | None] = {}

    def set_all(**settings: str) -> None:
        for name, value in settings.items():
            key = "spark.streaming." + name.replace("__", ".")
            before.setdefault(key, conf.get(key) if conf.contains(key) else None)
            conf.set(key, value)

    set_all(receiver__writeAheadLog__enable="true", backpressure__enabled="true")
    yield set_all
    for key, value in before.items():
        conf.remove(key) if value is None else conf.set(key, value)


@pytest.fixture
def receivers(driver: Callable[..., RunningStream], streaming: Callable[..., None]) -> Callable[..., RunningStream]:
    """Starts receivers, with the write-ahead log and back-pressure on where the test sets nothing else."""
    assert streaming is not None
    return driver


@pytest.fixture
def receiver_spec(spec: Callable[..., JobSpec]) -> Callable[..., JobSpec]:
    def make(*topics: str, receivers: int = 1, write_ahead_log: bool = True, **changes: Any) -> JobSpec:
        receiver = ReceiverSpec(receivers, "group", write_ahead_log, stop_within_s=20)
        return spec(*topics, approach="receiver", receiver=receiver, transform="identity", **changes)

    return make
