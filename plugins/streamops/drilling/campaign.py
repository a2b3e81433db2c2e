"""Several drills, one after the other: what `streamops drill run` and the DAG `drill_recovery` both do.

    planned = plan(declared, names, faults, repetitions, seed)
    heal_first(…); run(planned, …)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from streamops.actions import lifecycles, snapshots
from streamops.adapters.connections import connection
from streamops.adapters.database.drills import Drills
from streamops.adapters.database.session import Database
from streamops.declared import schedules
from streamops.declared.pipeline import Pipeline
from streamops.declared.pipelines import Pipelines
from streamops.drilling import backends, inflictions, preflight
from streamops.drilling.drill import PipelineDrill, Request, heal_one
from streamops.drilling.open_faults import OpenFaults
from streamops.drilling.scene import Say, Scene
from streamops.drills import faults
from streamops.drills.drill import Drill, DrillState
from streamops.drills.faults import Strike
from streamops.errors import AlarmError, ConfigurationError, StateError, StreamopsError
from streamops.settings import Settings

#: Records a second into a canary: some hundreds in each batch, and no load on two cores.
RATE = 200.0


@dataclass(frozen=True)
class Campaign:
    """What would be done. `strikes` are in the order in which they are inflicted."""

    pipelines: tuple[Pipeline, ...]
    strikes: tuple[Strike, ...]
    seed: int
    backend: str

    @property
    def to_approve(self) -> list[str]:
        """The pipelines of production among them."""
        return preflight.in_production(self.pipelines)

    def lines(self) -> list[str]:
        """For whoever is asked."""
        found = [f"seed {self.seed}, backend {self.backend}"]
        for pipeline in self.pipelines:
            own = [str(each.fault.name) for each in self.strikes if each.pipeline == pipeline.name]
            what = "canary, started for it where it does not run" if pipeline.drills.canary else (
                "PRODUCTION: nothing is sent into its topics; judged by its batch log")
            found.append(f"{pipeline.name} ({pipeline.approach}, {what}): {', '.join(own)}")
        return found

    def to_data(self) -> dict[str, Any]:
        """What an approval is for."""
        return {"pipelines": [each.name for each in self.pipelines], "seed": self.seed, "backend": self.backend,
                "faults": list(dict.fromkeys(each.fault.name for each in self.strikes))}


def plan(declared: Pipelines, names: Sequence[str], wanted: Sequence[str], repetitions: int, seed: int,
         backend: str) -> Campaign:
    """Which faults for which pipelines, in which order. Raises ConfigurationError and RefusedError, all at once."""
    problems: list[StreamopsError] = []
    pipelines: list[Pipeline] = []
    chosen: list[faults.Fault] = []
    try:
        pipelines = preflight.chosen(declared, names)
    except StreamopsError as error:
        problems.append(error)
    try:
        chosen = faults.named(wanted or faults.USUAL)
    except StreamopsError as error:
        problems.append(error)
    if problems:
        raise problems[0] if len(problems) == 1 else ConfigurationError("\n".join(map(str, problems)))
    if folders := [each.name for each in pipelines if each.source != "kafka"]:
        raise ConfigurationError(f"{', '.join(folders)}: drills are about pipelines that read topics", "Name others.")
    strikes = faults.strikes([(each.name, each.approach) for each in pipelines], chosen, repetitions, seed)
    if not strikes:
        raise ConfigurationError("none of these faults is about the approach of these pipelines",
                                 "See which are: streamops drill faults")
    return Campaign(tuple(pipelines), tuple(strikes), seed, backend)


def due(declared: Pipelines, now: datetime) -> list[str]:
    """The pipelines whose `schedules.drill` has come round since their last drill, of those that a schedule may hit.

    A schedule cannot ask a person, so pipelines of production are left out.
    """
    drills, found = store(), []
    for pipeline in declared.pipelines.values():
        if pipeline.schedules.drill is None or not pipeline.drills.canary:
            continue
        last = drills.drills(pipeline.name, limit=1)
        at = datetime.fromisoformat(last[0].started_at) if last else None
        if schedules.is_due(pipeline.schedules.drill, at, now):
            found.append(pipeline.name)
    return found


def store() -> Drills:
    """The drills in our own database. Raises ConfigurationError."""
    return Drills(Database.of(connection(snapshots.DATABASE)))


def heal(declared: Pipelines, backend: str, settings: Settings, say: Say) -> int:
    """Heal what drills that were killed have left; how many faults that were. Safe to repeat.

    Raises RefusedError while another drill is at work, and the first error of what cannot be healed, after the others.
    """
    journal = OpenFaults(backends.home(backend, settings))
    with journal.alone():
        count = _healed(journal, declared, settings, say)
        for name in journal.started():
            say(f"stopping {name}, which a drill has started")
            preflight.stop(declared, declared.pipeline(name), settings, lifecycles.at_a_shell(), say)
            journal.unmark_started(name)
        return count


def run(campaign: Campaign, declared: Pipelines, settings: Settings, by: str, rate: float, say: Say) -> list[Drill]:
    """Heal what is left of others, then carry out every drill; each is in the database before the next begins.

    Raises RefusedError while another drill is at work, or where a pipeline is not well enough for one.
    """
    home = backends.home(campaign.backend, settings)
    journal, drills = OpenFaults(home), store()
    with journal.alone():
        _healed(journal, declared, settings, say)
        backend = backends.of(campaign.backend)
        request = Request(declared, settings, backend, home, campaign.seed, by, rate, say)
        done = []
        for pipeline in campaign.pipelines:
            strikes = [each for each in campaign.strikes if each.pipeline == pipeline.name]
            if strikes:
                done.append(PipelineDrill(request, pipeline, strikes, journal, drills).run())
    return done


def require_passed(done: Sequence[Drill]) -> None:
    """Raises AlarmError with every drill that did not pass."""
    bad = [each for each in done if each.state is not DrillState.PASSED]
    if bad:
        raise AlarmError("\n".join(f"drill {each.number} of {each.pipeline}: {each.state}" + (
            f": {each.error}" if each.error else "") + (f"\n{each.verdict.describe()}" if each.verdict else "")
            for each in bad), "See each: streamops drill show NUMBER")


def _healed(journal: OpenFaults, declared: Pipelines, settings: Settings, say: Say) -> int:
    errors: list[StreamopsError] = []
    left = journal.all()
    for opened in left:
        say(f"healing what was left open: {opened}")
        try:
            # Its pipeline may be undeclared by now; what it hit is in the record.
            scene = Scene(declared.pipeline(opened.pipeline), backends.of(opened.backend), settings, say)
            heal_one(opened, scene, journal)
            if opened.drill is not None and opened.number is not None:
                store().healed(opened.drill, opened.number, datetime.now(UTC))
        except StreamopsError as error:
            errors.append(error)
    if (killed := journal.drill()) is not None:
        store().finish(killed, DrillState.ENDED, datetime.now(UTC), None, "it was killed before its verdict")
        journal.mark_drill(None)
    if errors:
        raise errors[0] if len(errors) == 1 else StateError("\n".join(map(str, errors)))
    return len(left)


def known() -> list[tuple[str, str, str]]:
    """Every fault: name, approaches, what it does."""
    return [(each.name, ", ".join(each.approaches), each.about) for each in faults.FAULTS.values()
            if inflictions.of(each)]
