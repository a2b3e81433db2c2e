"""Where a cluster's masters are, from an Airflow connection, and what of a log is worth showing."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from streamops.adapters import connections
from streamops.adapters.spark.master import Cluster, SparkMaster, _telling, application_link
from streamops.errors import ConfigurationError, UnavailableError
from streamops.running.driver_status import Standing

ONE = "spark://spark%3A%2F%2F127.0.0.1:7077?deploy-mode=cluster&rest-port=6066"


@pytest.mark.parametrize(("uri", "expected"), [
    pytest.param(ONE, Cluster("spark://127.0.0.1:7077", ("http://127.0.0.1:6066",), ("http://127.0.0.1:8080",)),
                 id="the whole URL in the host"),
    pytest.param("spark://master:7077?deploy-mode=cluster",
                 Cluster("spark://master:7077", ("http://master:6066",), ("http://master:8080",)),
                 id="the type as the scheme, default ports"),
    pytest.param(ONE + "&webui-port=8090&rest-scheme=https",
                 Cluster("spark://127.0.0.1:7077", ("https://127.0.0.1:6066",), ("https://127.0.0.1:8090",)),
                 id="ports and scheme"),
    pytest.param("spark://spark%3A%2F%2Fa%3A7077%2Cb%3A7077?deploy-mode=cluster&rest-port=6067",
                 Cluster("spark://a:7077,b:7077", ("http://a:6067", "http://b:6067"),
                         ("http://a:8080", "http://b:8080")), id="two masters"),
    pytest.param("spark://spark%3A%2F%2Fa%3A7077%2Ca%3A7078?deploy-mode=cluster"
                 "&rest-endpoints=http%3A%2F%2Fa%3A6066%2Chttp%3A%2F%2Fa%3A6067%2F",
                 Cluster("spark://a:7077,a:7078", ("http://a:6066", "http://a:6067"),
                         ("http://a:8080", "http://a:8080")), id="masters whose ports differ"),
])
def test_where_the_masters_are(uri: str, expected: Cluster) -> None:
    assert Cluster.of(connections.parse("spark_default", uri)) == expected


@pytest.mark.parametrize(("uri", "named"), [
    pytest.param("spark://yarn?deploy-mode=cluster", "standalone", id="YARN"),
    pytest.param("spark://k8s%3A%2F%2Fhost:443?deploy-mode=cluster", "standalone", id="Kubernetes"),
    pytest.param("spark://local?deploy-mode=cluster", "standalone", id="local"),
    pytest.param("spark://spark%3A%2F%2F127.0.0.1:7077", "deploy-mode=cluster", id="client mode"),
])
def test_a_cluster_that_cannot_be_followed_is_refused(uri: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Cluster.of(connections.parse("spark_default", uri))


def test_nobody_listening_is_no_answer_and_not_an_error() -> None:
    master = SparkMaster(Cluster("spark://127.0.0.1:1", ("http://127.0.0.1:1",), ("http://127.0.0.1:1",)))
    assert master.look("driver-1").standing is Standing.NO_ANSWER
    assert master.kill("driver-1") is False
    assert master.log_tail("driver-1") is None
    assert "no master" in master.capacity()
    with pytest.raises(UnavailableError, match=r"driver-1 .* no answer"):
        master.kill_and_wait("driver-1", timeout_s=0)


class Masters(BaseHTTPRequestHandler):
    """Two masters behind one port, told apart by their paths: what their pages say of themselves."""

    status: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        name = self.path.split("/")[1]
        found = {"url": f"spark://{name}:7077", "status": self.status[name], "activeapps": [{"id": f"app-of-{name}"}]}
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


@pytest.mark.parametrize(("first", "second", "living", "submitted_to"), [
    pytest.param("STANDBY", "ALIVE", frozenset({"app-of-b"}), "spark://b:7077", id="the one in charge is asked"),
    pytest.param("STANDBY", "STANDBY", None, "spark://a:7077,b:7077", id="nobody is in charge"),
    pytest.param("RECOVERING", "STANDBY", None, "spark://a:7077,b:7077", id="one is about to be"),
    pytest.param("ALIVE", "ALIVE", None, "spark://a:7077,b:7077", id="one stood still and has not learnt better yet"),
])
def test_a_standby_is_never_asked_for_what_lives(
    first: str, second: str, living: frozenset[str] | None, submitted_to: str
) -> None:
    Masters.status = {"a": first, "b": second}
    with HTTPServer(("127.0.0.1", 0), Masters) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ui = tuple(f"http://127.0.0.1:{server.server_port}/{name}" for name in ("a", "b"))
        master = SparkMaster(Cluster("spark://a:7077,b:7077", (), ui))
        assert master.living() == living
        assert master.to_submit_to() == submitted_to
        server.shutdown()
    assert SparkMaster(Cluster("spark://a:7077", (), ())).to_submit_to() == "spark://a:7077"


def test_a_log_is_shown_without_the_frames_of_javas_stack_traces() -> None:
    log = ["Traceback (most recent call last):", "", "\tat org.apache.spark.X", "\t... 3 more", "Caused by: java.io"]
    assert _telling(log) == ["Traceback (most recent call last):", "Caused by: java.io"]


@pytest.mark.parametrize(("page", "expected"), [
    pytest.param('<td>\n <a href="http://127.0.0.1:4040">streamops lines</a>\n</td>', "http://127.0.0.1:4040",
                 id="it runs"),
    pytest.param('<td>\n streamops lines\n</td>', None, id="it has ended"),
    pytest.param('<a href="http://127.0.0.1:4041">streamops lines_2</a>', None, id="another one"),
])
def test_the_page_of_an_application(page: str, expected: str | None) -> None:
    assert application_link(page, "streamops lines") == expected
