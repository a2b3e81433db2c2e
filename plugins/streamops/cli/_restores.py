"""`streamops offsets restore` and `undo`: forecast, question, restore, read back; and what comes after that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from streamops.actions.restores import Restores
    from streamops.restoring.plan import Plan
    from streamops.state.generations import Generation

File = Annotated[Optional[Path], typer.Option("--pipelines", help="The pipelines file.", show_default="STREAMOPS_PIPELINES")]  # noqa: UP045,E501 - typer reads it
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]
OnlyPlan = Annotated[bool, typer.Option("--plan", help="Show the forecast and change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AcceptLoss = Annotated[bool, typer.Option("--accept-loss", help="Start at the earliest record where retention has taken the target.")]  # noqa: E501
Start = Annotated[bool, typer.Option("--start", help="Then start it, and wait until its first batch begins there.")]


def restore(
    pipeline: Annotated[str, typer.Argument(help="The pipeline. It must be stopped.")],
    to_point: Annotated[Optional[str], typer.Option(help="A recovery point, by its number, or `newest`.")] = None,  # noqa: UP045
    to_time: Annotated[Optional[str], typer.Option(help="The first record of this time or later; with its zone.")] = None,  # noqa: UP045,E501
    to_earliest: Annotated[bool, typer.Option("--to-earliest", help="All that Kafka has.")] = False,
    to_latest: Annotated[bool, typer.Option("--to-latest", help="Only what comes from now on.")] = False,
    by: Annotated[Optional[int], typer.Option(help="Records in each partition: -1000 back, 500 forward.")] = None,  # noqa: UP045
    to_offsets: Annotated[Optional[str], typer.Option(help='lines:0=42,lines:1=7 or {"lines": {"0": 42}}.')] = None,  # noqa: UP045
    from_file: Annotated[Optional[Path], typer.Option(help="CSV of kafka-consumer-groups --export.")] = None,  # noqa: UP045
    plan: OnlyPlan = False,
    yes: Yes = False,
    accept_loss: AcceptLoss = False,
    start: Start = False,
    as_json: AsJson = False,
    pipelines: File = None,
) -> None:
    """Set a pipeline to another place in its topics: forecast, question, restore, read back.

    Opens a new generation with stated offsets, and supersedes the batches whose records are processed again. Refused
    while a driver or a group member lives. Exits with 3 when it is refused. To go back: streamops offsets undo.
    """
    from streamops.errors import ConfigurationError
    from streamops.restoring.targets import TargetKind

    stated = [(kind, value) for kind, value in (
        (TargetKind.POINT, to_point), (TargetKind.TIME, to_time), (TargetKind.EARLIEST, to_earliest or None),
        (TargetKind.LATEST, to_latest or None), (TargetKind.BY, by), (TargetKind.OFFSETS, to_offsets),
        (TargetKind.FILE, from_file)) if value is not None]
    if len(stated) != 1:
        raise ConfigurationError(f"a restore has one target, and {len(stated) or 'none'} is stated",
                                 "Give one of --to-point, --to-time, --to-earliest, --to-latest, --by, --to-offsets, "
                                 "--from-file.")
    kind, value = stated[0]
    text = _text_of(from_file) if from_file is not None else str(value)
    with _restores(pipeline, pipelines) as restores:
        planned = restores.plan(kind, text, accept_loss=accept_loss)
        go_on(restores, carry_out(restores, planned, plan, yes, as_json), start, pipelines)


def undo(
    pipeline: Annotated[str, typer.Argument(help="The pipeline. It must be stopped.")],
    plan: OnlyPlan = False,
    yes: Yes = False,
    accept_loss: AcceptLoss = False,
    start: Start = False,
    as_json: AsJson = False,
    pipelines: File = None,
) -> None:
    """Take the last restore back: the pipeline stands where it stood before, and the same batches count as then."""
    with _restores(pipeline, pipelines) as restores:
        planned = restores.plan_undo(accept_loss=accept_loss)
        go_on(restores, carry_out(restores, planned, plan, yes, as_json), start, pipelines)


def _restores(pipeline: str, pipelines: Path | None) -> Restores:
    from streamops.actions import snapshots
    from streamops.actions.restores import Restores
    from streamops.adapters.pipelines.files import declared

    return Restores(declared(pipelines).pipeline(pipeline), snapshots.store(), warn)


def carry_out(restores: Restores, planned: Plan, only_plan: bool, yes: bool, as_json: bool) -> Generation | None:
    """Show the forecast, ask, and restore; the generation that is open then, None where only the plan is asked for."""
    from streamops.state.lease import Owner, OwnerKind

    if as_json:
        typer.echo(json.dumps(planned.as_dict(), indent=2))
    else:
        typer.echo("\n".join([planned.forecast.table(), *planned.describe()]))
    planned.require_allowed()
    if only_plan:
        return None
    if not yes:
        typer.confirm("Restore?", abort=True, err=True)
    restored = restores.apply(planned.decision, Owner(OwnerKind.SHELL))
    warn(f"{restored.pipeline} begins at these offsets in generation {restored.number}.")
    return restored


def go_on(restores: Restores, restored: Generation | None, start: bool, pipelines: Path | None) -> None:
    """Start what was restored, where that is asked for, and wait for the proof that it begins where it was to."""
    if restored is None:
        return
    if not start:
        warn(f"Start it: streamops start {restored.pipeline}")
        return
    from streamops.actions import lifecycles
    from streamops.adapters.pipelines.files import declared
    from streamops.running.lifecycle import Action
    from streamops.settings import Settings

    known = declared(pipelines)
    settings = Settings.load(**({"pipelines": pipelines} if pipelines else {}))
    given = lifecycles.given(Action.START, lifecycles.at_a_shell(), "it was restored", None)
    lifecycles.do(known, Action.START, restored.pipeline, given, warn, settings)
    warn(restores.await_progress(restored.number, known.pipeline(restored.pipeline).start_timeout_s))


def _text_of(file: Path) -> str:
    from streamops.errors import ConfigurationError

    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {type(error).__name__}", "Name a CSV file.") from error


def warn(line: str) -> None:
    typer.echo(line, err=True)
