"""`streamops pipelines`: check the pipelines file, and show what it declares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from streamops.declared.pipelines import Pipelines

app = typer.Typer(no_args_is_help=True, help="Check pipelines.yaml, and show what it declares.")

File = Annotated[Optional[Path], typer.Option("--pipelines", help="The pipelines file.", show_default="STREAMOPS_PIPELINES")]  # noqa: UP045,E501 - typer reads it
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def validate(
    file: Annotated[Optional[Path], typer.Argument(help="The pipelines file.", show_default="STREAMOPS_PIPELINES")] = None,  # noqa: UP045,E501
    pipelines: File = None,
    as_json: AsJson = False,
) -> None:
    """Check the file. Every problem is reported at once, with its line and its repair; exits with 2 if there is any."""
    from streamops.declared.pipelines import check
    from streamops.declared.problems import report
    from streamops.errors import ConfigurationError

    path = _path(file or pipelines)
    found, problems = check(path)
    if as_json:
        typer.echo(json.dumps({"file": str(path), "problems": [problem.as_dict() for problem in problems]}, indent=2))
    if problems and as_json:
        raise typer.Exit(ConfigurationError.exit_code)
    if problems:
        raise ConfigurationError(report(str(path), problems))
    if not as_json:
        typer.echo(f"{path} is right: {len(found.pipelines)} pipelines, {len(found.topics)} topics.")


@app.command(name="list")
def list_pipelines(pipelines: File = None, as_json: AsJson = False) -> None:
    """The pipelines that are declared, one a line: name, job, what it reads, transform, sink, how it is run."""
    declared = _load(pipelines).pipelines
    if as_json:
        typer.echo(json.dumps([pipeline.model_dump(mode="json") for pipeline in declared.values()], indent=2))
        return
    rows = [(pipeline.name, pipeline.job, pipeline.folder.path if pipeline.folder else ",".join(pipeline.topics),
             pipeline.transform, pipeline.sink.type, pipeline.run) for pipeline in declared.values()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The pipeline.")],
    pipelines: File = None,
    as_json: AsJson = False,
) -> None:
    """One pipeline with every default filled in."""
    declared = _load(pipelines).pipeline(name).model_dump(mode="json", exclude={"name"})
    if as_json:
        typer.echo(json.dumps({"name": name, **declared}, indent=2))
        return
    import yaml

    typer.echo(yaml.safe_dump({name: declared}, sort_keys=False, allow_unicode=True), nl=False)


@app.command()
def schema() -> None:
    """The JSON Schema of the file, which editors use; dags/pipelines.schema.json holds it."""
    from streamops.declared.schema import schema_text

    typer.echo(schema_text(), nl=False)


def _path(file: Path | None) -> Path:
    from streamops.settings import Settings

    return file or Settings.load().pipelines


def _load(file: Path | None) -> Pipelines:
    from streamops.declared import pipelines

    return pipelines.load(_path(file))
