"""Two masters as their probes see them: pages that answer as Spark's do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from streamops.errors import UnavailableError
from streamops.stack import probes, spark_cluster
from streamops.stack.settings import PORT_STEP, StackSettings


class Page(BaseHTTPRequestHandler):
    """A master's page and its REST port, both at one port. A standby has no workers."""

    def do_GET(self) -> None:
        status = self.server.status  # type: ignore[attr-defined]
        port = self.server.server_port  # type: ignore[attr-defined]
        worker = {"state": "ALIVE", "webuiaddress": f"http://127.0.0.1:{port}", "cores": 8, "coresused": 2,
                  "memory": 6144, "memoryused": 1024}
        body = json.dumps({"status": status, "workers": [worker] if status == "ALIVE" else [],
                           "serverSparkVersion": "4.2.0"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


class Master(HTTPServer):
    status = "STANDBY"


@pytest.fixture
def masters() -> Iterator[list[Master]]:
    """Two at ports that are a step apart, as the second master's follow from the first one's."""
    with ExitStack() as stack:
        for port in range(21_000, 31_000, 7):
            try:
                found = [Master(("127.0.0.1", port + step), Page) for step in (0, PORT_STEP)]
            except OSError:
                continue
            for each in found:
                stack.callback(each.server_close)
                stack.callback(each.shutdown)
                threading.Thread(target=each.serve_forever, args=(0.01,), daemon=True).start()
            yield found
            return


@pytest.mark.parametrize(("statuses", "found", "in_charge"), [
    pytest.param(("ALIVE", "STANDBY"), ("Spark 4.2.0, 0 drivers", "on standby"), "spark-master-1", id="the first"),
    pytest.param(("STANDBY", "ALIVE"), ("on standby", "Spark 4.2.0, 0 drivers"), "spark-master-2", id="the second"),
    pytest.param(("STANDBY", "STANDBY"), ("STANDBY", "STANDBY"), None, id="none yet: a standby alone is not well"),
    pytest.param(("RECOVERING", "STANDBY"), ("RECOVERING", "STANDBY"), None, id="one takes over"),
    pytest.param(("ALIVE", "ALIVE"), ("two masters", "two masters"), None, id="one stood still meanwhile"),
])
def test_which_master_is_in_charge(
    statuses: tuple[str, str], found: tuple[str, str], in_charge: str | None, masters: list[Master], tmp_path: Path
) -> None:
    ports = [each.server_port for each in masters]
    for master, status in zip(masters, statuses, strict=True):
        master.status = status
    for port, words in zip(ports, found, strict=True):
        try:
            said = probes.spark_master(port, port, ports)(0.0)
        except UnavailableError as error:
            said = error.found
        assert words in said
    settings = StackSettings(data=tmp_path, spark_masters=2, spark_master_ui_port=ports[0])
    assert spark_cluster.in_charge(settings) == in_charge


def test_a_worker_counts_where_the_master_in_charge_knows_it(masters: list[Master]) -> None:
    """Its own page is played by the second master's port, which is the one that knows it."""
    ports = [each.server_port for each in masters]
    probe = probes.spark_worker(ports, ports[1])
    with pytest.raises(UnavailableError, match="no master is in charge"):
        probe(0.0)
    masters[0].status = "ALIVE"
    with pytest.raises(UnavailableError, match="not registered"):
        probe(0.0)
    masters[0].status, masters[1].status = "STANDBY", "ALIVE"
    assert probe(0.0) == "2 of 8 cores and 1024 of 6144 MB in use"
