"""Ports that something else holds."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from streamops.errors import ConfigurationError
from streamops.stack import ports
from streamops.stack.process import Server


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def broker(port: int) -> Server:
    return Server("kafka-1", ("true",), {}, lambda _started: "", ports={"kafka_port": port})


def test_a_taken_port_is_named_with_its_holder_and_its_setting(taken: int) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ports.require_free(broker(taken))
    assert f"Port {taken} of kafka-1 is taken by" in caught.value.found
    assert f"(pid {os.getpid()})" in caught.value.found
    assert "STREAMOPS_STACK_KAFKA_PORT=" in str(caught.value.repair)


def test_a_free_port_is_free(taken: int) -> None:
    assert not ports.is_free(taken)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    ports.require_free(broker(port))


def test_a_port_on_every_address_counts_as_taken() -> None:
    with socket.socket() as listening:
        listening.bind(("0.0.0.0", 0))
        listening.listen()
        assert not ports.is_free(listening.getsockname()[1])
