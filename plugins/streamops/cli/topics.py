"""`streamops topics`: what the declared topics lack on the brokers, and the steps that bring it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from streamops.actions.provisioning import Plans
    from streamops.declared.pipelines import Pipelines

app = typer.Typer(
    no_args_is_help=True,
    help="Bring the brokers' topics to what pipelines.yaml declares. Safe to repeat and to interrupt; topics that are "
         "not declared are never touched, and no topic is ever deleted.",
)

File = Annotated[Optional[Path], typer.Option("--pipelines", help="The pipelines file.", show_default="STREAMOPS_PIPELINES")]  # noqa: UP045,E501 - typer reads it
Topics = Annotated[Optional[list[str]], typer.Option("--topic", help="This topic alone; may be repeated.")]  # noqa: UP045
AsJson = Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")]
Timeout = Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait for a broker that does not answer.")]


@app.command()
def plan(pipelines: File = None, topic: Topics = None, as_json: AsJson = False, timeout: Timeout = 10) -> None:
    """Show what an apply would do, and what is refused, with the reason. Changes nothing."""
    from streamops.actions import provisioning

    _show(provisioning.plan(_load(pipelines), topic or (), timeout), as_json)


@app.command()
def apply(
    pipelines: File = None,
    topic: Topics = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
    timeout: Timeout = 10,
) -> None:
    """Show the plan, take its steps, wait until the brokers serve the result, and read it back.

    Asks first when a person is at the terminal. Exits with 3 when something declared is refused; everything else is
    done nevertheless.
    """
    from streamops.actions import provisioning

    declared = _load(pipelines)
    plans = provisioning.plan(declared, topic or (), timeout)
    _show(plans, as_json)
    steps = sum(len(planned.steps) for planned in plans.values())
    if steps:
        if not yes and sys.stdin.isatty():
            typer.confirm(f"Take {'this step' if steps == 1 else f'these {steps} steps'}?", abort=True, err=True)
        taken = []

        def say(line: str) -> None:
            taken.append(line)
            typer.echo(line, err=True)

        plans = provisioning.apply(declared, plans, say, timeout)
        typer.echo(f"{len(taken)} done, read back from the brokers.", err=True)
    provisioning.require_no_refusals(plans)


def _load(file: Path | None) -> Pipelines:
    from streamops.declared import pipelines
    from streamops.settings import Settings

    return pipelines.load(file or Settings.load().pipelines)


def _show(plans: Plans, as_json: bool) -> None:
    from streamops.actions import provisioning

    if as_json:
        typer.echo(json.dumps(provisioning.to_data(plans), indent=2))
    else:
        typer.echo(provisioning.rendered(plans))
