"""`streamops move`: go on in a topic of another name, or on another cluster."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from streamops.cli._restores import AcceptLoss, AsJson, File, OnlyPlan, Start, Yes


def command(
    pipeline: Annotated[str, typer.Argument(help="The pipeline, stopped, and declared with the new topics already.")],
    from_topic: Annotated[Optional[list[str]], typer.Option(metavar="OLD=NEW", help="A topic that has another name now; repeatable.")] = None,  # noqa: UP045,E501
    from_connection: Annotated[Optional[str], typer.Option(metavar="ID", help="The old cluster's connection; the same when left out.")] = None,  # noqa: UP045,E501
    plan: OnlyPlan = False,
    yes: Yes = False,
    accept_loss: AcceptLoss = False,
    start: Start = False,
    as_json: AsJson = False,
    pipelines: File = None,
) -> None:
    """Carry a pipeline's place over to a copy of its topics, by the timestamps of records.

    Shows for each partition where it goes on, how many records may be processed again, and how many that wait were not
    copied; then opens a new generation there, as a restore does, with its refusals, read-back and undo.
    """
    from streamops.actions import snapshots
    from streamops.actions.moves import Moves
    from streamops.adapters.pipelines.files import declared
    from streamops.cli._restores import carry_out, go_on
    from streamops.restoring.carry_over import as_table, parse

    def say(line: str) -> None:
        typer.echo(line, err=True)

    renamed, stated = parse(" ".join([*(from_topic or ()), *([from_connection] if from_connection else [])]))
    found = declared(pipelines).pipeline(pipeline)
    with Moves(found, snapshots.store(), say) as moves:
        planned, carried = moves.plan_move(renamed, stated or found.connections.kafka, accept_loss=accept_loss)
        say(as_table(carried)) if as_json else typer.echo(as_table(carried) + "\n")
        go_on(moves, carry_out(moves, planned, plan, yes, as_json), start, pipelines)
