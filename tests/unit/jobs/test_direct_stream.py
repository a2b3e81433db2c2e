"""How long the direct job waits for Kafka."""

from __future__ import annotations

import pytest

from direct_stream import PATIENCE, client_properties


def test_what_the_connection_says_stays() -> None:
    assert client_properties({"bootstrap.servers": "a:9092"}) == {"bootstrap.servers": "a:9092", **PATIENCE}


@pytest.mark.parametrize("stated", [{"request.timeout.ms": "30000"}, {"default.api.timeout.ms": "5000"}])
def test_half_of_it_is_no_patience(stated: dict[str, str]) -> None:
    """Kafka refuses a client whose question may last less long than one answer to it."""
    assert client_properties(stated) == stated


def test_it_is_one_that_kafka_takes() -> None:
    assert int(PATIENCE["default.api.timeout.ms"]) >= int(PATIENCE["request.timeout.ms"])
