"""What the verbs `start`, `stop`, `restart`, `pause`, `resume`, `upgrade` share: all but their names and help."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Optional

import typer

from streamops.running.lifecycle import Action

Names = Annotated[list[str], typer.Argument(metavar="PIPELINE", help="One or more pipelines.")]
Within = Annotated[Optional[float], typer.Option(  # noqa: UP045  typer reads it
    min=0, metavar="SECONDS",
    help="stop, restart, pause: how long a driver may take to end before it is killed. start, resume, upgrade: how "
         "long it may take to its first batch. Left out, the pipeline's own times.")]
Why = Annotated[Optional[str], typer.Option(help="Kept with the order, and shown to whoever meets it.")]  # noqa: UP045
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the plans and what became of them as JSON.")]
File = Annotated[Optional[Path], typer.Option("--pipelines", help="The pipelines file.", show_default="STREAMOPS_PIPELINES")]  # noqa: UP045,E501 - typer reads it


def verb(action: Action, explanation: str) -> Callable[..., None]:
    """The command of one action; `explanation` is its help."""

    def command(
        names: Names,
        within: Within = None,
        why: Why = None,
        yes: Yes = False,
        as_json: AsJson = False,
        pipelines: File = None,
    ) -> None:
        run(action, names, within, why, yes=yes, as_json=as_json, file=pipelines)

    command.__doc__ = explanation
    return command


def run(
    action: Action, names: list[str], within_s: float | None, why: str | None, *, yes: bool, as_json: bool,
    file: Path | None,
) -> None:
    """Plan, show, ask, apply and read back. Raises what keeps a pipeline from it, after all the others."""
    from streamops.actions import lifecycles
    from streamops.adapters.pipelines.files import declared
    from streamops.settings import Settings

    def say(line: str) -> None:
        typer.echo(line, err=True)

    given = lifecycles.given(action, lifecycles.at_a_shell(), why, within_s)
    settings = Settings.load(**({"pipelines": file} if file else {}))
    planned = lifecycles.plan(declared(file), action, names, given, say, settings)
    for each in planned:
        typer.echo(str(each.plan), err=as_json)
    if any(each.plan.steps for each in planned) and not yes and sys.stdin.isatty():
        typer.confirm("Take these steps?", abort=True, err=True)
    results = lifecycles.apply(planned)
    if as_json:
        typer.echo(json.dumps([result.as_dict() for result in results], indent=2))
    for result in results:
        if result.error is None:
            say(f"{result.plan.pipeline}: " + (f"{action} is done" if result.plan.steps else "as it was"))
    lifecycles.require_done(results)
