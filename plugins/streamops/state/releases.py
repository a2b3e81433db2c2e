"""Releases: which version of a pipeline is to run, where that is not just what is deployed.

One file a decision, `releases/000003.json` below the pipeline's state directory, created once and never changed; the
highest number stands. Whoever submits a driver looks first: an upgrade, Airflow's task, its retry, `streamops start`.
So a version that failed is not started again by anybody, also when the upgrade that tried it was killed. Pure.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from streamops.state import numbered_files, stored_json
from streamops.state.batch_log import Files

FORMAT = "streamops.release/1"
DIRECTORY = "releases"


class Stage(StrEnum):
    """How far an upgrade is."""

    TRIAL = "trial"  # the new version is to run, and has yet to log a batch
    ROLLING_BACK = "rolling_back"  # it failed: the last healthy one is to run, and has yet to log a batch
    ROLLED_BACK = "rolled_back"  # the last healthy one runs again, and goes on to be what is started
    DONE = "done"  # the new version works: what is deployed is started, as ever


@dataclass(frozen=True)
class Release:
    """One decision. `version` is the one that was tried, `healthy` the one to go back to. `at` is UTC, ISO 8601.

    `before` are the drivers that there were of the version that is to run: what they did proves nothing of it now.
    `error` is why the tried version failed.
    """

    pipeline: str
    number: int
    stage: Stage
    version: str
    healthy: str
    by: str
    at: str
    before: tuple[str, ...] = ()
    error: str | None = None

    @property
    def wanted(self) -> str | None:
        """The version that whoever submits a driver must take; None for what is deployed."""
        if self.stage is Stage.DONE:
            return None
        return self.version if self.stage is Stage.TRIAL else self.healthy

    def __str__(self) -> str:
        who = f"by {self.by} at {self.at}"
        match self.stage:
            case Stage.TRIAL:
                return f"version {self.version} is on trial, {who}; the last healthy one is {self.healthy}"
            case Stage.DONE:
                return f"upgraded to version {self.version}, {who}"
        being = "is being" if self.stage is Stage.ROLLING_BACK else "was"
        return (f"version {self.version} failed and {being} rolled back to {self.healthy}, {who}; whatever starts it "
                f"runs {self.healthy} until an upgrade succeeds. It failed with: {self.error}")

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Release:
        """The release that `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, FORMAT, "a release") as data:
            return cls(**{**data, "stage": Stage(str(data["stage"])), "before": tuple(data["before"])})


def path(number: int) -> str:
    return f"{DIRECTORY}/{numbered_files.name(number)}"


def standing(files: Files) -> Release | None:
    """The release that stands; None where nobody ever upgraded, and what is deployed runs."""
    number = numbered_files.latest(files.names(DIRECTORY))
    text = files.read(path(number)) if number is not None else None
    return Release.from_json(text) if text else None
