"""`streamops runbook`: what to do about a symptom, with or without Airflow."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from streamops.cli import _restores
from streamops.runbooks import catalogue

if TYPE_CHECKING:
    from streamops.runbooks.case import Case
    from streamops.runbooks.runbook import Option, Runbook

app = typer.Typer(
    invoke_without_command=True,
    help="Runbooks for on-call: evidence, a recommendation with its reason, the action once it is approved, and proof "
         "that batches complete and the lag falls. Works with Airflow down. The page of one: streamops runbook NAME -h",
)

Name = Annotated[str, typer.Argument(help="The pipeline.", show_default=False)]
OnlyPlan = Annotated[bool, typer.Option("--plan", "--dry-run", help="Show the evidence and the recommendation; change nothing.")]  # noqa: E501
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="For machines; what a person reads goes to stderr.")]
File = Annotated[Optional[Path], typer.Option("--pipelines", help="The pipelines file.", show_default="STREAMOPS_PIPELINES")]  # noqa: UP045,E501 - typer reads it


@app.callback()
def _list(context: typer.Context) -> None:
    if context.invoked_subcommand is not None:
        return
    for name, page in catalogue.pages().items():
        typer.echo(f"{name}: {catalogue.symptom(page)}\n")
    typer.echo("streamops runbook NAME PIPELINE; streamops runbook NAME --help says what it does.")


def _command(runbook: Runbook[Any]) -> Callable[..., None]:
    """The command of one runbook, with an option for each of its own."""

    def command(
        pipeline: Name, plan: OnlyPlan = False, yes: Yes = False, as_json: AsJson = False, pipelines: File = None,
        **options: Any,
    ) -> None:
        case = _case(runbook, pipeline, pipelines, options, as_json)
        _run(runbook, case, only_plan=plan, yes=yes, as_json=as_json)

    # typer makes options of a function's parameters.
    fixed = [each for each in inspect.signature(command, eval_str=True).parameters.values()
             if each.kind is not inspect.Parameter.VAR_KEYWORD]
    own = [_parameter(option) for option in runbook.options]
    command.__signature__ = inspect.Signature([*fixed, *own])  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in (*fixed, *own)}
    return command


def _parameter(option: Option) -> inspect.Parameter:
    kind: Any = option.kind if option.default is not None else Optional[option.kind]  # noqa: UP045
    flag = f"--{option.name.removesuffix('_s').replace('_', '-')}"
    shown = typer.Option(flag, help=option.help, min=option.minimum) if option.minimum is not None else typer.Option(
        flag, help=option.help)
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default,
                             annotation=Annotated[kind, shown])


def _case(runbook: Runbook[Any], pipeline: str, file: Path | None, options: dict[str, Any], as_json: bool) -> Case:
    from streamops.actions import lifecycles
    from streamops.adapters.pipelines.files import declared
    from streamops.runbooks import procedure
    from streamops.runbooks.case import Case
    from streamops.settings import Settings

    known = declared(file)
    settings = Settings.load(**({"pipelines": file} if file else {}))
    by = f"{lifecycles.at_a_shell()}, runbook {runbook.name}"
    return Case(known, procedure.of_topics(known, pipeline), settings, by,
                lambda line: typer.echo(line, err=as_json), options)


def _run(runbook: Runbook[Any], case: Case, *, only_plan: bool, yes: bool, as_json: bool) -> None:
    from streamops.errors import StreamopsError
    from streamops.runbooks import procedure
    from streamops.runbooks.recommendation import Kind

    looked = procedure.look(runbook, case)
    agreed, shown, error = looked.recommendation, None, None
    try:
        procedure.require_possible(agreed)
        if not only_plan and agreed.kind is not Kind.NOTHING:
            if agreed.changes_something:
                if not yes:
                    typer.confirm(f"{agreed.what}?", abort=True, err=True)
                procedure.apply(runbook, case, agreed)
            shown = procedure.verify(runbook, case, looked.before, agreed)
            case.say(shown)
    except StreamopsError as failed:
        error = failed
        raise
    finally:
        if as_json:
            typer.echo(json.dumps({
                "runbook": runbook.name, "pipeline": case.pipeline.name, "evidence": looked.found.as_dict(),
                "recommendation": agreed.to_data(), "outcome": shown, "error": str(error) if error else None,
            }, indent=2))


for _name, _page in catalogue.pages().items():
    _does = _command(catalogue.find(_name)) if _name in catalogue.NAMES else _restores.restore
    app.command(_name, help=_page, short_help=catalogue.symptom(_page))(_does)
