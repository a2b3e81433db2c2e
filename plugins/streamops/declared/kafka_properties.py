"""Which of a Kafka connection's properties may travel to a job, where anybody can read them.

A job's settings are in its application arguments: in process lists, logs, Spark's web interface and its event log. So
a secret never travels; what may is a reference that Kafka's client resolves where it runs (KIP-297):

    security.protocol: SASL_SSL
    config.providers: file
    config.providers.file.class: org.apache.kafka.common.config.provider.FileConfigProvider
    sasl.jaas.config: … required username="orders" password="${file:/etc/kafka/orders.properties:password}";
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from streamops.errors import ConfigurationError

#: Properties that Spark's Kafka source sets itself; it refuses most of them when they are given
#: (`KafkaSourceProvider.validateGeneralOptions`), and a group shared with other consumers would disturb both.
OWNED_BY_SPARK = frozenset({
    "auto.offset.reset", "enable.auto.commit", "auto.commit.interval.ms", "group.id", "group.instance.id",
    "interceptor.classes", "key.deserializer", "value.deserializer", "key.serializer", "value.serializer", "client.id",
})

#: Names of the properties that Kafka keeps out of its own logs (`ConfigDef.Type.PASSWORD`), librdkafka's among them.
_SECRET = re.compile(r"password|secret|jaas\.config$|\.token|keystore\.key$|ssl\.key\.pem$|credential", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{[^{}]+:[^{}]*\}")
_QUOTED_SECRET = re.compile(r"(\w*(?:password|secret|token|key)\w*)\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s;]+)", re.IGNORECASE)


def for_a_job(extra: Mapping[str, Any], conn_id: str) -> dict[str, str]:
    """The properties of a connection that a job is given, as text, in the order of their names, in Java's words.

    Left out is what Spark sets itself. Raises ConfigurationError for a secret in clear, naming the property and never
    its value, and for a connection without `bootstrap.servers`.
    """
    extra = _in_javas_words(extra, conn_id)
    if not extra.get("bootstrap.servers"):
        raise ConfigurationError(
            f"the Kafka connection {conn_id!r} has no bootstrap.servers in its extra",
            'Give it one, for example {"bootstrap.servers": "broker1:9092,broker2:9092"}.',
        )
    properties = {name: _text(value) for name, value in sorted(extra.items()) if name not in OWNED_BY_SPARK}
    if in_clear := [name for name, value in properties.items() if _is_secret_in_clear(name, value)]:
        raise ConfigurationError(
            f"the Kafka connection {conn_id!r} holds a secret in clear: {', '.join(in_clear)}. A job's settings can be "
            "read by everybody who sees Spark's web interface or a process list",
            "Put the secret in a file on the workers that only Spark's user can read, add config.providers=file and "
            "config.providers.file.class=org.apache.kafka.common.config.provider.FileConfigProvider to the "
            f"connection's extra, and write {in_clear[0]} as ${{file:/etc/kafka/client.properties:password}} "
            "(in sasl.jaas.config, the part that is the password).",
        )
    return properties


#: What Airflow's Kafka provider, which is librdkafka, calls otherwise than Java's client does.
_JAVAS_NAMES = {
    "metadata.broker.list": "bootstrap.servers",
    "sasl.mechanisms": "sasl.mechanism",
    "ssl.ca.location": "ssl.truststore.location",
}
_LOGIN_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


def _in_javas_words(extra: Mapping[str, Any], conn_id: str) -> dict[str, Any]:
    """The same properties as Java's client names them; those that it names so already win."""
    if given := [name for name in ("ssl.certificate.location", "ssl.key.location") if extra.get(name)]:
        raise ConfigurationError(
            f"the Kafka connection {conn_id!r} has {' and '.join(given)}, which the Kafka client in Spark cannot read",
            "Put key and certificates into one PEM file on the workers, and write ssl.keystore.type=PEM and "
            "ssl.keystore.location.",
        )
    java = {_JAVAS_NAMES.get(name, name): value for name, value in extra.items()} | {
        name: value for name, value in extra.items() if name not in _JAVAS_NAMES
    }
    if extra.get("ssl.ca.location"):
        java.setdefault("ssl.truststore.type", "PEM")
    user, password = java.pop("sasl.username", None), java.pop("sasl.password", None)
    if user and password and "sasl.jaas.config" not in java:
        module = _LOGIN_MODULES.get(str(java.get("sasl.mechanism", "PLAIN")).upper(), _LOGIN_MODULES["PLAIN"])
        quoted = [str(text).replace("\\", "\\\\").replace('"', '\\"') for text in (user, password)]
        java["sasl.jaas.config"] = f'{module} required username="{quoted[0]}" password="{quoted[1]}";'
    return java


def _is_secret_in_clear(name: str, value: str) -> bool:
    if not value or not _SECRET.search(name) or name.startswith("config.providers"):
        return False
    if name.endswith("jaas.config"):
        # Only its options are secret; a module without any (Kerberos, a callback handler) is none.
        options = _QUOTED_SECRET.findall(value)
        return any(not _is_reference(given.strip("\"'")) for option, given in options if option not in _JAAS_FLAGS)
    return not _is_reference(value)


#: Options of Kerberos' login module that look like secrets by their names and say yes or no, or where a file is.
_JAAS_FLAGS = frozenset({"useKeyTab", "keyTab", "storeKey", "useTicketCache"})


def _is_reference(value: str) -> bool:
    return _REFERENCE.fullmatch(value) is not None


def _text(value: Any) -> str:
    """As Kafka's client reads it: `true`, not `True`."""
    return str(value).lower() if isinstance(value, bool) else str(value)
