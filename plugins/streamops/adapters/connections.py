"""Airflow connections: addresses and secrets, read when they are needed and never before.

In an Airflow task they come from Airflow, with its secret backends. At a shell they come from the variables that
Airflow reads, `AIRFLOW_CONN_<ID>`, and when the embedded stack of this home is there, from the file `stack/env`
that `streamops stack up` writes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from streamops.errors import ConfigurationError

_PREFIX = "AIRFLOW_CONN_"


@dataclass(frozen=True)
class Connection:
    """An Airflow connection. Its text form leaves out the password and the extra, which hold secrets."""

    conn_id: str
    conn_type: str | None = None
    host: str | None = None
    port: int | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    schema: str | None = None
    extra: dict[str, Any] = field(default_factory=dict, repr=False)

    def require(self, key: str) -> str:
        """A setting of the extra as text. Raises ConfigurationError when it is not there."""
        value = self.extra.get(key)
        if value is None or value == "":
            raise ConfigurationError(
                f"the Airflow connection `{self.conn_id}` has no `{key}` in its extra",
                f'Add it to the extra: {{"{key}": "…"}}.',
            )
        return str(value)


def connection(conn_id: str, environ: Mapping[str, str] | None = None, home: Path | None = None) -> Connection:
    """The connection of that id.

    Args:
        environ: the environment variables; the process's own by default.
        home: the home folder, where the embedded stack leaves `stack/env`; that of the settings by default.

    Raises:
        ConfigurationError: when nothing defines the connection, or what defines it cannot be read.
    """
    environ = os.environ if environ is None else environ
    if _in_airflow():
        return _from_airflow(conn_id)
    variable = _PREFIX + conn_id.upper()
    text = environ.get(variable) or stack_environment(home).get(variable)
    if not text:
        raise ConfigurationError(
            f"there is no Airflow connection `{conn_id}`: the variable {variable} is not set",
            f"Set {variable} to a URI or JSON as Airflow takes it, or start the embedded stack: streamops stack up",
        )
    return parse(conn_id, text)


def stack_environment(home: Path | None = None) -> dict[str, str]:
    """What the embedded stack of this home tells its clients: `{"AIRFLOW_CONN_KAFKA_DEFAULT": "…"}`, or nothing."""
    if home is None:
        from streamops.settings import Settings

        home = Settings.load().home
    try:
        lines = (home / "stack" / "env").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def parse(conn_id: str, text: str) -> Connection:
    """A connection from the value of its variable, URI or JSON, read as Airflow reads it.

    The rules are those of `airflow.sdk.definitions.connection.Connection`; a test compares the two. Messages never
    repeat the value, which may hold a password.
    """
    text = text.strip()
    try:
        return _from_json(conn_id, text) if text.startswith("{") else _from_uri(conn_id, text)
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"the Airflow connection `{conn_id}` cannot be read: {_reason(error)}",
            f"Correct {_PREFIX}{conn_id.upper()}: a URI as type://login:password@host:port/schema?key=value with every "
            "part percent-encoded, or JSON with conn_type, host, port, login, password, schema, extra.",
        ) from None


def _reason(error: Exception) -> str:
    """Why parsing failed, without the value: only messages that are known not to repeat it."""
    if isinstance(error, json.JSONDecodeError):
        return f"it is not JSON: {error.msg} at character {error.pos}"
    return str(error) if isinstance(error, _BadConnectionError) else "it is neither a connection URI nor JSON"


class _BadConnectionError(ValueError):
    """A message that repeats nothing of the value."""


def _from_json(conn_id: str, text: str) -> Connection:
    data = json.loads(text)
    known = {"conn_type", "host", "port", "login", "password", "schema", "extra", "description"}
    if unknown := sorted(set(data) - known):
        raise _BadConnectionError(f"it has keys that a connection does not have: {', '.join(unknown)[:100]}")
    port = data.get("port")
    try:
        number = int(port) if port else None
    except ValueError:
        raise _BadConnectionError("its port is not a number") from None
    extra = data.get("extra") or {}
    return Connection(
        conn_id=conn_id, conn_type=_normal_type(data.get("conn_type")), host=data.get("host"), port=number,
        login=data.get("login"), password=data.get("password"), schema=data.get("schema"),
        extra=_extra(extra if isinstance(extra, str) else json.dumps(extra)),
    )


def _from_uri(conn_id: str, uri: str) -> Connection:
    """Two `://` mean a host with a protocol of its own, as in `spark://spark://host:7077`."""
    schemes = uri.count("://")
    if schemes not in (1, 2):
        raise _BadConnectionError("it is neither a connection URI nor JSON")
    written_type = urlsplit(uri).scheme
    rest = uri.replace(f"{written_type}://", "" if schemes == 2 else "//")
    if schemes == 2 and any(sign in rest.split("://", 1)[0] for sign in "@:"):
        raise _BadConnectionError("the protocol of its host is not one word")
    parts = urlsplit(rest)
    host = _host(parts)
    try:
        port = parts.port
    except ValueError:
        raise _BadConnectionError("its port is not a number from 0 to 65535; a `/`, `?`, `#` or `@` in a password must "
                                  "be percent-encoded") from None
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Connection(
        conn_id=conn_id,
        conn_type=_normal_type(written_type),
        host=f"{parts.scheme}://{host}" if schemes == 2 and host else host,
        port=port,
        login=unquote(parts.username) if parts.username else parts.username,
        password=unquote(parts.password) if parts.password else parts.password,
        schema=unquote(parts.path[1:]),
        extra=_extra(query["__extra__"]) if "__extra__" in query else dict(query),
    )


def _host(parts: SplitResult) -> str:
    """The host with its case kept where it holds a path or address, as Airflow's `_parse_netloc_to_hostname` does."""
    host = unquote(parts.hostname or "")
    if "/" in host:
        host = unquote(parts.netloc.rsplit("@", 1)[-1].split(":", 1)[0])
    return host


def _normal_type(conn_type: str | None) -> str | None:
    if not conn_type:
        return None
    return "postgres" if conn_type == "postgresql" else conn_type.replace("-", "_")


def _extra(text: str) -> dict[str, Any]:
    try:
        extra = json.loads(text) if text else {}
    except json.JSONDecodeError:
        raise _BadConnectionError("its extra is not JSON") from None
    if not isinstance(extra, dict):
        raise _BadConnectionError("its extra is not a JSON object")
    return extra


def _in_airflow() -> bool:
    """Whether this process is one of Airflow's that has its own way to connections: a task, a trigger, a server.

    Tasks and triggers talk to their supervisor over `SUPERVISOR_COMMS`, which is there only while they do; servers say
    what they are in a variable of Airflow's own. A shell that merely imported Airflow is neither.
    """
    talks = hasattr(sys.modules.get("airflow.sdk.execution_time.task_runner"), "SUPERVISOR_COMMS")
    return talks or ("airflow" in sys.modules and os.environ.get("_AIRFLOW_PROCESS_CONTEXT") == "server")


def _from_airflow(conn_id: str) -> Connection:
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        found = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"Airflow has no connection `{conn_id}`",
            f"Create it under Admin, Connections, or set {_PREFIX}{conn_id.upper()} for every Airflow process.",
        ) from None
    return Connection(
        conn_id=conn_id, conn_type=found.conn_type, host=found.host, port=found.port, login=found.login,
        password=found.password, schema=found.schema, extra=_extra(found.extra or ""),
    )
