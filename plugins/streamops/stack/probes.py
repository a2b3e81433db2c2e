"""Real questions to real servers: each returns what a person may read about a healthy one, or raises UnavailableError.

Every probe takes when the server's process started (seconds since the epoch); see `process.Probe`.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from streamops.errors import RefusedError, UnavailableError
from streamops.stack.process import Probe
from streamops.stack.settings import LOOPBACK

#: A loopback server that takes longer is not well, however busy the machine.
_TIMEOUT_S = 5.0


def kafka_broker(port: int, node_id: int, brokers: int) -> Probe:
    """The broker answers a metadata request and the cluster lists it; with several, it sees the others too."""

    def probe(_started: float) -> str:
        accepts(port)  # says sooner than a Kafka client that nothing listens
        from streamops.adapters.connections import Connection
        from streamops.adapters.kafka.broker import Broker  # heavy: kafka-python takes 0.2 s to import

        address = {"bootstrap.servers": f"{LOOPBACK}:{port}"}
        try:
            with Broker.connect(Connection("probe", extra=address), timeout_s=_TIMEOUT_S) as broker:
                nodes, topics = broker.broker_ids(), len(broker.topic_names())
        except RefusedError as error:
            raise UnavailableError(error.found) from None
        if node_id not in nodes or len(nodes) < brokers:
            raise UnavailableError(f"the cluster has the brokers {nodes}, not yet all {brokers}")
        return f"{topics} topic{'s' * (topics != 1)}, {len(nodes)} broker{'s' * (len(nodes) > 1)}"

    return probe


def spark_master(ui_port: int, rest_port: int, ui_ports: Sequence[int] = ()) -> Probe:
    """The master is ALIVE (not recovering), or on standby for another one that is, and its REST port answers.

    `ui_ports` are those of all masters.
    """

    def probe(_started: float) -> str:
        state = get_json(ui_port, "/json/")
        status, other = state.get("status"), any(is_alive(port) for port in ui_ports if port != ui_port)
        standby = status == "STANDBY" and other
        if status != "ALIVE" and not standby:
            raise UnavailableError(f"the master is {status}")
        if status == "ALIVE" and other:
            raise UnavailableError("two masters say that they are in charge; one of them stood still, and ends soon")
        # Any submission will do: the answer shows that the gateway behind the port speaks to the master.
        version = get_json(rest_port, "/v1/submissions/status/none").get("serverSparkVersion")
        if not version:
            raise UnavailableError(f"port {rest_port} is not Spark's REST gateway")
        if standby:
            return f"Spark {version}, on standby"
        drivers = len(state.get("activedrivers", ()))
        return f"Spark {version}, {drivers} driver{'s' * (drivers != 1)}"

    return probe


def is_alive(master_ui_port: int) -> bool:
    """Whether the master with that page says that it is in charge; a standby knows no workers and no drivers."""
    try:
        return get_json(master_ui_port, "/json/").get("status") == "ALIVE"
    except UnavailableError:
        return False


def spark_worker(master_ui_ports: Sequence[int], ui_port: int) -> Probe:
    """The master in charge counts this worker among the living."""

    def probe(_started: float) -> str:
        get_json(ui_port, "/json/")
        in_charge = next((port for port in master_ui_ports if is_alive(port)), None)
        if in_charge is None:
            raise UnavailableError("no master is in charge")
        for worker in get_json(in_charge, "/json/").get("workers", ()):
            if worker.get("state") == "ALIVE" and str(worker.get("webuiaddress", "")).endswith(f":{ui_port}"):
                return (
                    f"{worker['coresused']} of {worker['cores']} cores and "
                    f"{worker['memoryused']} of {worker['memory']} MB in use"
                )
        raise UnavailableError("not registered with the master yet")

    return probe


def airflow_api(port: int) -> Probe:
    """The API answers and reaches its database."""

    def probe(_started: float) -> str:
        health = get_json(port, "/api/v2/monitor/health")
        if health["metadatabase"]["status"] != "healthy":
            raise UnavailableError("Airflow's database does not answer")
        return f"http://{LOOPBACK}:{port}"

    return probe


def airflow_job(port: int, job: str) -> Probe:
    """Airflow's `scheduler`, `triggerer` or `dag_processor` is healthy, by a heartbeat of the process that runs now."""

    def probe(started: float) -> str:
        health = get_json(port, "/api/v2/monitor/health").get(job) or {}
        heartbeat = health.get(f"latest_{job}_heartbeat")
        if health.get("status") != "healthy" or heartbeat is None:
            raise UnavailableError(f"{health.get('status') or 'no heartbeat'} (last: {heartbeat or 'never'})")
        if datetime.fromisoformat(heartbeat).timestamp() < started:
            raise UnavailableError("no heartbeat yet since it was started")
        return f"heartbeat {heartbeat[:19]}"

    return probe


def alive(_started: float) -> str:
    """For a server that answers no questions: that its process runs is all there is to know."""
    return "running"


def accepts(port: int) -> None:
    """Raise UnavailableError unless something listens on the port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=_TIMEOUT_S).close()
    except OSError as error:
        raise UnavailableError(f"port {port}: {error.strerror or error}") from None


def get_json(port: int, path: str) -> dict[str, Any]:
    """GET a JSON object from a server on loopback, past any proxy that the environment names."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnavailableError(f"port {port}: {getattr(error, 'strerror', None) or error}"[:200]) from None
    finally:
        connection.close()
    if not isinstance(body, dict):
        raise UnavailableError(f"port {port} answers {path} with something unexpected")
    return body
