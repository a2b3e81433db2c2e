"""`streamops drill run`, `heal` and `faults`: show what would be hit, ask, drill, heal."""

from __future__ import annotations

import json
import random
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn, Optional

import typer

File = Annotated[Optional[Path], typer.Option("--pipelines", help="The pipelines file.", show_default="STREAMOPS_PIPELINES")]  # noqa: UP045,E501 - typer reads it
BackendName = Annotated[str, typer.Option("--backend", help="Where servers run: local, compose, kubernetes or yarn.")]


def run(
    names: Annotated[Optional[list[str]], typer.Argument(metavar="[PIPELINE]…", help="Left out, every canary.")] = None,  # noqa: UP045
    fault: Annotated[Optional[list[str]], typer.Option(help="A fault; may be repeated. See `streamops drill faults`.")] = None,  # noqa: UP045,E501
    repetitions: Annotated[int, typer.Option("--repetitions", "-n", min=1, help="Of each fault on each pipeline.")] = 1,
    seed: Annotated[Optional[int], typer.Option(help="The same seed inflicts the same, in the same order.", show_default="random")] = None,  # noqa: UP045,E501
    rate: Annotated[float, typer.Option(min=1, help="Records a second into a canary.")] = 200.0,
    backend: BackendName = "local",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, not for production either.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the drills as JSON, one a line.")] = False,
    pipelines: File = None,
) -> None:
    """Inflict faults on pipelines, heal them, and judge at the sink what became of each record.

    First heals what a drill that was killed has left. Ending this one, by Ctrl-C or SIGTERM, heals at once. Exits with
    3 when a drill is refused, with 7 when a pipeline did not pass.
    """
    from streamops.actions import lifecycles
    from streamops.adapters.pipelines.files import declared
    from streamops.drilling import campaign
    from streamops.settings import Settings

    known = declared(pipelines)
    settings = Settings.load(**({"pipelines": pipelines} if pipelines else {}))
    planned = campaign.plan(known, names or [], fault or [], repetitions,
                            random.SystemRandom().randrange(10**6) if seed is None else seed, backend)
    for line in planned.lines():
        _say(line)
    if not yes and (planned.to_approve or sys.stdin.isatty()):
        typer.confirm("Inflict these faults?", abort=True, err=True)
    signal.signal(signal.SIGTERM, _end)
    done = campaign.run(planned, known, settings, lifecycles.at_a_shell(), rate, _say)
    for each in done:
        typer.echo(each.to_json() if as_json else f"drill {each.number} of {each.pipeline}: {each.state}")
    campaign.require_passed(done)


def heal(backend: BackendName = "local", pipelines: File = None) -> None:
    """Heal what drills that were killed have left inflicted. Safe to repeat; refused while a drill is at work."""
    from streamops.adapters.pipelines.files import declared
    from streamops.drilling import campaign
    from streamops.settings import Settings

    count = campaign.heal(declared(pipelines), backend, Settings.load(), _say)
    typer.echo(f"{count} fault{'s' * (count != 1)} healed" if count else "nothing was left to heal")


def faults(as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """List the faults that a drill can inflict."""
    from streamops.drilling import campaign
    from streamops.text_table import table

    known = campaign.known()
    if as_json:
        typer.echo(json.dumps([dict(zip(("fault", "approaches", "about"), each, strict=True)) for each in known]))
        return
    typer.echo(table(("FAULT", "APPROACHES", "WHAT IT DOES"), known))


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """SIGTERM unwinds as Ctrl-C does, so that what is inflicted is healed on the way out."""
    raise KeyboardInterrupt


def _say(line: str) -> None:
    typer.echo(line, err=True)
