"""`streamops lag`: whether each pipeline keeps up, by its last recovery points."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Optional

import typer


def command(
    pipeline: Annotated[Optional[str], typer.Argument(help="Only this pipeline.")] = None,  # noqa: UP045
    as_json: Annotated[bool, typer.Option("--json", help="For machines; the keys are in docs/recovery-points.md.")] = False,  # noqa: E501
    pipelines: Annotated[Optional[Path], typer.Option(help="The file that declares the pipelines.")] = None,  # noqa: UP045
) -> None:
    """Show whether each pipeline keeps up with Kafka, over its recovery points of the last hour.

    Asks no broker: take a new point with `streamops offsets snapshot`. Exits with 7 when there are alarms.
    """
    from streamops.actions import snapshots
    from streamops.adapters.pipelines.files import declared

    wanted = snapshots.chosen(declared(pipelines), [pipeline] if pipeline else [])
    points = snapshots.store()
    judged = [found for each in wanted
              if (found := snapshots.judge(each, points, lambda line: typer.echo(line, err=True))) is not None]
    if as_json:
        typer.echo(json.dumps([each.as_dict() for each in judged], indent=2))
    elif judged:
        from streamops.text_table import number, seconds, table

        typer.echo(table(
            ("PIPELINE", "STATE", "LAG", "LAG TIME", "DATA LOSS IN", "WHY"),
            [(each.pipeline, each.state.value, number(each.lag_records), seconds(each.lag_s),
              seconds(each.data_loss_s), each.reason) for each in judged]))
    else:
        typer.echo("there are no recovery points yet: streamops offsets snapshot")
    snapshots.require_no_alarms([alarm for each in judged for alarm in snapshots.alarms_of(each)])
