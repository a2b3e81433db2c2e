"""Standing orders: what people want of a pipeline, kept beside its data.

One file an order, `orders/000003.json` below the pipeline's state directory, created once and never changed. The
highest number is the one that stands. A driver looks at it before it takes the lease and then every few seconds;
Airflow's task, the reconciliation and the command line look at it before they start anything. So a stop holds whoever
is away: Airflow, the Spark master, or the person who gave it.

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from streamops.state import numbered_files, stored_json
from streamops.state.batch_log import Files

FORMAT = "streamops.order/1"
DIRECTORY = "orders"


class Wish(StrEnum):
    """What is wanted."""

    RUN = "run"
    STOP = "stop"  # until somebody starts it
    PAUSE = "pause"  # until somebody resumes it: a start is refused


@dataclass(frozen=True)
class Order:
    """One order. `at` is UTC, ISO 8601; `within_s` is how long a driver may take to end, None for a wish to run."""

    pipeline: str
    number: int
    wish: Wish
    by: str
    at: str
    why: str | None = None
    within_s: float | None = None

    @property
    def stops(self) -> bool:
        """Whether no driver may run under it."""
        return self.wish is not Wish.RUN

    def __str__(self) -> str:
        """`stopped by alice@host at 2026-11-20T03:00:00.000+00:00: new broker certificates`"""
        done = {Wish.RUN: "started", Wish.STOP: "stopped", Wish.PAUSE: "paused"}[self.wish]
        return f"{done} by {self.by} at {self.at}" + (f": {self.why}" if self.why else "")

    @property
    def repair(self) -> str:
        """What lifts it, for whoever is refused because of it."""
        verb = "resume" if self.wish is Wish.PAUSE else "start"
        return f"To run it: `streamops {verb} {self.pipeline}`, or the DAG `lifecycle` with the action {verb}."

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Order:
        """The order that `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, FORMAT, "an order") as data:
            return cls(**{**data, "wish": Wish(str(data["wish"]))})


def path(number: int) -> str:
    return f"{DIRECTORY}/{numbered_files.name(number)}"


def standing(files: Files) -> Order | None:
    """The order that stands; None where nobody ever gave one, and the pipeline may run."""
    number = numbered_files.latest(files.names(DIRECTORY))
    text = files.read(path(number)) if number is not None else None
    return Order.from_json(text) if text else None
