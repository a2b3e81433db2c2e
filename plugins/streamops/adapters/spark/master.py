"""What a Spark standalone cluster says of drivers, and how one is stopped.

Statuses and kills go over the masters' REST port, which costs a request and no JVM
(`org.apache.spark.deploy.rest.StandaloneRestServer`):

    GET  /v1/submissions/status/ID  see running/driver_status.py
    POST /v1/submissions/kill/ID    {"success": true, "message": "Kill request for ID submitted"}

Logs come from the web interface of the worker that ran the driver, which is found through the master's.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from streamops.adapters.connections import Connection
from streamops.errors import ConfigurationError, UnavailableError
from streamops.running.driver_status import (
    GONE,
    Sighting,
    Standing,
    first_line,
    kill_urls,
    most_telling,
    read_status,
    status_urls,
)

#: Seconds for one request. A master answers in milliseconds; one that needs longer counts as away for this poll.
REQUEST_TIMEOUT_S = 5.0

#: Seconds until a driver that is killed has ended: its worker waits 10 s for the JVM before it uses SIGKILL
#: (`spark.worker.driverTerminateTimeout`).
KILL_TIMEOUT_S = 25.0

#: Bytes of a driver's log that are read for its last lines.
LOG_TAIL_BYTES = 16_000

_DEFAULT_REST_PORT = 6066  # spark.master.rest.port
_DEFAULT_UI_PORT = 8080  # spark.master.ui.port

@dataclass(frozen=True)
class Cluster:
    """The masters of one standalone cluster: `spark://…` for submitting, and the URLs of their REST and web ports."""

    master: str
    rest: tuple[str, ...]
    ui: tuple[str, ...]

    @classmethod
    def of(cls, spark: Connection) -> Cluster:
        """The cluster behind an Airflow connection of type spark.

        Extras: `deploy-mode`, `rest-port`, `rest-scheme` as SparkSubmitHook reads them; `webui-port` (8080), and
        `rest-endpoints` and `webui-endpoints` (URLs with commas) for masters whose ports differ.
        Raises ConfigurationError for anything but a standalone cluster in cluster mode.
        """
        master = _master_url(spark)
        if not master.startswith("spark://"):
            raise ConfigurationError(
                f"the connection {spark.conn_id!r} leads to {master!r}, and streamops can only follow drivers of a "
                "Spark standalone cluster yet",
                "Name a connection to a standalone master, spark://host:7077, under `connections: spark`.",
            )
        if (mode := spark.extra.get("deploy-mode")) != "cluster":
            raise ConfigurationError(
                f"the connection {spark.conn_id!r} has deploy-mode {mode!r}, which ties the job's life to Airflow's",
                "Add `deploy-mode=cluster` to the connection, so that the driver runs on the cluster.",
            )
        hosts = [address.strip().rsplit(":", 1)[0] for address in master.removeprefix("spark://").split(",")]
        scheme = str(spark.extra.get("rest-scheme", "http"))
        return cls(
            master=master,
            rest=_endpoints(spark, "rest", scheme, hosts, _DEFAULT_REST_PORT),
            ui=_endpoints(spark, "webui", scheme, hosts, _DEFAULT_UI_PORT),
        )


class SparkMaster:
    """A connection to a cluster's masters. Cheap to make; nothing is sent until a method is called."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        # Not through a proxy of the environment: a cluster's masters are beside us.
        self._http = httpx.Client(timeout=REQUEST_TIMEOUT_S, trust_env=False)

    def look(self, driver: str) -> Sighting:
        """What the master knows of a driver now."""
        return most_telling(self._status(url) for url in status_urls(self.cluster.rest, driver))

    def settled(
        self, driver: str, *, wait_s: float, poll_s: float = 1.0, until: Callable[[Sighting], bool] | None = None
    ) -> Sighting:
        """The first look for which `until` holds (by default: the driver has ended), or the last one in `wait_s`."""
        done = until or (lambda seen: seen.standing in GONE)
        deadline_s = time.monotonic() + wait_s
        while True:
            seen = self.look(driver)
            if done(seen) or time.monotonic() >= deadline_s:
                return seen
            time.sleep(poll_s)

    def kill(self, driver: str) -> bool:
        """Ask for a driver's end. True when a master took the request; what ended already is refused by Spark."""
        for url in kill_urls(self.cluster.rest, driver):
            try:
                if self._http.post(url).json().get("success"):
                    return True
            except (httpx.HTTPError, ValueError):
                continue
        return False

    def kill_and_wait(self, driver: str, timeout_s: float = KILL_TIMEOUT_S) -> Sighting:
        """End a driver, and return once the master says that it has ended or has none such.

        Raises UnavailableError when it still lives, or no master in charge answers, after `timeout_s`.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            self.kill(driver)  # again each time: the first request may have met a master that was not in charge yet
            seen = self.settled(
                driver,
                wait_s=min(5.0, max(0.0, deadline_s - time.monotonic())),
                poll_s=0.5,
                until=_is_gone,
            )
            if _is_gone(seen):
                return seen
            if time.monotonic() >= deadline_s:
                raise UnavailableError(
                    f"driver {driver} was asked to end {timeout_s:.0f} s ago, and the master says: {seen}",
                    "See that the master and the driver's worker are up, then try again.",
                )

    def log_tail(self, driver: str, lines: int = 25) -> str | None:
        """The last lines of what the driver printed (Python, then the JVM), or None where nobody has them."""
        worker_ui = self._worker_ui(driver)
        if worker_ui is None:
            return None
        parts = []
        for kind in ("stdout", "stderr"):
            url = f"{worker_ui}/log/?driverId={quote(driver)}&logType={kind}&byteLength={LOG_TAIL_BYTES}"
            try:
                text = self._http.get(url).raise_for_status().text
            except httpx.HTTPError:
                continue
            # The first line is the worker's own: "==== Bytes 0-300 of 300 of …/stdout ====".
            if kept := _telling(text.splitlines()[1:])[-lines:]:
                parts.append(f"last lines of its {kind}:\n" + "\n".join(kept))
        return "\n".join(parts) or None

    def capacity(self) -> str:
        """One line about the workers, for whoever waits for one: `1 worker: 0 of 4 cores and 512 of 3072 MiB free`."""
        state = self._ui_state()
        if state is None:
            return "no master's web interface answers"
        workers = [worker for worker in state.get("workers", ()) if worker["state"] == "ALIVE"]
        cores = sum(worker["coresfree"] for worker in workers)
        memory_mib = sum(worker["memoryfree"] for worker in workers)
        return (
            f"{len(workers)} worker{'s' if len(workers) != 1 else ''}: {cores} of {state['cores']} cores and "
            f"{memory_mib} of {state['memory']} MiB free"
        )

    def living(self) -> frozenset[str] | None:
        """Ids of the applications and drivers that have not ended; None where no master in charge answers."""
        state = self._ui_state()
        if state is None:
            return None
        return frozenset(str(each["id"]) for kind in ("activeapps", "activedrivers") for each in state.get(kind, ()))

    def application(self, name: str) -> str | None:
        """The id of the running application of that name, `app-20261120030000-0001`; None where no master says it."""
        state = self._ui_state() or {}
        return next((str(each["id"]) for each in state.get("activeapps", ()) if each["name"] == name), None)

    def executors(self, name: str) -> frozenset[str] | None:
        """The running executors of the applications of that name, `worker/id`; None where no master answers.

        Only a worker's page lists them; a worker that does not answer has none.
        """
        state = self._ui_state()
        if state is None:
            return None
        found = set()
        for worker in state.get("workers", ()):
            try:
                listed = self._http.get(f"{worker['webuiaddress']}/json/").json().get("executors", ())
            except (httpx.HTTPError, ValueError):
                continue
            found |= {f"{worker['id']}/{each['appid']}/{each['id']}" for each in listed
                      if each.get("appdesc", {}).get("name") == name}
        return frozenset(found)

    def application_page(self, name: str) -> str | None:
        """Where the driver of the running application of that name has its page, or None where no master says it.

        Only the master's own page has the link; the JSON beside it does not.
        """
        for url in self.cluster.ui:
            try:
                page = self._http.get(f"{url}/").raise_for_status().text
            except httpx.HTTPError:
                continue
            if (found := application_link(page, name)) is not None:
                return found
        return None

    def _status(self, url: str) -> Sighting:
        try:
            return read_status(self._http.get(url).json())
        except (httpx.HTTPError, ValueError) as error:
            return Sighting(Standing.NO_ANSWER, detail=first_line(f"{type(error).__name__}: {error}"))

    def to_submit_to(self) -> str:
        """The master in charge, `spark://host:7077`; all that there are, where there is one or none is in charge.

        spark-submit fails when any one of the masters that it is told cannot be reached (`deploy.ClientApp`).
        """
        masters = [f"spark://{each.strip()}" for each in self.cluster.master.removeprefix("spark://").split(",")]
        state = self._ui_state() if len(masters) > 1 else None
        return str(state["url"]) if state is not None and state.get("url") in masters else self.cluster.master

    def _ui_state(self) -> dict[str, Any] | None:
        """What the master in charge knows; None where none says that it is, or two do (see `most_telling`)."""
        found: list[dict[str, Any]] = []
        for url in self.cluster.ui:
            try:
                state: dict[str, Any] = self._http.get(f"{url}/json/").json()
            except (httpx.HTTPError, ValueError):
                continue
            if state.get("status") == "ALIVE":
                found.append(state)
        return found[0] if len(found) == 1 else None

    def _worker_ui(self, driver: str) -> str | None:
        seen, state = self.look(driver), self._ui_state()
        if state is None:
            return None
        return next((worker["webuiaddress"] for worker in state["workers"] if worker["id"] == seen.worker), None)


def application_link(page: str, name: str) -> str | None:
    """Where a master's page leads to for the running application of that name; None where it has no such link."""
    found = re.search(rf'<a href="(http[^"]+)">\s*{re.escape(html.escape(name))}\s*</a>', page)
    return html.unescape(found[1]).rstrip("/") if found else None


def _is_gone(seen: Sighting) -> bool:
    return seen.standing in GONE or seen.standing is Standing.NOT_KNOWN


def _telling(lines: list[str]) -> list[str]:
    """A log without empty lines and the frames of Java's stack traces, which push out what happened."""
    return [line for line in lines if line.strip() and not line.startswith(("\tat ", "\t... "))]


def _master_url(spark: Connection) -> str:
    """As SparkSubmitHook puts it together: the host is the whole URL, or the connection's type is the scheme."""
    host = spark.host or ""
    is_whole = spark.conn_type == "spark" and host and ("://" in host or not spark.port)
    whole = host if is_whole else f"{spark.conn_type}://{host}"
    return f"{whole}:{spark.port}" if spark.port else whole


def _endpoints(spark: Connection, kind: str, scheme: str, hosts: list[str], default_port: int) -> tuple[str, ...]:
    if given := spark.extra.get(f"{kind}-endpoints"):
        return tuple(url.strip().rstrip("/") for url in str(given).split(","))
    port = spark.extra.get(f"{kind}-port", default_port)
    return tuple(f"{scheme}://{host}:{port}" for host in hosts)
