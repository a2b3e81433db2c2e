"""`streamops status`: what each pipeline does now."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streamops.running.pipeline_status import PipelineStatus

_COLORS = {"running": "green", "idle": "green", "starting": "yellow", "restarting": "yellow", "stopping": "yellow",
           "paused": "yellow", "restoring": "yellow", "new": "dim"}


def command(
    pipeline: Annotated[str | None, typer.Argument(help="Only this pipeline.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; the keys are named in docs/status.md.")] = False,
    pipelines: Annotated[Path | None, typer.Option(help="The file that declares the pipelines.")] = None,
) -> None:
    """Show state, generation, last batch, rate, lag and driver of each pipeline.

    Works while Airflow, Spark or Kafka are away: what cannot be known is shown as unknown, with the reason.
    """
    from streamops.adapters.pipelines.files import declared
    from streamops.adapters.pipelines.status_reader import read_statuses

    known = declared(pipelines)
    statuses = read_statuses([known.pipeline(pipeline)] if pipeline else known.pipelines.values())
    if as_json:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        typer.echo(json.dumps({"at": at, "pipelines": [status.as_dict() for status in statuses]}, indent=2))
        return
    _print(statuses)


def _print(statuses: list[PipelineStatus]) -> None:
    from rich.console import Console
    from rich.table import Table

    from streamops.running.pipeline_status import duration

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("PIPELINE", "STATE", "GEN", "BATCH", "AGE", "RECORDS/S", "LAG", "DRIVER"):
        table.add_column(name, justify="right" if name in {"GEN", "BATCH", "AGE", "RECORDS/S", "LAG"} else "left",
                         overflow="fold")
    notes = []
    for status in statuses:
        color = _COLORS.get(status.state.value, "red")
        table.add_row(
            status.pipeline,
            f"[{color}]{status.state.value}[/]",
            _number(status.generation),
            _number(status.batch),
            duration(status.age_s) if status.age_s is not None else "-",
            f"{status.rate:,.0f}" if status.rate is not None else "-",
            _number(status.lag, missing="?"),
            status.driver or "-",
        )
        if status.reason:
            notes.append(f"{status.pipeline}: {status.reason}")
        if status.release:
            notes.append(f"{status.pipeline}: {status.release}")
        if status.lag_unknown and status.lag_unknown != status.reason:
            notes.append(f"{status.pipeline}: lag unknown: {status.lag_unknown}")
        if status.owner and len(statuses) == 1:
            notes.append(f"{status.driver} was started by {status.owner} and holds the lease (epoch {status.epoch})")
    console = Console(width=None if Console().is_terminal else 200, highlight=False)
    console.print(table)
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)


def _number(number: int | None, missing: str = "-") -> str:
    return f"{number:,}" if number is not None else missing
