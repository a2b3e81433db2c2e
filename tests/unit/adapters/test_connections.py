"""Connections are read as Airflow reads them: compared with Airflow's own parser on a table of cases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamops.adapters.connections import Connection, connection, parse, stack_environment
from streamops.errors import ConfigurationError

SAME_AS_AIRFLOW = [
    "spark://spark%3A%2F%2F127.0.0.1:7077?deploy-mode=cluster&rest-port=6066",
    "kafka://",
    "kafka://?bootstrap.servers=a%3A9092%2Cb%3A9092&security.protocol=SSL",
    "kafka://?__extra__=%7B%22bootstrap.servers%22%3A+%22a%3A9092%22%2C+%22n%22%3A+%7B%22x%22%3A+1%7D%7D",
    "postgresql://me:p%40ss%2Fw%3Ard@db.example.com:5432/name%20of%20db?sslmode=require&empty=",
    "postgres://me@db/",
    "generic://?url=file%3A%2F%2F%2Fdata%2Fstreams",
    "google-cloud-platform://?key_path=%2Fkeys%2Fkey.json",
    "http://https://Example.com:8443/path",
    "my-type://Host.With.Case/schema",
    "sqlite://%2Ftmp%2Fa%20file.db",
    "type://:secret@host",
    "  kafka://host:9092  ",
    "type://host?a=1&a=2",
    '{"conn_type": "kafka", "extra": {"bootstrap.servers": "a:9092", "request.timeout.ms": 5000}}',
    '{"conn_type": "kafka", "extra": "{\\"bootstrap.servers\\": \\"a:9092\\"}"}',
    '{"conn_type": "my-type", "host": "spark://h", "port": "7077", "login": "l", "password": "p@/:", "schema": "s"}',
    '{"conn_type": "postgresql", "host": "db", "description": "the database", "port": 5432}',
    '{"conn_type": "generic", "extra": null, "port": 0}',
    '  {"conn_type": "generic"}',
]


@pytest.mark.parametrize("text", SAME_AS_AIRFLOW)
def test_a_connection_is_what_airflow_makes_of_it(text: str) -> None:
    from airflow.sdk.definitions.connection import Connection as AirflowConnection

    stripped = text.strip()
    if stripped.startswith("{"):
        expected = AirflowConnection.from_json(stripped, conn_id="c")
    else:
        expected = AirflowConnection.from_uri(stripped, conn_id="c")
    assert parse("c", text) == Connection(
        conn_id="c", conn_type=expected.conn_type, host=expected.host, port=expected.port, login=expected.login,
        password=expected.password, schema=expected.schema,
        extra=json.loads(expected.extra) if expected.extra else {})


@pytest.mark.parametrize(("text", "reason"), [
    ("hunter2", "neither a connection URI nor JSON"),
    ('{"conn_type": "kafka", "extra": "hunter2"}', "extra is not JSON"),
    ('{"conn_type": "kafka", "extra": ["hunter2"]}', "not a JSON object"),
    ('{"conn_type": "kafka", "password": "hunter2"', "not JSON"),
    ('{"conn_type": "kafka", "pasword": "hunter2"}', "pasword"),
    ('{"conn_type": "kafka", "port": "hunter2"}', "port is not a number"),
    ("kafka://me:hunter2/x@host:9092", "percent-encoded"),
    ("kafka://?__extra__=hunter2", "extra is not JSON"),
    ("a://b://c://hunter2", "neither"),
    ("a://me:hunter2@b://c", "not one word"),
    ("spark://spark://hunter2:7077", "not one word"),
])
def test_what_cannot_be_read_is_told_without_repeating_it(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as refused:
        parse("c", text)
    assert "hunter2" not in str(refused.value)
    assert "AIRFLOW_CONN_C" in str(refused.value)


def test_secrets_are_not_in_the_text_form() -> None:
    read = parse("c", '{"conn_type": "kafka", "password": "hunter2", "extra": {"sasl.password": "hunter2"}}')
    assert "hunter2" not in repr(read)


def test_an_unknown_connection_names_its_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="AIRFLOW_CONN_ORDERS_KAFKA"):
        connection("orders_kafka", environ={}, home=tmp_path)


def test_the_environment_goes_before_the_embedded_stack(tmp_path: Path) -> None:
    file = tmp_path / "stack" / "env"
    file.parent.mkdir()
    file.write_text("# written by the stack\nAIRFLOW_CONN_A=generic://stack?k=a=b\nAIRFLOW_CONN_B=generic://stack\n")
    assert stack_environment(tmp_path)["AIRFLOW_CONN_A"] == "generic://stack?k=a=b"
    assert connection("a", environ={"AIRFLOW_CONN_A": "generic://mine"}, home=tmp_path).host == "mine"
    assert connection("b", environ={"AIRFLOW_CONN_A": "generic://mine"}, home=tmp_path).host == "stack"


def test_what_an_extra_must_have() -> None:
    assert parse("c", "generic://?url=file%3A%2F%2F%2Fdata").require("url") == "file:///data"
    with pytest.raises(ConfigurationError, match="`c` has no `url`"):
        parse("c", "generic://").require("url")
