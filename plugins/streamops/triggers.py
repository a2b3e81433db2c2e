"""What follows a driver while its Airflow task is deferred and holds no worker.

This module must import without fail, and `DriverTrigger` must be made from whatever arguments an older or newer version
of itself has stored: Airflow 3.3's triggerer keeps a trigger that fails at its creation among those that run, and then
never starts another one that gets the same id.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
from airflow.triggers.base import BaseTrigger, TriggerEvent

from streamops.running.driver_status import (
    GONE,
    Patience,
    Sighting,
    Standing,
    first_line,
    kill_urls,
    most_telling,
    read_status,
    status_urls,
)

#: Seconds between two looks at a driver.
POLL_S = 5.0

#: Seconds for which a master in charge must not know a driver until it counts as forgotten: three looks. A master that
#: restarts with recovery knows its drivers before it is in charge.
FORGOTTEN_AFTER_S = 15.0

_REQUEST_TIMEOUT_S = 5.0

#: Airflow gives `on_kill` 30 s ([triggerer] on_kill_timeout).
_KILL_TIMEOUT_S = 27.0


class DriverTrigger(BaseTrigger):
    """Waits until a driver has ended, has a new id, or was forgotten. Stops it when a person acts on the task.

    The event's payload is `{"driver": id, "standing": "ended" | "moved" | "not_known", "state": "FAILED" | … | None}`.

    Args:
        driver: the driver's id.
        rest: the URLs of the masters' REST ports; every one is asked, the one in charge is believed.
        poll_s: seconds between two looks.
        forgotten_after_s: see `FORGOTTEN_AFTER_S`.
        unknown: what another version of this class has stored; not used.
    """

    def __init__(
        self,
        driver: str = "",
        rest: list[str] | None = None,
        poll_s: float = POLL_S,
        forgotten_after_s: float = FORGOTTEN_AFTER_S,
        **unknown: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.driver = driver
        self.rest = list(rest or ())
        self.poll_s = poll_s
        self.forgotten_after_s = forgotten_after_s
        self.unknown = unknown

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "driver": self.driver,
                "rest": self.rest,
                "poll_s": self.poll_s,
                "forgotten_after_s": self.forgotten_after_s,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the driver until it is gone. A master that is away or recovers is waited for without end."""
        patience, said = Patience(self.forgotten_after_s), ""
        async with self._client() as http:
            while True:
                seen = await self._look(http)
                if str(seen) != said:
                    said = str(seen)
                    self.log.info("driver %s: %s%s", self.driver, said, f" ({seen.detail})" if seen.detail else "")
                if seen.standing in GONE or patience.is_forgotten(seen, time.monotonic()):
                    found = {"driver": self.driver, "standing": str(seen.standing), "state": seen.state}
                    yield TriggerEvent(found)  # type: ignore[no-untyped-call]
                    return
                await asyncio.sleep(self.poll_s)

    async def on_kill(self) -> None:
        """Stop the driver, and wait until it has ended, so that a cleared task finds it gone.

        Airflow calls this when a person marks the task or its run, clears or deletes it; never when a triggerer ends.
        """
        deadline_s = time.monotonic() + _KILL_TIMEOUT_S
        async with self._client() as http:
            while time.monotonic() < deadline_s:
                for url in kill_urls(self.rest, self.driver):
                    try:
                        await http.post(url)
                    except httpx.HTTPError as error:
                        self.log.warning("could not ask %s to end the driver: %s", url, error)
                for _ in range(10):
                    seen = await self._look(http)
                    if seen.standing in GONE or seen.standing is Standing.NOT_KNOWN:
                        self.log.info("driver %s was stopped: %s", self.driver, seen)
                        return
                    await asyncio.sleep(0.5)
        self.log.warning("driver %s was asked to end, and still lives; reconcile_drivers will see to it", self.driver)

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(timeout=_REQUEST_TIMEOUT_S, trust_env=False)

    async def _look(self, http: httpx.AsyncClient) -> Sighting:
        async def ask(url: str) -> Sighting:
            try:
                return read_status((await http.get(url)).json())
            except (httpx.HTTPError, ValueError) as error:
                return Sighting(Standing.NO_ANSWER, detail=first_line(f"{type(error).__name__}: {error}"))

        return most_telling(await asyncio.gather(*map(ask, status_urls(self.rest, self.driver))))
