"""What a runbook is made of. `procedure` calls these in their order; each may be called again."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from streamops.errors import AlarmError, RefusedError, UnavailableError
from streamops.runbooks.case import Case
from streamops.runbooks.evidence import Evidence
from streamops.runbooks.progress import Mark, Verdict, judge
from streamops.runbooks.recommendation import Recommendation

#: Seconds within which it must show, from the action's end on, that batches complete and the lag falls: at least so
#: many, and so many intervals.
_WITHIN_S, _WITHIN_INTERVALS = 120.0, 20
_POLL_S, _SAY_AGAIN_S = 1.0, 15.0


class Found(Protocol):
    """Evidence, as every runbook shows it."""

    def lines(self) -> Iterable[str]:
        """For a person."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""


FoundT = TypeVar("FoundT", bound=Found)


@dataclass(frozen=True)
class Option:
    """A parameter of the trigger form, `name`, and an option of the command, `--name` with hyphens."""

    name: str
    kind: type[bool] | type[int] | type[float] | type[str]
    default: bool | float | str | None
    help: str
    minimum: float | None = None


WITHIN = Option("within_s", float, None, "Seconds until it must show, after the action, that batches complete "
                "and the lag falls. Left out: two minutes, or twenty intervals of the pipeline.", minimum=1)


class Runbook(ABC, Generic[FoundT]):
    """One symptom. Its page is the docstring of its module."""

    #: Name of the DAG after `runbook_`, and of the command.
    name: ClassVar[str]
    #: What an engineer reads.
    page: ClassVar[str]
    options: ClassVar[tuple[Option, ...]] = (WITHIN,)
    #: Whether only a batch of a driver that came later shows that it helped.
    needs_new_driver: ClassVar[bool] = False

    @abstractmethod
    def read(self, case: Case) -> FoundT:
        """The evidence. Raises ConfigurationError for what a person must correct; servers away are evidence."""

    @abstractmethod
    def recommend(self, found: FoundT) -> Recommendation:
        """What to do, and why. Pure."""

    def act(self, _case: Case, agreed: Recommendation) -> None:
        """Do what was agreed to. Raises what keeps it from that."""
        raise RefusedError(f"the runbook {self.name} changes nothing by itself: {agreed.what}")

    def verify(self, case: Case, before: Mark, _agreed: Recommendation) -> str:
        """Wait until batches complete and the lag falls, or there is nothing to read; what shows it.

        Raises AlarmError, with what was found, when that does not show in time.
        """
        return self.until_well(case, before)

    def roll_back(self, case: Case, _agreed: Recommendation) -> str | None:
        """Take back what can be of an action that did not help; what was done, None where nothing was to be."""
        from streamops.runbooks import actions

        return actions.lift_own_stop(case)

    def within_s(self, case: Case) -> float:
        """How long it may take until it shows, as was asked for, or by the pipeline's interval."""
        return case.number(WITHIN.name) or max(_WITHIN_S, _WITHIN_INTERVALS * case.pipeline.interval_s)

    def until_well(self, case: Case, before: Mark, within_s: float | None = None) -> str:
        """See `verify`; `within_s` in place of what was asked for."""
        within_s = within_s or self.within_s(case)
        deadline_s, seen = time.monotonic() + within_s, list[Mark]()
        said, said_at_s = "", 0.0
        while True:
            verdict = self._verdict(case, before, seen)
            if verdict.is_well:
                return verdict.text
            now_s = time.monotonic()
            if verdict.text != said and now_s - said_at_s >= _SAY_AGAIN_S:
                said, said_at_s = verdict.text, now_s
                case.say(said)
            if now_s >= deadline_s:
                raise AlarmError(f"{case.pipeline.name} is not well after {within_s:.0f} s: {verdict.text}",
                                 f"Look again: streamops runbook {self.name} {case.pipeline.name} --plan")
            time.sleep(_POLL_S)

    def _verdict(self, case: Case, before: Mark, seen: list[Mark]) -> Verdict:
        from streamops.runbooks import reading

        try:
            seen.append(reading.mark(case))
        except UnavailableError as error:
            return Verdict(False, error.found)
        return judge(before, seen, case.pipeline.interval_s, needs_new_epoch=self.needs_new_driver)


class PipelineRunbook(Runbook[Evidence]):
    """A runbook that judges by the evidence which all pipelines have."""

    def read(self, case: Case) -> Evidence:
        from streamops.runbooks import reading

        return reading.read(case)
