"""What is handed to spark-submit for a pipeline: the same from an Airflow task and from a shell.

Spark standalone refuses Python applications in cluster mode, so the application is Spark's own PythonRunner, which
starts the Python file in its first argument with the archives in its second on the path. The executors get the archive
only when it is among `--py-files` and `--files` both. The connector's jars are put on the class path where they lie on
every worker, and are not copied: `--jars local:/…` copies them into the folder of each executor.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from streamops.adapters.connections import Connection
from streamops.adapters.spark import class_archive
from streamops.adapters.spark.code_bundle import CodeBundle, bundle_code
from streamops.adapters.spark.install import OPENED_MODULES, spark_home, spark_jars
from streamops.adapters.spark.receiver_jar import RECEIVER_JARS, receiver_jar
from streamops.declared.kafka_properties import for_a_job
from streamops.declared.pipeline import Pipeline
from streamops.declared.receiver_conf import receiver_conf
from streamops.errors import ConfigurationError
from streamops.settings import Settings
from streamops.state.batch_log import OUTPUT
from streamops.state.job_spec import FolderSpec, JobSpec, ReceiverSpec
from streamops.state.lease import Owner
from streamops.state.proofs import ProofRequest

PYTHON_RUNNER = "org.apache.spark.deploy.PythonRunner"

#: Where each kind of job starts, in jobs/.
ENTRY_POINTS = {
    "direct": "direct_stream.py",
    "receiver": "receiver_stream.py",
    "folder_stream": "folder_stream.py",
    "folder_batch": "folder_batch.py",
}

_PROOF = "prove_bad_records.py"

#: The jar that names itself the application; any would do, and this one is on the class path anyway.
_CONNECTOR = "spark-sql-kafka-0-10_*.jar"

#: fsspec's names of file systems, where Hadoop has others.
_HADOOP_SCHEMES = {"s3": "s3a", "local": "file"}

#: A submitting JVM does little: less memory and no optimising compiler make it start a second sooner.
_SUBMIT_JVM = "-Xmx256m -XX:TieredStopAtLevel=1"

_SUBMIT_VARIABLES = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "JAVA_HOME", "SPARK_HOME",
    "SPARK_CONF_DIR", "HADOOP_HOME", "HADOOP_CONF_DIR", "HADOOP_USER_NAME", "KRB5_CONFIG", "KRB5CCNAME",
})


#: What Spark's pages remember. By default it is a thousand of each, and what is alive in a driver's heap then grew by a
#: third over 15 minutes of short batches.
_KEPT_FOR_PAGES = {
    "spark.ui.retainedJobs": "100",
    "spark.ui.retainedStages": "100",
    "spark.sql.ui.retainedExecutions": "50",
}


@dataclass(frozen=True)
class Submission:
    """One call of spark-submit, by its parts. Paths are those on the worker that runs the driver."""

    name: str
    application: str
    arguments: tuple[str, ...]
    archive: str
    java_class: str
    conf: dict[str, str]
    driver_memory: str
    executor_memory: str
    executor_cores: int
    total_executor_cores: int
    is_supervised: bool = True

    def through(self, master: str, masters: str) -> Submission:
        """As submitted to one master of several: the driver still knows them all, also when it is started again."""
        if master == masters:
            return self
        name = "spark.driver.extraJavaOptions"
        # After Spark's own -Dspark.master: of two, a JVM takes the last (`deploy.ClientEndpoint`).
        options = f"{self.conf.get(name, '')} -Dspark.master={masters}".strip()
        return replace(self, conf={**self.conf, name: options})

    def command(self, master: str) -> list[str]:
        """The command line for a standalone master (`spark://host:port`), with the driver on the cluster."""
        return [
            "spark-submit", "--master", master,
            *(part for name, value in self.conf.items() for part in ("--conf", f"{name}={value}")),
            "--files", self.archive, "--py-files", self.archive,
            "--total-executor-cores", str(self.total_executor_cores), "--executor-cores", str(self.executor_cores),
            "--executor-memory", self.executor_memory, "--driver-memory", self.driver_memory,
            "--name", self.name, "--class", self.java_class, "--deploy-mode", "cluster",
            *(["--supervise"] if self.is_supervised else []),
            self.application, *self.arguments,
        ]  # fmt: skip


def job_spec(
    pipeline: Pipeline, *, kafka: Connection | None, storage: Connection, owner: Owner, supersedes: Iterable[str] = ()
) -> JobSpec:
    """The settings of a pipeline's job; `kafka` is None where it reads a folder.

    Raises ConfigurationError for what the connections lack, or hold in clear.
    """
    state_url = hadoop_url(storage, pipeline.state_directory)
    receiver = pipeline.receiver
    return JobSpec(
        pipeline=pipeline.name,
        approach=pipeline.job,
        topics=pipeline.topics,
        kafka=for_a_job(kafka.extra, kafka.conn_id) if kafka is not None else {},
        state_url=state_url,
        output_url=f"{state_url}/{OUTPUT}",
        transform=pipeline.transform,
        sink=pipeline.sink.type,
        interval_s=pipeline.interval_s,
        starting_offsets=pipeline.starting_offsets,
        on_data_loss=pipeline.on_data_loss,
        on_bad_record=pipeline.on_bad_record,
        owner=owner,
        rate_limit=pipeline.rate_limit,
        dead_letter_topic=pipeline.dead_letter_topic,
        max_dead_letters=pipeline.max_dead_letters,
        supersedes=tuple(supersedes),
        consumer_group=pipeline.consumer_group if pipeline.job == "direct" else None,
        receiver=ReceiverSpec(
            receivers=receiver.receivers,
            consumer_group=pipeline.consumer_group,
            write_ahead_log=receiver.write_ahead_log,
            stop_within_s=receiver.stop_within_s,
        ) if pipeline.approach == "receiver" else None,
        folder=FolderSpec(pipeline.folder.path, pipeline.folder.top) if pipeline.folder is not None else None,
    )


def submission(pipeline: Pipeline, spec: JobSpec, settings: Settings) -> Submission:
    """How the job is submitted; freezes its code on the way. Raises ConfigurationError where jars or jobs are missing.

    Settings of the pipeline's `resources.conf` win over those made here, but are added to class paths and Java options.
    """
    bundle = bundle_code(settings.jobs, settings.home / "code")
    if pipeline.approach == "receiver":
        receiver_jar(settings)  # it must be there
    jars = job_jars(settings)
    resources = pipeline.resources
    class_path = ":".join(map(str, jars))
    conf = {
        "spark.driver.cores": str(resources.driver_cores),
        "spark.pyspark.python": sys.executable,
        # Spark's 200 are for large tables. A streaming query merges none, so each would be a task and a file of every
        # batch, which is small enough for as many as run at once.
        "spark.sql.shuffle.partitions": str(pipeline.tasks),
        **_KEPT_FOR_PAGES,
        **(receiver_conf(pipeline, spec.state_url) if pipeline.approach == "receiver" else {}),
        **resources.conf,
    }
    for name in ("spark.driver.extraClassPath", "spark.executor.extraClassPath"):
        conf[name] = f"{class_path}:{resources.conf[name]}" if resources.conf.get(name) else class_path
    conf.update(_java_options(resources.conf, class_archive.java_option(settings, jars)))
    return Submission(
        name=pipeline.name,
        application=str(_connector(jars, settings.jars)),
        arguments=_arguments(bundle, spec),
        archive=str(bundle.archive),
        java_class=PYTHON_RUNNER,
        conf=conf,
        driver_memory=resources.driver_memory,
        executor_memory=resources.executor_memory,
        executor_cores=resources.executor_cores,
        total_executor_cores=resources.cores,
    )


def proof_submission(job: Submission, request: ProofRequest) -> Submission:
    """What to submit for the check which records of a batch that job fails for; it runs once."""
    check = str(Path(job.arguments[0]).with_name(_PROOF))
    return replace(job, name=f"{job.name} proof", is_supervised=False,
                   arguments=(check, *job.arguments[1:], request.to_json()))


def submit_environment() -> dict[str, str]:
    """The whole environment for spark-submit: what it needs to be found, and to find Java, Spark and Hadoop.

    Nothing else, because Spark standalone hands the submitter's environment on to the driver and writes it into the
    master's recovery directory (`org.apache.spark.deploy.Client`): Airflow's has connections and keys in it.
    """
    environment = {name: value for name, value in os.environ.items() if name in _SUBMIT_VARIABLES}
    environment["SPARK_SUBMIT_OPTS"] = _SUBMIT_JVM
    scripts = Path(sys.executable).parent
    if (scripts / "spark-submit").exists():
        environment["PATH"] = f"{scripts}{os.pathsep}{environment.get('PATH', os.defpath)}"
    if "SPARK_HOME" not in environment:
        with suppress(ConfigurationError):  # without pyspark, the spark-submit on PATH knows where it is
            environment["SPARK_HOME"] = str(spark_home())
    return environment


def connector_jars(folder: Path) -> list[Path]:
    """The jars that Spark lacks for reading Kafka: those in the folder that Spark has not itself, sorted."""
    own = {path.name for path in spark_jars()}
    # Receivers of several versions may lie there, of which a job takes its own.
    jars = sorted(path for path in folder.glob("*.jar") if path.name not in own and not path.match(RECEIVER_JARS))
    _connector(jars, folder)
    return jars


def job_jars(settings: Settings) -> list[Path]:
    """What is put on the class path of every job's driver and executors: the connector, and the receiver where it is.

    A direct job needs no receiver. With one class path for all, one archive of classes serves all.
    """
    jars = connector_jars(settings.jars)
    with suppress(ConfigurationError):
        jars.append(receiver_jar(settings))
    return jars


def _java_options(own: Mapping[str, str], from_archive: str | None) -> dict[str, str]:
    """Java options of drivers and executors; `own` is the pipeline's conf, whose options come last."""
    options = {
        # Spark passes them to all JVMs that it starts but to a standalone cluster's drivers, whose shuffles then fail.
        "spark.driver": list(OPENED_MODULES),
        "spark.executor": [],
    }
    for process, given in options.items():
        # With jars of the pipeline's own among them, Java would not take the archive.
        if from_archive is not None and not own.get(f"{process}.extraClassPath"):
            given.append(from_archive)
        given.append(own.get(f"{process}.extraJavaOptions", ""))
    named = {f"{process}.extraJavaOptions": " ".join(given).strip() for process, given in options.items()}
    return {name: text for name, text in named.items() if text}


def hadoop_url(storage: Connection, path: str) -> str:
    """The URL of a path below the storage connection's, as Hadoop's file systems read it."""
    url = storage.extra.get("url")
    if not isinstance(url, str) or "://" not in url:
        raise ConfigurationError(
            f"the storage connection {storage.conn_id!r} has no `url` in its extra",
            'Give it one, for example {"url": "file:///var/lib/streams"}.',
        )
    scheme, rest = url.split("://", 1)
    return f"{_HADOOP_SCHEMES.get(scheme, scheme)}://{rest.rstrip('/')}/{path}"


def _arguments(bundle: CodeBundle, spec: JobSpec) -> tuple[str, ...]:
    return str(bundle.entry_point(ENTRY_POINTS[spec.approach])), str(bundle.archive), spec.to_json()


def _connector(jars: list[Path], folder: Path) -> Path:
    found = next((jar for jar in jars if jar.match(_CONNECTOR)), None)
    if found is None:
        raise ConfigurationError(
            f"there is no connector for Kafka in {folder}",
            "Fetch it with `streamops jars`, or set STREAMOPS_JARS to the folder where it is.",
        )
    return found
