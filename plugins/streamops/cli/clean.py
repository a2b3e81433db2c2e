"""`streamops clean`: what piled up and is provably not needed, planned, quarantined, listed and brought back."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from streamops.actions.cleanups import Cleanups
    from streamops.adapters.cleaning.quarantine import Held
    from streamops.errors import StreamopsError

app = typer.Typer(
    no_args_is_help=True,
    help="Take away what is provably not needed any more: write-ahead logs, old generations, temporary files, dead "
         "consumer groups, unused code and more. Nothing goes by its age alone. What goes lies in quarantine first, "
         "and comes back by `clean restore`. docs/cleanup.md has the rules and their proofs.",
)

Names = Annotated[Optional[list[str]], typer.Argument(  # noqa: UP045  typer reads it
    metavar="[PIPELINE…|code|work|events|orphans|all]", help="All when left out.")]
File = Annotated[Optional[Path], typer.Option("--pipelines", help="The pipelines file.", show_default="STREAMOPS_PIPELINES")]  # noqa: UP045,E501 - typer reads it
AsJson = Annotated[bool, typer.Option("--json", help="For machines: a line for each thing, then one with the sums.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command()
def plan(
    names: Names = None,
    every: Annotated[bool, typer.Option("--all", help="Show each thing that goes, and not the first few.")] = False,
    as_json: AsJson = False,
    pipelines: File = None,
) -> None:
    """Show what would go, by which rule and proof, and why all else is kept. Changes nothing.

    With --json each thing is a line, also what is kept; `clean apply --plan FILE` carries such a file out later.
    """
    from streamops.actions.cleanups import SHOWN

    with _cleanups(pipelines) as cleanups:
        planned = cleanups.plan(names or (), sys.stdout if as_json else None,
                                most_shown=sys.maxsize if every else SHOWN)
    if as_json:
        typer.echo(json.dumps({"format": _format(), "totals": planned.as_dict()}))
    else:
        typer.echo("\n".join(planned.lines()))
    _require_all(planned.errors, len(planned.places))


@app.command()
def apply(
    names: Names = None,
    plan_file: Annotated[Optional[Path], typer.Option("--plan", help="Carry out this file, of `clean plan --json`.")] = None,  # noqa: UP045,E501
    yes: Yes = False,
    as_json: AsJson = False,
    pipelines: File = None,
) -> None:
    """Plan, show, ask, take into quarantine, read back.

    Each thing is judged once more in the moment it is taken; what changed since the plan is kept. Safe to interrupt, to
    repeat, and while jobs run. Two at once exclude each other: the second one exits with 3.
    """
    from streamops.errors import ConfigurationError

    if plan_file is not None and names:
        raise ConfigurationError("a plan names its places itself", "Leave out the names, or --plan.")
    errors: list[StreamopsError] = []
    with _cleanups(pipelines) as cleanups, tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
        if plan_file is None:
            planned = cleanups.plan(names or (), spool, going_only=True)
            errors += planned.errors
            if not as_json:
                typer.echo("\n".join(planned.lines()))
            if planned.going and not yes:
                typer.confirm("Take these into quarantine?", abort=True, err=True)
            spool.seek(0)
            _carry_out(cleanups, spool, errors, as_json)
        else:
            with _opened(plan_file) as lines:
                _carry_out(cleanups, lines, errors, as_json)
    _require_all(errors, len(errors))


@app.command("list")
def list_(
    names: Names = None,
    as_json: AsJson = False,
    pipelines: File = None,
) -> None:
    """List what is in quarantine: where it was, since when, by which rule and proof."""
    from streamops.text_table import table

    errors: list[StreamopsError] = []
    with _cleanups(pipelines) as cleanups:
        found = cleanups.held(names or (), errors)
        if as_json:
            for place, each in found:
                typer.echo(json.dumps({"place": place, **each.as_dict()}))
            return _require_all(errors, len(errors))
        rows = [(place, str(each.run), each.at[:19].replace("T", " "), f"{each.taken.size_bytes:,}", each.taken.rule,
                 each.taken.path) for place, each in found]
    typer.echo(table(("PLACE", "RUN", "SINCE (UTC)", "BYTES", "RULE", "PATH"), rows) if rows
               else "The quarantine is empty.")
    return _require_all(errors, len(errors))


@app.command()
def restore(
    place: Annotated[str, typer.Argument(help="The place that `clean list` shows: a pipeline, or code, work, events.")],
    paths: Annotated[Optional[list[str]], typer.Argument(  # noqa: UP045
        metavar="[PATH…]", help="Only these, or what is below them; all when left out.")] = None,
    run: Annotated[Optional[int], typer.Option(help="Only what this run took.")] = None,  # noqa: UP045
    as_json: AsJson = False,
    pipelines: File = None,
) -> None:
    """Bring things back from quarantine to where they were. Exits with 3 where something is in the place of one again.

    Safe while the job runs: what it had processed when a thing was taken, it drops when it meets it again.
    """
    from streamops.errors import RefusedError

    chosen = tuple(path.strip("/") for path in paths or ())

    def wanted(each: Held) -> bool:
        path = each.taken.path
        return (run is None or each.run == run) and (
            not chosen or any(path == one or path.startswith(f"{one}/") for one in chosen))

    back = stayed = 0
    with _cleanups(pipelines) as cleanups:
        for outcome in cleanups.restore(place, wanted):
            back, stayed = back + (outcome.kept is None), stayed + (outcome.kept is not None)
            if as_json:
                typer.echo(json.dumps({"path": outcome.taken.path, "restored": outcome.kept is None,
                                       "reason": outcome.kept}))
            elif outcome.kept is not None:
                typer.echo(f"stays in quarantine: {outcome.taken.path}: {outcome.kept}")
    _say(f"{place}: {back:,} things are back at their places, {stayed:,} stay in quarantine")
    if stayed:
        raise RefusedError(f"{stayed:,} things stay in quarantine", "Nothing was overwritten. See the lines above.")


def _carry_out(cleanups: Cleanups, plan: IO[str], errors: list[StreamopsError], as_json: bool) -> None:
    """Apply a plan's lines, and print what became of them."""
    from streamops.actions.cleanups import summary
    from streamops.cleaning.cleanup import Totals

    ended: dict[str, Totals] = {}
    for place, item in cleanups.apply(plan, errors):
        ended.setdefault(place, Totals()).add(item)
        if as_json:
            typer.echo(item.to_json())
        elif not item.goes:
            typer.echo(f"{place}: {item}")
    if as_json:
        typer.echo(json.dumps({"format": _format(), "totals": {name: each.as_dict() for name, each in ended.items()}}))
        return
    for line in summary(ended):
        typer.echo(line)


def _opened(file: Path) -> IO[str]:
    from streamops.errors import ConfigurationError

    try:
        return file.open(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {type(error).__name__}",
                                 "Name a file that `streamops clean plan --json` wrote.") from error


def _cleanups(pipelines: Path | None) -> Cleanups:
    from streamops.actions.cleanups import Cleanups
    from streamops.adapters.pipelines.files import declared
    from streamops.settings import Settings

    settings = Settings.load(**({"pipelines": pipelines} if pipelines else {}))
    return Cleanups(declared(pipelines), _say, settings)


def _format() -> str:
    from streamops.actions.cleanups import FORMAT

    return FORMAT


def _require_all(errors: list[StreamopsError], of: int) -> None:
    from streamops.errors import together

    if errors:
        raise together(errors, of=max(of, len(errors)))


def _say(line: str) -> None:
    typer.echo(line, err=True)
