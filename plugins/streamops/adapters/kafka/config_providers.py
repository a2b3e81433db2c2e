"""References in Kafka client settings, `${file:/etc/kafka/client.properties:password}`, resolved as KIP-297 says.

A job's settings can be read by many, so they hold references; whoever talks to Kafka from here resolves them too.
Taken are Kafka's own providers: files of properties, folders with one file a secret, environment variables.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamops.errors import ConfigurationError

_REFERENCE = re.compile(r"\$\{(?P<provider>\w+):(?:(?P<path>[^}]*):)?(?P<key>[^:}]+)\}")
_PROVIDERS = ("FileConfigProvider", "DirectoryConfigProvider", "EnvVarConfigProvider")


def resolved(extra: Mapping[str, Any], conn_id: str) -> dict[str, Any]:
    """The settings with every reference replaced by what it stands for.

    Raises:
        ConfigurationError: a provider that is not declared or not known, or a reference that leads nowhere.
    """
    def replace(found: re.Match[str]) -> str:
        name = found["provider"]
        kind = str(extra.get(f"config.providers.{name}.class", "")).rsplit(".", 1)[-1]
        if kind not in _PROVIDERS:
            raise ConfigurationError(
                f"the Kafka connection {conn_id!r} refers to the config provider {name!r}, which it does not declare",
                f"Add config.providers.{name}.class=org.apache.kafka.common.config.provider.<one of "
                f"{', '.join(_PROVIDERS)}>.",
            )
        value = _value(kind, found["path"] or "", found["key"])
        if value is None:
            raise ConfigurationError(f"the Kafka connection {conn_id!r} refers to {found[0]}, which is not there",
                                     "Create it on this machine, readable for this user, or correct the reference.")
        return value

    return {key: _REFERENCE.sub(replace, value) if isinstance(value, str) and not key.startswith("config.providers")
            else value for key, value in extra.items()}


def _value(kind: str, path: str, key: str) -> str | None:
    if kind == "EnvVarConfigProvider":
        return os.environ.get(key)
    try:
        if kind == "DirectoryConfigProvider":
            return (Path(path) / key).read_text(encoding="utf-8")
        return _properties(Path(path).read_text(encoding="utf-8")).get(key)
    except (OSError, UnicodeDecodeError):
        return None


def _properties(text: str) -> dict[str, str]:
    """A Java properties file, as far as people write them: `key=value` or `key: value`, `#` and `!` begin comments."""
    found = {}
    for line in text.replace("\\\n", "").splitlines():
        parts = re.fullmatch(r"\s*([^#!\s=:][^\s=:]*)\s*[=:\s]\s*(.*)", line)
        if parts:
            found[parts[1]] = re.sub(r"\\(.)", r"\1", parts[2])
    return found
