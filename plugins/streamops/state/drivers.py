"""Driver records: every driver that ever started for a pipeline says so, and says why it ended itself.

One file a driver, `drivers/<driver id>.json` below the pipeline's state directory, written when the driver starts
(before it asks for the lease) and once more when it ends itself. A record without `stop_kind` belongs to a driver that
lives, or that was killed before it could say anything.

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from streamops.state import stored_json
from streamops.state.crash_loop import KEPT, Crash
from streamops.state.lease import Owner

FORMAT = "streamops.driver/1"
DIRECTORY = "drivers"

#: The `stop_kind` of a driver whose work was done, which only a batch's ever is.
FINISHED = "finished"

#: The `stop_kind` of a restore that was done: it holds the lease while it works, and has a record as a driver has.
RESTORED = "restored"


@dataclass(frozen=True)
class DriverRecord:
    """One driver. `epoch` is that of the lease it took, None while it holds none. Times are UTC, ISO 8601.

    `stop_kind` is one word (`lease_lost`, `bad_record`, …, see `errors.JobStopped`, or `finished`), `reason` a text for
    people. `crashes` are the deaths of its earlier processes, oldest first: Spark relaunches a driver under its id.
    `last_error` is what its process says as it dies. `version` is the one that it is of (versions.py), where known.
    """

    driver: str
    pipeline: str
    owner: Owner
    started_at: str
    epoch: int | None = None
    stopped_at: str | None = None
    stop_kind: str | None = None
    reason: str | None = None
    crashes: tuple[Crash, ...] = ()
    last_error: str | None = None
    version: str | None = None

    @property
    def fruitless_deaths(self) -> int:
        """How often it died without having logged a batch, as far as it knows."""
        return sum(not crash.has_progressed for crash in self.crashes) + (self.last_error is not None)

    def relaunched(self, now: str, *, has_progressed: bool) -> DriverRecord:
        """The record of the next process of this driver, `now`, after this one's died."""
        died = Crash(now, self.last_error, has_progressed)
        return replace(self, started_at=now, epoch=None, crashes=(*self.crashes, died)[-KEPT:], last_error=None)

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> DriverRecord:
        """The record that `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, FORMAT, "a driver record") as data:
            crashes = tuple(Crash(**crash) for crash in data.get("crashes", ()))
            return cls(**{**data, "owner": Owner.from_dict(data["owner"]), "crashes": crashes})


def path(driver: str) -> str:
    return f"{DIRECTORY}/{driver}.json"
