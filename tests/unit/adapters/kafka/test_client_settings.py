"""Kafka's property names, Java's and librdkafka's, as kafka-python's keyword arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamops.adapters.connections import Connection
from streamops.adapters.kafka.client_settings import client_settings
from streamops.errors import ConfigurationError

SERVERS = {"bootstrap.servers": "a:9092"}


def settings(**extra: Any) -> dict[str, Any]:
    return client_settings(Connection("k", "kafka", extra={**SERVERS, **extra}))


@pytest.mark.parametrize(("extra", "expected"), [
    ({}, {}),
    ({"bootstrap.servers": "a:1, b ,[::1]:3,"}, {"bootstrap_servers": ["a:1", "b:9092", "[::1]:3"]}),
    ({"bootstrap.servers": "", "metadata.broker.list": "c:1"}, {"bootstrap_servers": ["c:1"]}),
    ({"group.id": "g", "acks": "all", "auto.offset.reset": "earliest"}, {}),
    ({"request.timeout.ms": "5000"}, {"request_timeout_ms": 5000}),
    ({"security.protocol": "sasl_ssl", "sasl.mechanisms": "plain", "sasl.username": "me", "sasl.password": "p"},
     {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_plain_username": "me",
      "sasl_plain_password": "p"}),
    ({"sasl.mechanism": "SCRAM-SHA-512", "sasl.jaas.config":
      'org.apache.kafka.common.security.scram.ScramLoginModule required username="me" password="p\\"q;";'},
     {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "me", "sasl_plain_password": 'p"q;'}),
    ({"ssl.ca.location": "/ca.pem", "ssl.certificate.location": "/c.pem", "ssl.key.location": "/k.pem",
      "ssl.key.password": "p"},
     {"ssl_cafile": "/ca.pem", "ssl_certfile": "/c.pem", "ssl_keyfile": "/k.pem", "ssl_password": "p"}),
    ({"ssl.truststore.location": "/t", "ssl.truststore.type": "PEM"}, {"ssl_cafile": "/t"}),
    ({"ssl.endpoint.identification.algorithm": ""}, {"ssl_check_hostname": False}),
    ({"ssl.endpoint.identification.algorithm": "https"}, {"ssl_check_hostname": True}),
])
def test_settings(extra: dict[str, Any], expected: dict[str, Any]) -> None:
    assert settings(**extra) == {"client_id": "streamops", "bootstrap_servers": ["a:9092"], **expected}


@pytest.mark.parametrize(("extra", "found", "repair"), [
    ({"bootstrap.servers": ""}, "no `bootstrap.servers`", "Add it"),
    ({"bootstrap.servers": "me:hunter2@a:9092"}, "not host:port", "host:port"),
    ({"security.protocl": "SSL"}, "`security.protocl`", "security.protocol"),
    ({"security.protocol": "TLS"}, "'TLS'", "SASL_SSL"),
    ({"sasl.mechanism": "OAUTHBEARER"}, "'OAUTHBEARER'", "SCRAM-SHA-512"),
    ({"sasl.jaas.config": "hunter2"}, "without user name", "sasl.username"),
    ({"ssl.keystore.location": "/k.jks"}, "Java key store", "PEM"),
    ({"request.timeout.ms": "soon"}, "not a whole number", "milliseconds"),
    ({"sasl.password": "${vault:hunter2}"}, "'vault', which it does not declare", "config.providers.vault.class"),
])
def test_what_is_refused(extra: dict[str, Any], found: str, repair: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings(**extra)
    assert found in refused.value.found
    assert repair in str(refused.value.repair)
    assert "hunter2" not in str(refused.value)


def test_references_are_resolved_as_kafka_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "client.properties"
    file.write_text("# the user of orders\nuser=me\npassword: p\\=q \n")
    (tmp_path / "token").write_text("t")
    monkeypatch.setenv("KEY_PASSWORD", "k")
    package = "org.apache.kafka.common.config.provider"
    read = settings(**{
        "config.providers": "file,dir,env",
        "config.providers.file.class": f"{package}.FileConfigProvider",
        "config.providers.dir.class": f"{package}.DirectoryConfigProvider",
        "config.providers.env.class": f"{package}.EnvVarConfigProvider",
        "sasl.username": f"${{file:{file}:user}}-${{dir:{tmp_path}:token}}",
        "sasl.password": f"${{file:{file}:password}}",
        "ssl.key.password": "${env:KEY_PASSWORD}",
    })
    assert read["sasl_plain_username"] == "me-t"
    assert read["sasl_plain_password"] == "p=q "
    assert read["ssl_password"] == "k"


def test_a_reference_that_leads_nowhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="which is not there"):
        settings(**{"config.providers.file.class": "x.FileConfigProvider",
                    "sasl.password": f"${{file:{tmp_path}/none:password}}"})
