"""What is handed to spark-submit, and the frozen code that goes with it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streamops.adapters.connections import Connection
from streamops.adapters.spark import class_archive
from streamops.adapters.spark.code_bundle import bundle_code
from streamops.adapters.spark.receiver_jar import jar_name
from streamops.adapters.spark.submission import (
    connector_jars,
    hadoop_url,
    job_jars,
    job_spec,
    submission,
    submit_environment,
)
from streamops.declared.pipeline import Pipeline
from streamops.errors import ConfigurationError
from streamops.settings import Settings, project_root
from streamops.state.job_spec import FolderSpec, JobSpec
from streamops.state.lease import Owner, OwnerKind

JOBS = project_root() / "jobs"
OWNER = Owner(OwnerKind.AIRFLOW, "stream_lines", "run-1", "driver", 1)
KAFKA = Connection("kafka_default", "kafka", extra={"bootstrap.servers": "broker:9092", "group.id": "airflow"})
STORAGE = Connection("streamops_storage", "generic", extra={"url": "s3://streams/prod/", "options": {"secret": "x"}})


def pipeline(**given: object) -> Pipeline:
    return Pipeline.model_validate({
        "name": "lines", "approach": "direct", "topics": ["lines"], "transform": "word_count",
        "sink": {"type": "parquet"}, **given,
    })


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home of its own, with a folder of jars by name only: nothing here starts Spark."""
    jars = tmp_path / "jars"
    jars.mkdir()
    for name in ("spark-sql-kafka-0-10_2.13-4.2.0.jar", "kafka-clients-3.9.2.jar"):
        (jars / name).touch()
    return Settings.load(home=tmp_path, jars=jars, jobs=JOBS)


def test_the_spec_has_the_pipelines_settings_and_no_secret() -> None:
    spec = job_spec(pipeline(rate_limit=500), kafka=KAFKA, storage=STORAGE, owner=OWNER, supersedes=["driver-1"])
    assert spec.kafka == {"bootstrap.servers": "broker:9092"}
    assert spec.state_url == "s3a://streams/prod/lines"
    assert spec.output_url == "s3a://streams/prod/lines/output"
    assert spec.rate_limit == 500
    assert spec.supersedes == ("driver-1",)
    assert JobSpec.from_json(spec.to_json()) == spec
    assert "secret" not in spec.to_json()


@pytest.mark.parametrize(("url", "expected"), [
    pytest.param("file:///var/streams", "file:///var/streams/lines", id="local disk"),
    pytest.param("hdfs://nn:8020/streams/", "hdfs://nn:8020/streams/lines", id="HDFS"),
    pytest.param("s3://bucket", "s3a://bucket/lines", id="S3, which Hadoop calls s3a"),
])
def test_urls_are_hadoops(url: str, expected: str) -> None:
    assert hadoop_url(Connection("storage", extra={"url": url}), "lines") == expected


def test_a_storage_without_url_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="streamops_storage"):
        hadoop_url(Connection("streamops_storage"), "lines")


def test_the_command_supervises_and_ships_the_code_twice(settings: Settings) -> None:
    declared = pipeline(resources={"executors": 2, "executor_cores": 2, "conf": {"spark.ui.enabled": False}})
    spec = job_spec(declared, kafka=KAFKA, storage=STORAGE, owner=OWNER)
    job = submission(declared, spec, settings)
    command = job.command("spark://master:7077")
    assert "--supervise" in command
    assert command[command.index("--class") + 1] == "org.apache.spark.deploy.PythonRunner"
    assert command[command.index("--files") + 1] == command[command.index("--py-files") + 1] == job.archive
    assert command[command.index("--total-executor-cores") + 1] == "4"
    assert "spark.ui.enabled=false" in command
    application, entry_point, archive, argument = command[-4:]
    assert Path(application).name.startswith("spark-sql-kafka")
    assert Path(entry_point).is_file()
    assert archive == job.archive
    assert JobSpec.from_json(argument) == spec


def test_a_driver_knows_every_master_whichever_it_was_submitted_to(settings: Settings) -> None:
    declared = pipeline(resources={"conf": {"spark.driver.extraJavaOptions": "-Dtheir=own"}})
    job = submission(declared, job_spec(declared, kafka=KAFKA, storage=STORAGE, owner=OWNER), settings)
    both = "spark://a:7077,b:7077"
    assert job.through(both, both) == job
    options = job.through("spark://b:7077", both).conf["spark.driver.extraJavaOptions"]
    assert options.endswith(f" -Dtheir=own -Dspark.master={both}"), "the last one of two is what a JVM takes"


