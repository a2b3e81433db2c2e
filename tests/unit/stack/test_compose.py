"""docker-compose.yaml is parsed and compared with the project. It is not run: these tests have no Docker."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from streamops.adapters.connections import parse
from streamops.adapters.database.address import url_of
from streamops.settings import project_root
from streamops.stack import jars


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    text = (project_root() / "docker-compose.yaml").read_text("utf-8")
    parsed = yaml.safe_load(text)
    assert isinstance(parsed, dict)
    return parsed


def test_the_parts_are_those_of_the_embedded_stack(compose: dict[str, Any]) -> None:
    airflow = {"airflow-api", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"}
    assert {"kafka", "spark-master", "spark-worker"} | airflow <= set(compose["services"])


def test_ports_are_published_on_loopback_only(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_named_volume_is_declared_and_every_folder_exists(compose: dict[str, Any]) -> None:
    mounts = [mount for service in compose["services"].values() for mount in service.get("volumes", ())]
    for source in {mount.split(":")[0] for mount in mounts}:
        if source.startswith("./"):
            assert source.startswith("./.streamops/") or (project_root() / source).is_dir(), source
        else:
            assert source in compose["volumes"], source


def test_every_dependency_is_a_service(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert set(service.get("depends_on", ())) <= set(compose["services"])


def test_our_own_database_is_upgraded_before_airflow_starts(compose: dict[str, Any]) -> None:
    init = compose["services"]["airflow-init"]
    url = url_of(parse("streamops_db", init["environment"]["AIRFLOW_CONN_STREAMOPS_DB"]))
    assert url.host in compose["services"]
    assert init["command"][-1].endswith("-m streamops.cli.main db upgrade")
    assert "airflow-init" in compose["services"]["airflow-scheduler"]["depends_on"]


def test_versions_are_those_that_the_project_pins(compose: dict[str, Any]) -> None:
    pinned = (project_root() / "requirements.in").read_text("utf-8")
    airflow = compose["services"]["airflow-api"]
    assert f"apache-airflow=={airflow['image'].split(':')[1].split('-')[0]}\n" in pinned
    assert f"pyspark=={compose['services']['spark-master']['image'].split(':')[1].split('-')[0]}\n" in pinned
    for requirement in airflow["environment"]["_PIP_ADDITIONAL_REQUIREMENTS"].split():
        assert f"{requirement}\n" in pinned
    broker = next(jar for jar in jars.locked()["broker"] if jar.module == "kafka_2.13")
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{broker.revision}"
