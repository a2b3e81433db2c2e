"""Airflow's REST API, for commands at a shell: which runs go on.

The address and the login are in the Airflow connection `streamops_airflow` (type http).
"""

from __future__ import annotations

import time
from typing import Any, Self
from urllib.parse import quote

import httpx

from streamops.adapters.connections import Connection, connection
from streamops.errors import ConfigurationError, UnavailableError
from streamops.running.takeover import owner_lives
from streamops.state.lease import Owner

CONN_ID = "streamops_airflow"
_TIMEOUT_S = 15.0

#: Requests that do the same once and twice, whatever they are about, and how long to wait before each further try.
_REPEATABLE = frozenset({"GET", "PATCH", "PUT", "DELETE"})
_WAITS_S = (1.0, 2.0, 4.0, 8.0)


class ServerError(UnavailableError):
    """Airflow answers with an error of its own, or took the request and gives no answer."""


class AirflowApi:
    """A login at Airflow's API. Nothing is sent until a method is called."""

    def __init__(self, airflow: Connection) -> None:
        port = f":{airflow.port}" if airflow.port else ""
        host = airflow.host or "localhost"
        self.url = f"{host}{port}" if "://" in host else f"{airflow.conn_type or 'http'}://{host}{port}"
        self._login = {"username": airflow.login or "", "password": airflow.password or ""}
        self._http = httpx.Client(base_url=self.url, timeout=_TIMEOUT_S, trust_env=False)

    @classmethod
    def connected(cls) -> Self:
        """The Airflow of the connection `streamops_airflow`."""
        return cls(connection(CONN_ID))

    def request(self, method: str, path: str, *, is_repeatable: bool = False, **given: Any) -> Any:
        """The JSON that a request below `/api/v2` returns, or None for 404 and for an empty answer.

        A request that may be sent twice is, where Airflow answers with an error of its own, or accepts it and does not
        answer: it does either when its database is busy. On SQLite, two requests that write can even wait for each
        other until the database gives one of them up. A POST is sent twice only if `is_repeatable`.

        Raises UnavailableError where it does not answer, ConfigurationError where it refuses.
        """
        for wait_s in _WAITS_S if is_repeatable or method in _REPEATABLE else ():
            try:
                return self._request(method, path, **given)
            except ServerError:
                time.sleep(wait_s)
        return self._request(method, path, **given)

    def _request(self, method: str, path: str, **given: Any) -> Any:
        try:
            if "Authorization" not in self._http.headers:
                token = self._checked(self._http.post("/auth/token", json=self._login)).json()["access_token"]
                self._http.headers["Authorization"] = f"Bearer {token}"
            answer = self._http.request(method, f"/api/v2{path}", **given)
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            self._checked(answer)
        except httpx.ReadTimeout as error:
            raise ServerError(
                f"Airflow at {self.url} has not answered {method} {path} within {_TIMEOUT_S:.0f} s",
                "Look into its logs; a busy database does that.",
            ) from error
        except httpx.TransportError as error:
            raise UnavailableError(
                f"Airflow does not answer at {self.url} ({type(error).__name__})",
                "See that its API server is up, then try again.",
            ) from error
        return answer.json() if answer.content else None

    def is_owner_alive(self, owner: Owner) -> bool:
        """Whether the run and task that asked for a driver still go on; a run that was deleted does not."""
        dag, run, task = (quote(part or "", safe="") for part in (owner.dag_id, owner.run_id, owner.task_id))
        found = self.request("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}")
        return owner_lives(found["state"] if found else None, run_exists=found is not None)

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise ConfigurationError(
                f"Airflow at {self.url} refuses the login of the connection {CONN_ID!r}",
                f"Correct AIRFLOW_CONN_{CONN_ID.upper()}: http://user:password@host:port",
            )
        if answer.is_server_error:
            raise ServerError(f"Airflow at {self.url} answers {answer.status_code}", "Look into its logs.")
        if answer.is_client_error:
            raise ConfigurationError(f"Airflow refuses the request: {answer.text[:300]}", "Correct what it names.")
        return answer
