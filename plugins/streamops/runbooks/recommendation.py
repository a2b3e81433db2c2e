"""What a runbook recommends, as data: made by pure code out of the evidence, shown, agreed to, and then done or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self


class Kind(StrEnum):
    """What follows from a recommendation."""

    NOTHING = "nothing"  # all is well, or as a person wants it
    WAIT = "wait"  # it mends itself: nothing is changed, and the runbook watches until it is well
    ACT = "act"  # the runbook can do it, once somebody approves
    ADVICE = "advice"  # a person has to do it
    OTHER = "other"  # another runbook's case


@dataclass(frozen=True)
class Recommendation:
    """What to do and why. `what` completes "Recommended: …".

    `subject` is what it is done to (a driver, a batch): an approval holds for that and nothing else. `advice` are steps
    for a person, `runbook` names the other runbook, `data` (JSON) is what the action needs to know.
    """

    kind: Kind
    what: str
    reason: str
    subject: str | None = None
    advice: tuple[str, ...] = ()
    runbook: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def nothing(cls, reason: str, *advice: str) -> Self:
        return cls(Kind.NOTHING, "do nothing", reason, advice=advice)

    @classmethod
    def wait(cls, what: str, reason: str, *advice: str) -> Self:
        return cls(Kind.WAIT, what, reason, advice=advice)

    @classmethod
    def act(cls, what: str, reason: str, subject: str | None = None, *advice: str, **data: Any) -> Self:
        return cls(Kind.ACT, what, reason, subject, advice, data=data)

    @classmethod
    def by_hand(cls, what: str, reason: str, *advice: str) -> Self:
        return cls(Kind.ADVICE, what, reason, advice=advice)

    @classmethod
    def other(cls, runbook: str, reason: str) -> Self:
        return cls(Kind.OTHER, f"the runbook {runbook}", reason, runbook=runbook)

    @property
    def changes_something(self) -> bool:
        """Whether somebody has to approve it."""
        return self.kind is Kind.ACT

    def is_for_same(self, other: Recommendation) -> bool:
        """Whether an approval of the one holds for the other: reasons may be told with other numbers by now."""
        return (self.kind, self.subject, self.data) == (other.kind, other.subject, other.data)

    def lines(self, pipeline: str) -> Iterator[str]:
        """For a person."""
        yield f"Recommended: {self.what}"
        yield f"because {self.reason}"
        yield from (f"- {step}" for step in self.advice)
        if self.runbook is not None:
            yield f"- streamops runbook {self.runbook} {pipeline}, or the DAG runbook_{self.runbook}"

    def to_data(self) -> dict[str, Any]:
        """For JSON, and for the next task."""
        return {"kind": str(self.kind), "what": self.what, "reason": self.reason, "subject": self.subject,
                "advice": list(self.advice), "runbook": self.runbook, "data": dict(self.data)}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Recommendation:
        """What `to_data` gave."""
        made = cls(**{**data, "kind": Kind(data["kind"])})
        return replace(made, advice=tuple(data["advice"]))
