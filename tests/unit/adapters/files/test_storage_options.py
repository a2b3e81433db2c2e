"""What a storage connection says to fsspec."""

from __future__ import annotations

import json

import pytest

from streamops.adapters.connections import parse
from streamops.adapters.files.storage_options import storage_options


@pytest.mark.parametrize(("connection", "expected"), [
    pytest.param({"conn_type": "generic", "extra": {"url": "file:///streams"}}, {}, id="nothing"),
    pytest.param({"conn_type": "generic", "login": "me", "extra": {"options": {"port": 9870}}}, {"port": 9870},
                 id="options alone"),
    pytest.param({"conn_type": "aws", "extra": {"url": "s3://streams"}}, {}, id="credentials of the machine"),
    pytest.param(
        {"conn_type": "aws", "login": "AK", "password": "s", "extra": {
            "endpoint_url": "http://minio:9000", "region_name": "eu-west-1", "aws_session_token": "t"}},
        {"key": "AK", "secret": "s", "token": "t", "endpoint_url": "http://minio:9000",
         "client_kwargs": {"region_name": "eu-west-1"}}, id="Airflow's fields of aws"),
    pytest.param({"conn_type": "aws", "login": "AK", "extra": {"options": {"key": "other", "anon": False}}},
                 {"key": "other", "anon": False}, id="options win"),
])
def test_options_of_a_storage_connection(connection: dict[str, object], expected: dict[str, object]) -> None:
    assert storage_options(parse("streamops_storage", json.dumps(connection))) == expected
