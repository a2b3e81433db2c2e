"""What an Airflow connection to a storage says to fsspec.

    {"conn_type": "generic", "extra": {"url": "s3://bucket/streams", "options": {"key": …, "endpoint_url": …}}}
    {"conn_type": "aws", "login": …, "password": …, "extra": {"url": "s3://bucket/streams", "region_name": "eu-west-1"}}

Both give {"key": …, "secret": …, "endpoint_url": …, "client_kwargs": {"region_name": …}}; without a key, s3fs finds
credentials as every client of AWS does (environment, profile, the machine's role).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class StorageConnection(Protocol):
    """What is read of an Airflow connection: `extra` holds `url` and, at will, `options` for fsspec."""

    @property
    def conn_id(self) -> str: ...

    @property
    def extra(self) -> Mapping[str, Any]: ...


#: Keys of the extra of Airflow's type `aws`, and what s3fs calls them.
_OF_AWS = {"endpoint_url": "endpoint_url", "aws_session_token": "token", "profile_name": "profile"}


def storage_options(storage: StorageConnection) -> dict[str, Any]:
    """The options of a storage connection. What its extra has under `options` wins over its other fields."""
    given: dict[str, Any] = {}
    if getattr(storage, "conn_type", None) == "aws":
        given = {"key": getattr(storage, "login", None), "secret": getattr(storage, "password", None)}
        given |= {name: storage.extra.get(key) for key, name in _OF_AWS.items()}
        if region := storage.extra.get("region_name"):
            given["client_kwargs"] = {"region_name": region}
    return {**{name: value for name, value in given.items() if value}, **(storage.extra.get("options") or {})}
