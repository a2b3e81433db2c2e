"""What is known of a driver: one look at it, and how several looks add up.

A Spark standalone master answers `GET /v1/submissions/status/ID` with one of

    {"success": true, "driverState": "RUNNING", "workerId": "worker-…"}
    {"success": false}                  a master in charge that does not know the driver
    {"success": false, "message": "…"}  a master that is not in charge, or recovers

Pure: time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote

#: `org.apache.spark.deploy.master.DriverState`, without UNKNOWN: a recovering master says that, and then better.
_LIVING = frozenset({"SUBMITTED", "RUNNING"})
_ENDED = frozenset({"FINISHED", "KILLED", "FAILED", "ERROR"})


class Standing(StrEnum):
    """What is known of a driver now."""

    LIVING = "living"
    #: RELAUNCHING, and it says so for ever: when a supervised driver's worker is lost, the master submits it once more
    #: under a new id (`Master.relaunchDriver`). A driver that crashes on a living worker keeps its id and is RUNNING.
    MOVED = "moved"
    ENDED = "ended"
    NOT_KNOWN = "not_known"  # a master in charge has no such driver
    NO_ANSWER = "no_answer"  # no master in charge answered


#: Standings in which no driver of this id will ever run again.
GONE = frozenset({Standing.ENDED, Standing.MOVED})


@dataclass(frozen=True)
class Sighting:
    """One look at a driver. `state` is Spark's word (`RUNNING`), `worker` the worker's id, `detail` a message."""

    standing: Standing
    state: str | None = None
    worker: str | None = None
    detail: str | None = None

    def __str__(self) -> str:
        return self.state or self.standing.replace("_", " ")


def status_urls(rest: Iterable[str], driver: str) -> list[str]:
    """Where to ask for a driver, one URL for each master's REST port (`http://host:6066`)."""
    return [f"{url}/v1/submissions/status/{quote(driver)}" for url in rest]


def kill_urls(rest: Iterable[str], driver: str) -> list[str]:
    """Where to ask for a driver's end."""
    return [f"{url}/v1/submissions/kill/{quote(driver)}" for url in rest]


def read_status(body: Mapping[str, Any]) -> Sighting:
    """What one master's answer to a status request says."""
    state = body.get("driverState")
    if body.get("success") and isinstance(state, str):
        return Sighting(_standing(state), state, body.get("workerId"), body.get("message"))
    if body.get("action") == "SubmissionStatusResponse" and not body.get("message"):
        return Sighting(Standing.NOT_KNOWN)
    return Sighting(Standing.NO_ANSWER, detail=first_line(body.get("message")))


def _standing(state: str) -> Standing:
    if state in _LIVING:
        return Standing.LIVING
    if state == "RELAUNCHING":
        return Standing.MOVED
    return Standing.ENDED if state in _ENDED else Standing.NO_ANSWER


def most_telling(sightings: Iterable[Sighting]) -> Sighting:
    """The one to believe of what several masters said: that of the master in charge.

    A standby says that it is one, which is no answer. A master that stood still while another one took over says for
    some moments that it is in charge, until it learns better: of what two such masters say, nothing shows that a driver
    is gone.
    """
    found = list(sightings)
    answers = [seen for seen in found if seen.standing is not Standing.NO_ANSWER]
    if len(answers) == 1:
        return answers[0]
    if living := [seen for seen in answers if seen.standing is Standing.LIVING]:
        return living[0]
    if answers:
        said = " and ".join(sorted(str(seen) for seen in answers))
        return Sighting(Standing.NO_ANSWER, detail=f"{len(answers)} masters say that they are in charge: {said}")
    return next((seen for seen in found if seen.detail), Sighting(Standing.NO_ANSWER))


class Patience:
    """Tells a driver that is forgotten from a master that restarts: the same answer, without a break, for a while."""

    def __init__(self, forgotten_after_s: float) -> None:
        self._forgotten_after_s = forgotten_after_s
        self._since_s: float | None = None

    def is_forgotten(self, seen: Sighting, now_s: float) -> bool:
        """Whether a master in charge has not known the driver for so long. A master that is away decides nothing."""
        if seen.standing is not Standing.NOT_KNOWN:
            self._since_s = None
            return False
        if self._since_s is None:
            self._since_s = now_s
        return now_s - self._since_s >= self._forgotten_after_s


def first_line(text: str | None) -> str | None:
    """The first line of a message, cut at 200 characters: a master's can be a whole stack trace."""
    return text.strip().splitlines()[0][:200] if text and text.strip() else None
