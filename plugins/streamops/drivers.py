"""Driver records: every driver that ever started for a pipeline says so, and says why it ended itself.

One file a driver, `drivers/<driver id>.json` below the pipeline's state directory, written when the driver starts
(before it asks for the lease) and once more when it ends itself. A record without `stop_kind` belongs to a driver that
lives, or that was killed before it could say anything.

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from streamops import stored_json
from streamops.lease import Owner

FORMAT = "streamops.driver/1"
DIRECTORY = "drivers"

#: The `stop_kind` of a driver whose work was done, which only a batch's ever is.
FINISHED = "finished"


@dataclass(frozen=True)
class DriverRecord:
    """One driver. `epoch` is that of the lease it took, None while it holds none. Times are UTC, ISO 8601.

    `stop_kind` is one word (`lease_lost`, `bad_record`, …, see `errors.JobStopped`, or `finished`), `reason` a text for
    people.
    """

    driver: str
    pipeline: str
    owner: Owner
    started_at: str
    epoch: int | None = None
    stopped_at: str | None = None
    stop_kind: str | None = None
    reason: str | None = None

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> DriverRecord:
        """The record that `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, FORMAT, "a driver record") as data:
            return cls(**{**data, "owner": Owner.from_dict(data["owner"])})


def path(driver: str) -> str:
    return f"{DIRECTORY}/{driver}.json"
