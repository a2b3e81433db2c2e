"""What to do about the drivers that a pipeline has already, before another one is submitted.

Pure: what is known of each driver comes in, a plan goes out. The lease protects the data whatever is decided here;
this decides who gets to run, so that a task which lost its driver finds it again, and a driver that somebody wants is
not taken away from them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streamops.running.driver_status import Standing
from streamops.state.lease import Owner, OwnerKind

#: States of a task instance from which it does not come back by itself (airflow.utils.state.State.finished).
OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


@dataclass(frozen=True)
class Contender:
    """A driver that the pipeline knows, with what is known of it now.

    `owner_lives`: whether the Airflow run that asked for it still goes on, or None for one that no run asked for.
    `beats`: whether its beat changed while it was watched, or None when nobody watched.
    """

    driver: str
    owner: Owner
    standing: Standing
    holds_lease: bool
    owner_lives: bool | None
    beats: bool | None = None


@dataclass(frozen=True)
class Takeover:
    """What to do: go on with the driver `adopt`, or end those in `stop`, then submit one that supersedes `supersedes`.

    `refusal` says, for a person, why nothing may be done.
    """

    adopt: str | None = None
    stop: tuple[str, ...] = ()
    supersedes: tuple[str, ...] = ()
    refusal: str | None = None


def owner_lives(task_state: str | None, *, run_exists: bool) -> bool:
    """Whether the task that asked for a driver will see to it. A task without a state is about to be scheduled."""
    return run_exists and task_state not in OVER


def is_same_task(one: Owner, other: Owner) -> bool:
    """Whether two owners are tries of one task of one run."""
    return one.kind is other.kind is OwnerKind.AIRFLOW and (one.dag_id, one.run_id, one.task_id) == (
        other.dag_id,
        other.run_id,
        other.task_id,
    )


def may_go_on_with(owner: Owner, me: Owner) -> bool:
    """Whether I may take a driver of `owner` for mine: it is of my task, or was started in Airflow's place."""
    return is_same_task(owner, me) or (owner.kind is OwnerKind.START and me.kind is not OwnerKind.SHELL)


def is_of(owner: Owner, me: Owner) -> bool:
    """Whether a driver of `owner` is one of mine; as a person at a shell, one of any such person's."""
    return owner.kind is me.kind is OwnerKind.SHELL or may_go_on_with(owner, me)


def plan_takeover(me: Owner, contenders: Iterable[Contender]) -> Takeover:
    """Decide about the drivers of a pipeline for `me`, who wants it to run. The newest comes last in `contenders`.

    Drivers that a master in charge does not know are superseded: it forgot them, and has their workers end them; so are
    those whose worker it has lost. One that still beats is left to whoever started it, unless that is an Airflow run
    that is over.
    """
    adopt: Contender | None = None
    stop: list[str] = []
    supersedes: list[str] = []
    for each in contenders:
        mine = may_go_on_with(each.owner, me)
        over = each.owner.kind is OwnerKind.AIRFLOW and not each.owner_lives
        if each.standing is Standing.ENDED:
            supersedes.append(each.driver)
        elif each.standing is Standing.LIVING and mine:
            # Of two that are mine, the one that writes already is kept; the other one would be refused by the lease.
            if adopt is None or each.holds_lease or not adopt.holds_lease:
                adopt = each
        elif each.standing is Standing.LIVING and over:
            stop.append(each.driver)
            supersedes.append(each.driver)
        elif each.standing is Standing.LIVING:
            return Takeover(refusal=f"driver {each.driver}, started by {each.owner}, is running for this pipeline")
        elif mine or over or not each.beats:
            supersedes.append(each.driver)
        else:
            return Takeover(
                refusal=f"driver {each.driver}, started by {each.owner}, still writes for this pipeline, though the "
                "Spark master has lost it"
            )
    if adopt is not None:
        return Takeover(adopt=adopt.driver)
    return Takeover(stop=tuple(stop), supersedes=tuple(supersedes))
