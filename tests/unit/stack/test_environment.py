"""What servers and clients of the stack find in their environment."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from streamops.adapters import connections
from streamops.adapters.spark.master import Cluster
from streamops.stack import environment
from streamops.stack.credentials import Credentials
from streamops.stack.settings import StackSettings


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    ports = {"kafka_port": 19092, "spark_master_port": 17077, "spark_rest_port": 16066, "airflow_port": 18080}
    ports |= {"hdfs_namenode_port": 18020, "hdfs_http_port": 19870}
    return StackSettings.load(data=tmp_path, **ports)


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    return Credentials.load_or_make(tmp_path)


def test_connections_name_the_stacks_own_ports(settings: StackSettings, credentials: Credentials) -> None:
    found = environment.connections(settings, credentials)
    kafka = json.loads(found["AIRFLOW_CONN_KAFKA_DEFAULT"])
    assert kafka["extra"]["bootstrap.servers"] == "127.0.0.1:19092"
    spark = "spark://spark%3A%2F%2F127.0.0.1:17077?deploy-mode=cluster&rest-port=16066"
    assert found["AIRFLOW_CONN_SPARK_DEFAULT"].startswith(spark)
    storage = json.loads(found["AIRFLOW_CONN_STREAMOPS_STORAGE"])
    assert storage["extra"]["url"] == f"file://{settings.data}/streams"
    hdfs = json.loads(found["AIRFLOW_CONN_STREAMOPS_HDFS"])
    assert hdfs["extra"] == {"url": "hdfs://127.0.0.1:18020/streams", "options": {"port": 19870}}
    assert credentials.password in found["AIRFLOW_CONN_STREAMOPS_AIRFLOW"]


def test_two_masters_are_named_with_the_urls_of_both(settings: StackSettings, credentials: Credentials) -> None:
    two = settings.model_copy(update={"spark_masters": 2, "spark_master_ui_port": 18090})
    uri = environment.connections(two, credentials)["AIRFLOW_CONN_SPARK_DEFAULT"]
    found = Cluster.of(connections.parse("spark_default", uri))
    assert found == Cluster("spark://127.0.0.1:17077,127.0.0.1:17177",
                            ("http://127.0.0.1:16066", "http://127.0.0.1:16166"),
                            ("http://127.0.0.1:18090", "http://127.0.0.1:18190"))


def test_the_callers_shell_does_not_bend_the_servers(
    settings: StackSettings, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = {
        "AIRFLOW_CONN_KAFKA_DEFAULT": '{"conn_type": "kafka", "extra": {"bootstrap.servers": "production:9092"}}',
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__SQL_ALCHEMY_CONN_CMD": "cat /etc/passwd",
        "AIRFLOW_HOME": "/elsewhere",
        "SPARK_CONF_DIR": "/etc/spark",
        "PYTHONPATH": "/elsewhere",
        "STREAMOPS_STACK_ID": "another",
    }
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    found = environment.of_servers(settings, credentials)
    assert "production" not in found["AIRFLOW_CONN_KAFKA_DEFAULT"]
    assert found["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert found["AIRFLOW_HOME"] == str(settings.data / "airflow")
    for name in ("AIRFLOW__CORE__SQL_ALCHEMY_CONN_CMD", "SPARK_CONF_DIR", "PYTHONPATH", "STREAMOPS_STACK_ID"):
        assert name not in found


def test_loopback_is_never_asked_through_a_proxy(
    settings: StackSettings, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "intern.example")
    monkeypatch.delenv("no_proxy", raising=False)
    assert environment.of_servers(settings, credentials)["no_proxy"] == "intern.example,127.0.0.1,localhost"


def test_a_client_does_not_carry_the_mark_by_which_down_ends_processes(
    settings: StackSettings, credentials: Credentials
) -> None:
    found = environment.of_client(settings, credentials)
    assert not {"STREAMOPS_STACK_ID", "STREAMOPS_STACK_SERVER", "PATH"} & set(found)
    assert found["STREAMOPS_STACK_DATA"] == str(settings.data)


def test_the_database_is_one_setting(tmp_path: Path, credentials: Credentials) -> None:
    url = "postgresql+psycopg2://airflow@localhost/airflow"
    found = environment.airflow(StackSettings(data=tmp_path, airflow_database=url), credentials)
    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == url
    found = environment.airflow(StackSettings(data=tmp_path), credentials)
    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{tmp_path}/airflow/airflow.db?timeout=20"


def test_secrets_are_made_once_and_for_their_owner(tmp_path: Path, settings: StackSettings) -> None:
    first = Credentials.load_or_make(tmp_path)
    assert Credentials.load_or_make(tmp_path) == first
    assert json.loads(Credentials.passwords_file(tmp_path).read_text()) == {"admin": first.password}
    written = environment.write_env_file(settings, first)
    assert written == tmp_path / "env"
    for path in (tmp_path / "credentials.json", Credentials.passwords_file(tmp_path), written):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert all("=" in line for line in written.read_text().splitlines())


def test_a_password_file_that_was_changed_is_set_right(tmp_path: Path) -> None:
    made = Credentials.load_or_make(tmp_path)
    Credentials.passwords_file(tmp_path).write_text('{"admin": "guess"}\n')
    Credentials.load_or_make(tmp_path)
    assert json.loads(Credentials.passwords_file(tmp_path).read_text()) == {"admin": made.password}
