"""The backends that cannot run here, up to the call: what they ask of their clients, and what they make of the answers.

`docker` and `kubectl` are programs on the PATH that write down how they are called; YARN's ResourceManager is an HTTP
server with the answers of Hadoop 3.5's REST API.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from streamops.adapters.connections import Connection
from streamops.declared import pipelines
from streamops.drilling import backends
from streamops.drilling.compose import ComposeServices
from streamops.drilling.kubernetes import KubernetesPods
from streamops.drilling.yarn import YarnContainers
from streamops.drills.faults import Target
from streamops.errors import ConfigurationError, RefusedError, UnavailableError
from streamops.settings import project_root

PIPELINE = pipelines.load(project_root() / "dags" / "pipelines.yaml").pipeline("canary_direct")
CHANCE = random.Random(7)


class Program:
    """A program that answers what it is told to and writes down how it was called."""

    def __init__(self, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._calls = folder / "calls"
        self._answers = folder / "answers"
        self._answers.mkdir()
        script = folder / name
        script.write_text(
            f'#!/bin/sh\necho "$*" >> {self._calls}\n'
            f'for each in {self._answers}/*; do word=$(basename "$each"); case " $* " in *"$word"*) cat "$each"; '
            "exit 0;; esac; done\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def answers(self, word: str, text: str) -> None:
        (self._answers / word).write_text(text)

    @property
    def calls(self) -> list[str]:
        found = self._calls.read_text().splitlines() if self._calls.exists() else []
        self._calls.unlink(missing_ok=True)
        return found


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    return Program(tmp_path, "docker", monkeypatch)


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    return Program(tmp_path, "kubectl", monkeypatch)


def test_compose_kills_and_starts_a_service_again(docker: Program) -> None:
    docker.answers("running", "kafka\nspark-worker\n")
    compose = ComposeServices(Path("c.yaml"))
    victims = compose.aim(Target.BROKER, PIPELINE, CHANCE)
    assert victims == [{"name": "kafka"}]
    compose.kill(victims)
    compose.revive(victims)
    assert docker.calls == [
        "compose --file c.yaml ps --services --status running",
        "compose --file c.yaml kill --signal SIGKILL kafka",
        "compose --file c.yaml up --detach --wait --no-recreate kafka"]


def test_compose_pauses_and_resumes_what_is_paused_alone(docker: Program) -> None:
    docker.answers("running", "kafka\n")
    compose = ComposeServices(Path("c.yaml"))
    victims = compose.aim(Target.LEADER, PIPELINE, CHANCE)
    compose.pause(victims)
    compose.resume(victims)
    docker.answers("paused", "kafka\n")
    compose.resume(victims)
    assert [call.removeprefix("compose --file c.yaml ") for call in docker.calls][1:] == [
        "pause kafka", "ps --services --status paused", "ps --services --status paused", "unpause kafka"]


def test_compose_finds_a_driver_inside_the_workers_container(docker: Program) -> None:
    docker.answers("pgrep", "41\n")
    compose = ComposeServices(Path("c.yaml"))
    victims = compose.aim(Target.DRIVER, PIPELINE, CHANCE)
    assert victims == [{"name": "spark-worker", "pid": 41}]
    compose.kill(victims)
    compose.end(victims)
    compose.revive(victims)
    asked, killed, ended = docker.calls
    assert 'pgrep -f \'DriverWrapper.*"pipeline":"canary_direct"\'' in asked
    assert killed.endswith("exec -T spark-worker sh -c kill -KILL 41 || true")
    assert ended.endswith("exec -T spark-worker sh -c kill -TERM 41 || true")


def test_compose_pauses_a_driver_with_the_python_beside_it(docker: Program) -> None:
    docker.answers("-P", "42\n")
    victims = ComposeServices(Path("c.yaml")).whole([{"name": "spark-worker", "pid": 41}, {"name": "kafka"}])
    assert victims == [{"name": "spark-worker", "pid": 41}, {"name": "kafka"}, {"name": "spark-worker", "pid": 42}]


def test_compose_finds_executors_by_their_application(docker: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    docker.answers("pgrep", "51\n")
    with HTTPServer(("127.0.0.1", 0), Master) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", "spark://spark%3A%2F%2F127.0.0.1:7077?deploy-mode=cluster"
                           f"&webui-port={server.server_port}")
        victims = ComposeServices(Path("c.yaml")).aim(Target.EXECUTOR, PIPELINE, CHANCE)
        server.shutdown()
    assert victims == [{"name": "spark-worker", "pid": 51}]
    assert "pgrep -f 'CoarseGrainedExecutorBackend.*--app-id app-7'" in docker.calls[0]


def test_compose_says_which_services_there_are(docker: Program) -> None:
    docker.answers("running", "kafka\npostgres\n")
    with pytest.raises(RefusedError, match=r"(?s)no zookeeper .*kafka, postgres"):
        ComposeServices(Path("c.yaml")).aim(Target.ZOOKEEPER, PIPELINE, CHANCE)


def test_a_program_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no `docker` on the PATH"):
        ComposeServices(Path("c.yaml")).aim(Target.BROKER, PIPELINE, CHANCE)


def test_kubernetes_deletes_a_pod_and_waits_for_its_successor(kubectl: Program) -> None:
    pod = {"metadata": {"name": "canary-driver", "namespace": "streams", "uid": "u-1"}}
    kubectl.answers("get", json.dumps({"items": [pod]}))
    pods = KubernetesPods()
    victims = pods.aim(Target.DRIVER, PIPELINE, CHANCE)
    pods.kill(victims)
    pods.end(victims)
    pods.revive(victims)
    labels = "spark-role=driver,spark-app-name in (canary-direct,streamops-canary-direct)"
    assert kubectl.calls == [
        f"get pods --all-namespaces --selector={labels} --field-selector=status.phase=Running --output=json",
        "--namespace streams delete pod canary-driver --ignore-not-found --wait=false --grace-period=0 --force",
        "--namespace streams delete pod canary-driver --ignore-not-found --wait=false",
        f"--namespace streams wait --for=condition=Ready pod --selector={labels} --timeout=300s"]
    with pytest.raises(RefusedError, match="SIGSTOP"):
        pods.pause(victims)


def test_kubernetes_refuses_what_it_cannot_find(kubectl: Program) -> None:
    kubectl.answers("get", '{"items": []}')
    with pytest.raises(RefusedError, match=r"spark-role=executor"):
        KubernetesPods().aim(Target.EXECUTOR, PIPELINE, CHANCE)


class Master(BaseHTTPRequestHandler):
    """The page of a Spark master with two applications, as JSON."""

    def do_GET(self) -> None:
        apps = [{"name": "streamops lines", "id": "app-6"}, {"name": "streamops canary_direct", "id": "app-7"}]
        body = json.dumps({"status": "ALIVE", "activeapps": apps, "workers": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


class Manager(BaseHTTPRequestHandler):
    """The answers of one ResourceManager with one application of three containers."""

    asked: list[str] = []  # noqa: RUF012  one for the class: the server makes an instance a request

    def do_GET(self) -> None:
        path = self.path.removeprefix("/ws/v1/cluster/")
        found: dict[str, Any] = {
            "apps?states=RUNNING": {"apps": {"app": [{"id": "application_1_2", "name": "canary_direct"}]}},
            "apps/application_1_2/appattempts": {"appAttempts": {"appAttempt": [
                {"appAttemptId": "appattempt_1", "containerId": "container_1"}]}},
            "apps/application_1_2/appattempts/appattempt_1/containers": {"container": [
                {"containerId": f"container_{number}"} for number in (1, 2, 3)]},
        }.get(path, {})
        self._answer(found)

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self._answer({})

    def _answer(self, found: dict[str, Any]) -> None:
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def yarn() -> Iterator[YarnContainers]:
    Manager.asked = []
    with HTTPServer(("127.0.0.1", 0), Manager) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        yield YarnContainers(Connection("yarn", "http", host="127.0.0.1", port=server.server_port, login="etl"))
        server.shutdown()
        serving.join()


def test_yarn_ends_containers_by_signals(yarn: YarnContainers) -> None:
    driver = yarn.aim(Target.DRIVER, PIPELINE, CHANCE)
    executor = yarn.aim(Target.EXECUTOR, PIPELINE, CHANCE)
    assert driver == [{"name": "container_1"}]
    assert executor[0]["name"] in ("container_2", "container_3")
    yarn.kill(driver)
    yarn.end(executor)
    assert Manager.asked == [
        "/ws/v1/cluster/containers/container_1/signal/FORCEFUL_SHUTDOWN?user.name=etl",
        f"/ws/v1/cluster/containers/{executor[0]['name']}/signal/GRACEFUL_SHUTDOWN?user.name=etl"]
    with pytest.raises(RefusedError, match="stand still"):
        yarn.pause(driver)
    with pytest.raises(RefusedError, match="no broker"):
        yarn.aim(Target.BROKER, PIPELINE, CHANCE)


def test_a_resource_manager_that_is_away_is_named() -> None:
    away = YarnContainers(Connection("yarn", "http", host="127.0.0.1", port=1))
    with pytest.raises(UnavailableError, match=r"http://127\.0\.0\.1:1 does not do GET apps"):
        away.aim(Target.DRIVER, PIPELINE, CHANCE)


def test_backends_are_chosen_by_name() -> None:
    assert backends.of("compose").name == "compose"
    assert backends.of("kubernetes").name == "kubernetes"
    with pytest.raises(ConfigurationError, match="local, compose, kubernetes, yarn"):
        backends.of("vms")
