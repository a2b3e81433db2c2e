"""Settings of the embedded stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamops.errors import ConfigurationError
from streamops.stack.settings import StackSettings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in StackSettings.model_fields:
        monkeypatch.delenv(f"STREAMOPS_STACK_{name.upper()}", raising=False)
    monkeypatch.setenv("STREAMOPS_HOME", str(tmp_path))


def test_it_lives_in_the_home_folder(tmp_path: Path) -> None:
    settings = StackSettings.load()
    assert settings.data == tmp_path / "stack"
    assert settings.jars == tmp_path / "jars"


def test_every_port_by_default_is_another() -> None:
    settings = StackSettings.load(kafka_brokers=3)
    ports = [getattr(settings, name) for name in StackSettings.model_fields if name.endswith("_port")]
    every = {*ports, *settings.kafka_ports, *settings.kafka_controller_ports}
    assert len(every) == len(ports) + 4  # two further brokers, each with two ports


def test_further_brokers_follow_the_first() -> None:
    settings = StackSettings.load(kafka_brokers=3, kafka_port=9092)
    assert settings.kafka_ports == [9092, 9192, 9292]
    assert settings.bootstrap_servers == "127.0.0.1:9092,127.0.0.1:9192,127.0.0.1:9292"


@pytest.mark.parametrize(
    ("variable", "value", "found"),
    [
        ("KAFKA_PORT", "ninety", "STREAMOPS_STACK_KAFKA_PORT='ninety'"),
        ("AIRFLOW_PORT", "70000", "STREAMOPS_STACK_AIRFLOW_PORT='70000'"),
        ("KAFKA_BROKERS", "2", "STREAMOPS_STACK_KAFKA_BROKERS="),
        ("SPARK_WORKER_CORES", "1", "STREAMOPS_STACK_SPARK_WORKER_CORES='1'"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, found: str) -> None:
    monkeypatch.setenv(f"STREAMOPS_STACK_{variable}", value)
    with pytest.raises(ConfigurationError) as caught:
        StackSettings.load()
    assert found in caught.value.found


def test_every_setting_can_be_given_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = StackSettings.load(kafka_brokers=3, start_timeout_s=99.5, airflow_database="sqlite:////tmp/a.db",
                                database="sqlite:////tmp/s.db")
    for name, value in wanted.model_dump().items():
        monkeypatch.setenv(f"STREAMOPS_STACK_{name.upper()}", str(value))
    assert StackSettings.load() == wanted


def test_a_shell_without_the_variables_finds_the_stack_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    running = StackSettings.load(kafka_port=19092, airflow_port=18080)
    running.data.mkdir()
    running.running_file.write_text(running.model_dump_json())
    assert StackSettings.load().kafka_port == 19092
    monkeypatch.setenv("STREAMOPS_STACK_KAFKA_PORT", "29092")
    assert StackSettings.load().kafka_port == 29092, "what this shell says goes before what runs"
    assert StackSettings.load(kafka_port=39092).kafka_port == 39092
    assert StackSettings.load().airflow_port == 18080


def test_a_damaged_record_of_what_runs_is_no_record() -> None:
    settings = StackSettings.load()
    settings.data.mkdir()
    settings.running_file.write_text("{")
    assert StackSettings.load() == settings


def test_free_ports_are_all_different(tmp_path: Path) -> None:
    settings = StackSettings.on_free_ports(tmp_path / "other", airflow_port=8080)
    ports = [getattr(settings, name) for name in StackSettings.model_fields if name.endswith("_port")]
    assert len(set(ports)) == len(ports)
    assert settings.airflow_port == 8080
    assert settings.data == tmp_path / "other"
