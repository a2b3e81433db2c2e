"""What of a Kafka connection travels to a job: references to secrets, never secrets."""

from __future__ import annotations

from typing import Any

import pytest

from streamops.declared.kafka_properties import for_a_job
from streamops.errors import ConfigurationError

SERVERS = {"bootstrap.servers": "broker:9092"}
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required"
REFERENCE = "${file:/etc/kafka/orders.properties:password}"


@pytest.mark.parametrize(("extra", "expected"), [
    pytest.param({}, {}, id="nothing but an address"),
    pytest.param({"security.protocol": "SSL", "max.poll.records": 500, "socket.keepalive.enable": True},
                 {"security.protocol": "SSL", "max.poll.records": "500", "socket.keepalive.enable": "true"},
                 id="numbers and booleans as Java reads them"),
    pytest.param({"group.id": "airflow", "auto.offset.reset": "earliest", "enable.auto.commit": False}, {},
                 id="what Spark sets itself is left out"),
    pytest.param({"sasl.jaas.config": f'{SCRAM} username="orders" password="{REFERENCE}";'},
                 {"sasl.jaas.config": f'{SCRAM} username="orders" password="{REFERENCE}";'},
                 id="a reference in a login configuration"),
    pytest.param({"ssl.key.password": REFERENCE}, {"ssl.key.password": REFERENCE}, id="a reference"),
    pytest.param({"config.providers": "file", "config.providers.file.param.secret.x": "1"},
                 {"config.providers": "file", "config.providers.file.param.secret.x": "1"},
                 id="a provider's own settings"),
    pytest.param({"sasl.jaas.config": 'com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true '
                                      'storeKey=true keyTab="/etc/orders.keytab" principal="orders@EXAMPLE.COM";'},
                 {"sasl.jaas.config": 'com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true '
                                      'storeKey=true keyTab="/etc/orders.keytab" principal="orders@EXAMPLE.COM";'},
                 id="Kerberos, which has no secret in it"),
    pytest.param({"sasl.mechanisms": "SCRAM-SHA-512", "sasl.username": "orders", "sasl.password": REFERENCE},
                 {"sasl.mechanism": "SCRAM-SHA-512",
                  "sasl.jaas.config": f'{SCRAM} username="orders" password="{REFERENCE}";'},
                 id="librdkafka's user and password"),
    pytest.param({"ssl.ca.location": "/etc/ca.pem"},
                 {"ssl.truststore.location": "/etc/ca.pem", "ssl.truststore.type": "PEM"},
                 id="librdkafka's authorities"),
])
def test_properties_that_travel(extra: dict[str, Any], expected: dict[str, str]) -> None:
    assert for_a_job({**SERVERS, **extra}, "kafka_default") == {**SERVERS, **expected}


@pytest.mark.parametrize("extra", [
    pytest.param({"sasl.jaas.config": f'{SCRAM} username="orders" password="hunter2";'}, id="login configuration"),
    pytest.param({"sasl.jaas.config": f"{SCRAM} username=orders password=hunter2;"}, id="login without quotes"),
    pytest.param({"sasl.jaas.config": f'{SCRAM} username="orders" password="hunter2{REFERENCE}";'},
                 id="half a reference"),
    pytest.param({"sasl.jaas.config": 'x.OAuthBearerLoginModule required clientId="a" clientSecret="hunter2";'},
                 id="OAuth"),
    pytest.param({"sasl.username": "orders", "sasl.password": "hunter2"}, id="librdkafka"),
    pytest.param({"ssl.keystore.password": "hunter2"}, id="key store"),
    pytest.param({"ssl.keystore.key": "hunter2"}, id="key"),
    pytest.param({"ssl.key.password": "hunter2"}, id="key's password"),
    pytest.param({"sasl.oauthbearer.client.credentials.client.secret": "hunter2"}, id="client secret"),
])
def test_a_secret_in_clear_is_refused_by_name(extra: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="FileConfigProvider") as refused:
        for_a_job({**SERVERS, **extra}, "kafka_default")
    assert "hunter2" not in str(refused.value)
    assert "kafka_default" in str(refused.value)


@pytest.mark.parametrize(("extra", "named"), [
    pytest.param({}, "bootstrap.servers", id="no address"),
    pytest.param({**SERVERS, "ssl.key.location": "/etc/key.pem"}, "ssl.key.location", id="a key apart"),
])
def test_a_connection_that_java_cannot_use_is_refused(extra: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        for_a_job(extra, "kafka_default")
