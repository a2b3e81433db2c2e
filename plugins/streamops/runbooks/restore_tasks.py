"""What the tasks of the DAG `runbook_restore_offsets` do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from streamops.actions import snapshots
from streamops.actions.moves import Moves
from streamops.actions.restores import Restores
from streamops.declared.pipelines import Pipelines
from streamops.errors import StreamopsError
from streamops.points import choices
from streamops.restoring import carry_over
from streamops.restoring.plan import Decision
from streamops.restoring.targets import TargetKind
from streamops.running.lifecycle import Action
from streamops.state.lease import Owner, OwnerKind

Say = Callable[[str], None]

#: Targets in the form beside those of a restore: a copy of the topics elsewhere, and the last restore taken back.
MOVE, UNDO = "move", "undo"
TARGETS = [*map(str, TargetKind), MOVE, UNDO]
DEFAULT_TARGET, DEFAULT_POINT = str(TargetKind.POINT), choices.NEWEST

#: Points of this time are offered in the form; any other may be typed.
_OFFERED = timedelta(days=1)


def points() -> list[str]:
    """The points that the form offers. While the database is away, only the newest: the form must show."""
    try:
        return choices.offered(snapshots.store().summaries(since=datetime.now(UTC) - _OFFERED))
    except StreamopsError:
        return choices.offered([])


def plan(declared: Pipelines, params: Mapping[str, Any], say: Say) -> tuple[str, dict[str, Any]]:
    """The forecast as Markdown, and the decision as JSON. Raises RefusedError where it may not be done."""
    pipeline = declared.pipeline(params["pipeline"])
    with Moves(pipeline, snapshots.store(), say) as restores:
        accept_loss = bool(params["accept_loss"])
        if params["target"] == UNDO:
            planned = restores.plan_undo(accept_loss=accept_loss)
        elif params["target"] == MOVE:
            renamed, connection = carry_over.parse(params["value"] or "")
            planned, carried = restores.plan_move(renamed, connection or pipeline.connections.kafka,
                                                  accept_loss=accept_loss)
            say(carry_over.as_table(carried))
        else:
            kind = TargetKind(params["target"])
            value = choices.number(params["point"]) if kind is TargetKind.POINT else params["value"] or ""
            planned = restores.plan(kind, value, accept_loss=accept_loss)
    say("\n".join([planned.forecast.table(), *planned.describe()]))
    planned.require_allowed()
    lines = "\n".join(f"- {line}" for line in planned.describe())
    return f"{lines}\n\n```\n{planned.forecast.table()}\n```", planned.decision.to_data()


def apply(declared: Pipelines, decision: Mapping[str, Any], ti: Any, say: Say) -> int:
    """Do what `plan` decided, as the task instance `ti`; the number of the generation."""
    agreed = Decision.from_data(decision)
    owner = Owner(OwnerKind.AIRFLOW, ti.dag_id, ti.run_id, ti.task_id, ti.try_number)
    with Restores(declared.pipeline(agreed.pipeline), snapshots.store(), say) as restores:
        return restores.apply(agreed, owner).number


def start(declared: Pipelines, params: Mapping[str, Any], dag_run: Any, say: Say) -> bool:
    """Start the pipeline where the form asks for it; whether it did. Raises what `lifecycles.do` raises."""
    from streamops.actions import lifecycles

    if not params["start"]:
        return False
    given = lifecycles.given(Action.START, lifecycles.in_airflow(dag_run), "it was restored", None)
    lifecycles.do(declared, Action.START, params["pipeline"], given, say)
    return True


def await_progress(declared: Pipelines, pipeline: str, generation: int) -> str:
    """What shows that the restored generation makes progress, within the time that a start may take."""
    found = declared.pipeline(pipeline)
    with Restores(found, snapshots.store(), say=print) as restores:
        return restores.await_progress(generation, found.start_timeout_s)
