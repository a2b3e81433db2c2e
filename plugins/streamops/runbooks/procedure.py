"""What every runbook does, from the command line and in its DAG: look, recommend, and, once approved, act and verify.

    looked = look(runbook, case)
    require_possible(looked.recommendation)
    apply(runbook, case, looked.recommendation)          # after somebody approved it
    print(verify(runbook, case, looked.before, looked.recommendation))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamops.declared.pipeline import Pipeline
from streamops.declared.pipelines import Pipelines
from streamops.errors import AlarmError, ConfigurationError, RefusedError, StreamopsError
from streamops.runbooks.case import Case
from streamops.runbooks.progress import Mark
from streamops.runbooks.recommendation import Kind, Recommendation
from streamops.runbooks.runbook import Found, Runbook


@dataclass(frozen=True)
class Looked:
    """The evidence, what follows from it, and where the pipeline stood."""

    found: Found
    recommendation: Recommendation
    before: Mark


def of_topics(declared: Pipelines, name: str) -> Pipeline:
    """The pipeline of that name. Raises ConfigurationError for none such, and for one that reads a folder."""
    pipeline = declared.pipeline(name)
    if pipeline.source != "kafka":
        raise ConfigurationError(f"`{name}` reads a folder, and runbooks are about pipelines that read topics",
                                 f"See `streamops status {name}`, and restart it: streamops restart {name}")
    return pipeline


def look(runbook: Runbook[Any], case: Case) -> Looked:
    """Read the evidence and recommend; changes nothing. `case.say` is told both."""
    before = _mark(case)
    found = runbook.read(case)
    recommendation = runbook.recommend(found)
    for line in (*found.lines(), "", *recommendation.lines(case.pipeline.name)):
        case.say(line)
    return Looked(found, recommendation, before)


def require_possible(recommendation: Recommendation) -> None:
    """Raises AlarmError where a person, or another runbook, has to mend it."""
    if recommendation.kind is Kind.OTHER:
        raise AlarmError(f"this is not its case, because {recommendation.reason}",
                         f"Go on with the runbook {recommendation.runbook}.")
    if recommendation.kind is Kind.ADVICE:
        raise AlarmError(f"{recommendation.what}: {recommendation.reason}", "\n".join(recommendation.advice) or None)


def apply(runbook: Runbook[Any], case: Case, agreed: Recommendation) -> None:
    """Do what was agreed to, where it still holds. Raises RefusedError where something else is recommended by now.

    What can be taken back of an action that fails is taken back.
    """
    now = look(runbook, case).recommendation
    if now.kind in (Kind.NOTHING, Kind.WAIT):
        case.say(f"nothing is done any more, because {now.reason}")
        return
    if not agreed.is_for_same(now):
        raise RefusedError(f"what was approved ({agreed.what}) is not recommended any more: {now.what}, because "
                           f"{now.reason}", "Nothing was changed. Run the runbook again.")
    try:
        runbook.act(case, now)
    except StreamopsError as error:
        raise _rolled_back(runbook, case, agreed, error) from error


def verify(runbook: Runbook[Any], case: Case, before: Mark, agreed: Recommendation) -> str:
    """What shows that it is well. Raises AlarmError with what was found, after taking back what can be."""
    try:
        return runbook.verify(case, before, agreed)
    except StreamopsError as error:
        if agreed.kind is Kind.WAIT:
            raise
        raise _rolled_back(runbook, case, agreed, error) from error


def _rolled_back(runbook: Runbook[Any], case: Case, agreed: Recommendation, error: StreamopsError) -> StreamopsError:
    """The same error, with what was taken back because of it."""
    try:
        done = runbook.roll_back(case, agreed)
    except StreamopsError as another:
        done = f"taking it back failed as well: {another.found}"
    if done is None:
        return error
    case.say(done)
    return type(error)(error.found, f"{error.repair}\n{done}" if error.repair else done)


def _mark(case: Case) -> Mark:
    from streamops.runbooks import reading

    try:
        return reading.mark(case)
    except StreamopsError as error:
        return Mark(at_s=0.0, why_no_lag=error.found)
