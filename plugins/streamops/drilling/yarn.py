"""Faults on the containers of a YARN application, over the ResourceManager's REST API. Victims are `{"name": id}`.

    GET  /ws/v1/cluster/apps?states=RUNNING                             the application, by its name
    GET  /ws/v1/cluster/apps/ID/appattempts                             its driver's container
    GET  /ws/v1/cluster/apps/ID/appattempts/ATTEMPT/containers          all of them
    POST /ws/v1/cluster/containers/ID/signal/FORCEFUL_SHUTDOWN?user.name=…

YARN starts what is missing by itself, and has no signal that lets a container stand still.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import httpx

from streamops.adapters.connections import Connection, connection
from streamops.declared.pipeline import Pipeline
from streamops.drilling.backend import Victim, there_is_none
from streamops.drills.faults import OF_THE_JOB, Target
from streamops.errors import RefusedError, UnavailableError

#: The Airflow connection (type http) of the ResourceManager; its login is the user that YARN is told.
CONN_ID = "streamops_yarn"
_DEFAULT_PORT = 8088  # yarn.resourcemanager.webapp.address
_TIMEOUT_S = 15.0


class YarnContainers:
    """One ResourceManager."""

    name = "yarn"
    around: ClassVar[dict[str, str]] = {}

    def __init__(self, manager: Connection) -> None:
        host = manager.host or "localhost"
        self._user = manager.login or "yarn"
        self._url = f"{host if '://' in host else f'http://{host}'}:{manager.port or _DEFAULT_PORT}"
        self._http = httpx.Client(base_url=self._url, timeout=_TIMEOUT_S, trust_env=False)

    @classmethod
    def of(cls) -> Self:
        """The ResourceManager of the connection `streamops_yarn`."""
        return cls(connection(CONN_ID))

    def aim(self, target: Target, pipeline: Pipeline, chance: random.Random) -> list[Victim]:
        if target not in OF_THE_JOB:
            raise there_is_none(self.name, target, "Servers are not YARN's: drill them with another backend.")
        app = next((each for each in self._listed("apps?states=RUNNING", "apps", "app")
                    if each["name"] in (pipeline.name, f"streamops {pipeline.name}")), None)
        if app is None:
            raise there_is_none(self.name, target, f"No running application is called {pipeline.name}.")
        attempt = self._listed(f"apps/{app['id']}/appattempts", "appAttempts", "appAttempt")[-1]
        driver = attempt["containerId"]
        if target is Target.DRIVER:
            return [{"name": driver}]
        path = f"apps/{app['id']}/appattempts/{attempt['appAttemptId']}/containers"
        executors = [each["containerId"] for each in self._listed(path, "containers", "container")
                     if each["containerId"] != driver]
        if not executors:
            raise there_is_none(self.name, target, f"{pipeline.name} waits for containers.")
        return [{"name": chance.choice(sorted(executors))}]

    def whole(self, victims: Sequence[Victim]) -> list[Victim]:
        return list(victims)  # what is hit is whole

    def kill(self, victims: Sequence[Victim]) -> None:
        self._signal(victims, "FORCEFUL_SHUTDOWN")

    def end(self, victims: Sequence[Victim]) -> None:
        self._signal(victims, "GRACEFUL_SHUTDOWN")

    def pause(self, victims: Sequence[Victim]) -> None:
        raise RefusedError("YARN cannot let a container stand still", "Drill `kill` or `restart`.")

    def resume(self, victims: Sequence[Victim]) -> None:
        """Nothing stands still."""

    def revive(self, victims: Sequence[Victim]) -> None:
        """YARN and Spark ask for new containers by themselves."""

    def _signal(self, victims: Sequence[Victim], command: str) -> None:
        for each in victims:
            self._asked("POST", f"containers/{each['name']}/signal/{command}", params={"user.name": self._user})

    def _listed(self, path: str, outer: str, inner: str) -> list[dict[str, Any]]:
        found = self._asked("GET", path).json()
        # An empty list is `null`, and a list of containers is not always wrapped.
        listed = (found.get(outer) or {}) if isinstance(found.get(outer), dict) else found
        return list(listed.get(inner) or ())

    def _asked(self, method: str, path: str, **given: Any) -> httpx.Response:
        try:
            return self._http.request(method, f"/ws/v1/cluster/{path}", **given).raise_for_status()
        except httpx.HTTPError as error:
            raise UnavailableError(f"YARN's ResourceManager at {self._url} does not do {method} {path}: {error}",
                                   f"See that it answers, and correct AIRFLOW_CONN_{CONN_ID.upper()}.") from error