def test_spark_submit_gets_nothing_of_airflows_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark hands the submitter's environment on to the driver, and the master writes it to its disk."""
    monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", "hunter2")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "hunter2")
    monkeypatch.setenv("JAVA_HOME", "/opt/java")
    environment = submit_environment()
    assert "hunter2" not in environment.values()
    assert not [name for name in environment if name.startswith(("AIRFLOW", "STREAMOPS"))]
    assert environment["JAVA_HOME"] == "/opt/java"
    assert environment["SPARK_HOME"]


def test_class_paths_of_the_pipeline_are_added_to(settings: Settings) -> None:
    declared = pipeline(resources={"conf": {"spark.driver.extraClassPath": "/opt/mine.jar"}})
    spec = job_spec(declared, kafka=KAFKA, storage=STORAGE, owner=OWNER)
    conf = submission(declared, spec, settings).conf
    assert conf["spark.driver.extraClassPath"].endswith(":/opt/mine.jar")
    assert "kafka-clients" in conf["spark.driver.extraClassPath"]
    assert "kafka-clients" in conf["spark.executor.extraClassPath"]


@pytest.mark.parametrize(("more", "conf", "expected"), [
    pytest.param({}, {}, "6", id="a task a core"),
    pytest.param({"approach": "receiver", "receiver": {"receivers": 2}}, {}, "4", id="receivers keep a core each"),
    pytest.param({}, {"spark.sql.shuffle.partitions": "40"}, "40", id="as the pipeline says"),
])
def test_a_shuffle_has_as_many_parts_as_run_at_once(
    settings: Settings, more: dict[str, object], conf: dict[str, str], expected: str
) -> None:
    declared = pipeline(resources={"executors": 2, "executor_cores": 3, "conf": conf}, **more)
    (settings.jars / jar_name(settings.jobs)).touch()
    spec = job_spec(declared, kafka=KAFKA, storage=STORAGE, owner=OWNER)
    assert submission(declared, spec, settings).conf["spark.sql.shuffle.partitions"] == expected


def test_drivers_get_the_modules_that_spark_opens_for_every_other_jvm(settings: Settings) -> None:
    declared = pipeline(resources={"conf": {"spark.driver.extraJavaOptions": "-Dmine=1"}})
    spec = job_spec(declared, kafka=KAFKA, storage=STORAGE, owner=OWNER)
    options = submission(declared, spec, settings).conf["spark.driver.extraJavaOptions"].split()
    assert "--add-opens=java.base/java.nio=ALL-UNNAMED" in options
    assert options[-1] == "-Dmine=1"


def test_drivers_and_executors_start_from_the_archive_of_classes(settings: Settings) -> None:
    spec = job_spec(pipeline(), kafka=KAFKA, storage=STORAGE, owner=OWNER)
    assert "spark.executor.extraJavaOptions" not in submission(pipeline(), spec, settings).conf
    archive = class_archive.path(settings, job_jars(settings))
    archive.parent.mkdir(parents=True)
    archive.touch()
    declared = pipeline(resources={"conf": {"spark.executor.extraJavaOptions": "-Dmine=1"}})
    conf = submission(declared, spec, settings).conf
    assert conf["spark.driver.extraJavaOptions"].endswith(f"-XX:SharedArchiveFile={archive}")
    assert conf["spark.executor.extraJavaOptions"] == f"-XX:SharedArchiveFile={archive} -Dmine=1"


def test_a_process_with_jars_of_the_pipelines_own_starts_without_it(settings: Settings) -> None:
    archive = class_archive.path(settings, job_jars(settings))
    archive.parent.mkdir(parents=True)
    archive.touch()
    declared = pipeline(resources={"conf": {"spark.executor.extraClassPath": "/opt/mine.jar"}})
    conf = submission(declared, job_spec(declared, kafka=KAFKA, storage=STORAGE, owner=OWNER), settings).conf
    assert "SharedArchiveFile" in conf["spark.driver.extraJavaOptions"]
    assert "SharedArchiveFile" not in conf.get("spark.executor.extraJavaOptions", "")


