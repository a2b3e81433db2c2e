"""Kafka client settings: from the names that Kafka's documentation uses to those of kafka-python.

The extra of an Airflow Kafka connection has the names of librdkafka, which are mostly Java's. Both are taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from streamops.adapters.connections import Connection
from streamops.adapters.kafka.config_providers import resolved
from streamops.declared.problems import nearest
from streamops.errors import ConfigurationError

_WORDS = {
    "client.id": "client_id",
    "client.dns.lookup": "client_dns_lookup",
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",  # librdkafka
    "sasl.username": "sasl_plain_username",  # librdkafka
    "sasl.password": "sasl_plain_password",  # librdkafka
    "sasl.kerberos.service.name": "sasl_kerberos_service_name",
    "ssl.ca.location": "ssl_cafile",  # librdkafka
    "ssl.certificate.location": "ssl_certfile",  # librdkafka
    "ssl.key.location": "ssl_keyfile",  # librdkafka
    "ssl.key.password": "ssl_password",
    "ssl.crl.location": "ssl_crlfile",  # librdkafka
    "ssl.truststore.location": "ssl_cafile",  # PEM only, see _refuse_key_stores
    "ssl.keystore.location": "ssl_certfile",
}
_NUMBERS = {
    "request.timeout.ms": "request_timeout_ms",
    "socket.timeout.ms": "request_timeout_ms",  # librdkafka
    "connections.max.idle.ms": "connections_max_idle_ms",
    "reconnect.backoff.ms": "reconnect_backoff_ms",
    "reconnect.backoff.max.ms": "reconnect_backoff_max_ms",
    "retry.backoff.ms": "retry_backoff_ms",
    "metadata.max.age.ms": "metadata_max_age_ms",
}
#: Read in code below, or of no meaning to kafka-python.
_OTHERS = {
    "sasl.jaas.config", "ssl.endpoint.identification.algorithm", "ssl.truststore.type", "ssl.keystore.type",
    "ssl.truststore.password", "ssl.protocol", "ssl.enabled.protocols", "security.providers",
}
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI")


def client_settings(connection: Connection) -> dict[str, Any]:
    """Keyword arguments for kafka-python's clients: `{"bootstrap_servers": ["kafka:9092"], "client_id": "streamops"}`.

    Settings of consumers and producers (`group.id`, `acks`, …) are left out. A security setting that is not known is
    refused: to drop it could mean to talk in clear.

    Raises:
        ConfigurationError: no bootstrap servers, a setting that kafka-python cannot follow, or a wrong value.
    """
    given = resolved(connection.extra, connection.conn_id)
    extra = {key: value for key, value in given.items() if value not in (None, "")}
    servers = str(extra.get("bootstrap.servers") or extra.get("metadata.broker.list")
                  or connection.require("bootstrap.servers"))
    settings: dict[str, Any] = {
        "client_id": "streamops",
        "bootstrap_servers": [_with_port(server.strip()) for server in servers.split(",") if server.strip()],
    }
    _check_servers(connection, settings["bootstrap_servers"])
    _refuse_key_stores(connection, extra)
    for key, value in extra.items():
        if key in _WORDS:
            settings[_WORDS[key]] = str(value)
        elif key in _NUMBERS:
            settings[_NUMBERS[key]] = _whole_number(connection, key, value)
        elif key.startswith(("sasl.", "ssl.", "security.")) and key not in _OTHERS:
            known = nearest(key, {*_WORDS, *_OTHERS})
            raise _refused(connection, f"has `{key}`, which streamops does not know",
                           f"Write `{known}`." if known else
                           "Remove it. Known are SASL PLAIN, SCRAM and GSSAPI, and TLS with PEM files.")
    if "sasl.jaas.config" in extra:
        settings |= _from_jaas(connection, str(extra["sasl.jaas.config"]))
    # Java: an empty algorithm switches the check of the host name off; librdkafka says none.
    algorithm = given.get("ssl.endpoint.identification.algorithm")
    if algorithm is not None:
        settings["ssl_check_hostname"] = str(algorithm).lower() not in {"", "none"}
    for key, known_words in (("security_protocol", _PROTOCOLS), ("sasl_mechanism", _MECHANISMS)):
        if key in settings:
            settings[key] = settings[key].upper()
            if settings[key] not in known_words:
                raise _refused(connection, f"has `{key.replace('_', '.')}` {settings[key][:40]!r}",
                               f"It can be {', '.join(known_words)}.")
    return settings


def _refused(connection: Connection, found: str, repair: str) -> ConfigurationError:
    return ConfigurationError(f"the Airflow connection `{connection.conn_id}` {found}", repair)


def _check_servers(connection: Connection, servers: list[str]) -> None:
    for server in servers:
        if not re.fullmatch(r"(\w+://)?(\[[0-9A-Fa-f:.%]+\]|[^\s:/@]+)(:\d{1,5})?", server):
            raise _refused(connection, "has a bootstrap server that is not host:port",
                           'Write them as "host:port,host:port".')


def _with_port(server: str) -> str:
    """9092 is what Kafka's clients take where no port is written."""
    return server if re.search(r":\d+$", server) else f"{server}:9092"


def _refuse_key_stores(connection: Connection, extra: Mapping[str, Any]) -> None:
    for store in ("ssl.truststore", "ssl.keystore"):
        location = extra.get(f"{store}.location")
        if location and str(extra.get(f"{store}.type", "")).upper() != "PEM" and not str(location).endswith(".pem"):
            raise _refused(connection, f"has a Java key store in `{store}.location`, which only Java reads",
                           "Export it as PEM, and name the file in ssl.ca.location, ssl.certificate.location and "
                           "ssl.key.location.")


def _whole_number(connection: Connection, key: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise _refused(connection, f"has `{key}`, which is not a whole number", "Write milliseconds.") from None


def _from_jaas(connection: Connection, jaas: str) -> dict[str, str]:
    """User and password out of a Java login configuration of PLAIN or SCRAM."""
    found = {key: quoted or plain for key, quoted, plain in re.findall(
        r'\b(username|password)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', jaas)}
    if set(found) != {"username", "password"}:
        raise _refused(connection, "has a `sasl.jaas.config` without user name and password",
                       "Write sasl.username and sasl.password instead.")
    return {f"sasl_plain_{key}": re.sub(r"\\(.)", r"\1", value) for key, value in found.items()}