@pytest.mark.parametrize("mode", ["stream", "batch"])
def test_a_folder_job_needs_no_kafka(settings: Settings, mode: str) -> None:
    declared = Pipeline.model_validate({
        "name": "files", "source": "folder", "folder": {"path": "/in", "mode": mode}, "transform": "word_count",
        "sink": {"type": "parquet"},
    })
    spec = job_spec(declared, kafka=None, storage=STORAGE, owner=OWNER)
    assert (spec.approach, spec.topics, spec.kafka) == (f"folder_{mode}", (), {})
    assert spec.folder == FolderSpec("/in", 100)
    assert JobSpec.from_json(spec.to_json()) == spec
    assert Path(submission(declared, spec, settings).arguments[0]).name == f"folder_{mode}.py"


def test_a_receiver_job_has_its_jar_on_both_class_paths(settings: Settings) -> None:
    declared = pipeline(approach="receiver", resources={"executor_cores": 2})
    spec = job_spec(declared, kafka=KAFKA, storage=STORAGE, owner=OWNER)
    with pytest.raises(ConfigurationError, match="streamops jars --fetch"):
        submission(declared, spec, settings)
    jar = settings.jars / jar_name(settings.jobs)
    jar.touch()
    conf = submission(declared, spec, settings).conf
    assert str(jar) in conf["spark.driver.extraClassPath"].split(":")
    assert str(jar) in conf["spark.executor.extraClassPath"].split(":")
    assert spec.receiver is not None
    assert spec.receiver.consumer_group == declared.name
    assert spec.consumer_group is None


def test_a_direct_job_shows_its_progress_in_a_group(settings: Settings) -> None:
    spec = job_spec(pipeline(), kafka=KAFKA, storage=STORAGE, owner=OWNER)
    assert spec.consumer_group == pipeline().name
    named = job_spec(pipeline(direct={"consumer_group": "team.lines"}), kafka=KAFKA, storage=STORAGE, owner=OWNER)
    assert (named.consumer_group, JobSpec.from_json(named.to_json())) == ("team.lines", named)


def test_jars_that_spark_has_itself_are_left_out(settings: Settings) -> None:
    (settings.jars / "hadoop-client-api-3.5.0.jar").touch()
    assert [jar.name for jar in connector_jars(settings.jars)] == [
        "kafka-clients-3.9.2.jar", "spark-sql-kafka-0-10_2.13-4.2.0.jar",
    ]


def test_a_missing_connector_names_the_command_that_fetches_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="streamops jars"):
        connector_jars(tmp_path)


def test_the_same_code_gives_the_same_bundle_whoever_builds_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        bundles = set(pool.map(lambda _: bundle_code(JOBS, tmp_path / "a"), range(8)))
    assert len(bundles) == 1
    again = bundle_code(JOBS, tmp_path / "b")
    assert again.archive.read_bytes() == bundles.pop().archive.read_bytes()
    assert [path.name for path in (tmp_path / "a").iterdir()] == [again.version], "drafts were left behind"


def test_changed_code_gets_a_folder_of_its_own_and_the_old_one_stays(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    (jobs / "direct_stream.py").write_text("print(1)")
    before = bundle_code(jobs, tmp_path / "code")
    (jobs / "direct_stream.py").write_text("print(2)")
    after = bundle_code(jobs, tmp_path / "code")
    assert before.version != after.version
    assert before.entry_point("direct_stream.py").read_text() == "print(1)"
    assert after.entry_point("direct_stream.py").read_text() == "print(2)"
    with pytest.raises(ConfigurationError, match=r"no receiver_stream\.py"):
        after.entry_point("receiver_stream.py")


def test_what_travels_is_complete(tmp_path: Path) -> None:
    """Every module of ours that the archive's code imports is in the archive, as a fresh Python finds it."""
    bundle = bundle_code(JOBS, tmp_path)
    with zipfile.ZipFile(bundle.archive) as archive:
        names = archive.namelist()
    assert names == sorted(names)
    assert not [name for name in names if name.endswith((".pyc", ".scala", ".jar")) or "__pycache__" in name]
    modules = [name.removesuffix(".py").replace("/", ".") for name in names if name.startswith("streamops/")]
    plain = [module.removesuffix(".__init__") for module in modules]
    script = f"import importlib; [importlib.import_module(name) for name in {json.dumps(plain)}]"
    subprocess.run(
        [sys.executable, "-S", "-E", "-c", f"import sys; sys.path.insert(0, {str(bundle.archive)!r}); {script}"],
        check=True, cwd=tmp_path,
    )
