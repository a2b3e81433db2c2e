"""`streamops drill`: recovery drills: what they found, and whether recovery got worse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from streamops.cli import _drill_runs
from streamops.errors import AlarmError, ConfigurationError

if TYPE_CHECKING:
    from streamops.adapters.database.drills import Drills, VerdictCounts
    from streamops.drills.comparison import Comparison, Promise
    from streamops.drills.drill import Drill

app = typer.Typer(
    no_args_is_help=True,
    help="Recovery drills: faults on purpose, judged at the sink, record by record. A drill sends numbered records, "
         "inflicts faults, and says which records were lost, doubled, reordered or altered, by the job or in Kafka "
         "already, and how long the pipeline took to come back. docs/drills.md has the rules.",
)

AsJson = Annotated[bool, typer.Option("--json", help="For machines; docs/drills.md has the format.")]
File = Annotated[Optional[Path], typer.Option("--pipelines", help="The pipelines file.", show_default="STREAMOPS_PIPELINES")]  # noqa: UP045,E501 - typer reads it
#: Drills that a comparison reads: far more than any window holds.
_READ = 2000


@app.command("list")
def list_drills(
    pipeline: Annotated[Optional[str], typer.Argument(help="Only this pipeline's.")] = None,  # noqa: UP045
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """List drills, newest first: what was done, what the verdict was, how long the worst recovery took.

    A `?` is what is not known: the drill runs yet, it was cut short, or its records were not judged by identity.
    """
    store = _store()
    found, counts = store.drills(pipeline, limit=limit), store.counts(pipeline, limit=limit)
    if as_json:
        typer.echo(json.dumps([{**_line(each), "verdict": _counts(counts.get(each.number or 0))} for each in found],
                              indent=2))
    elif found:
        _print_list(found, counts)
    else:
        typer.echo("there are no drills yet: streamops drill run")


@app.command()
def show(
    number: Annotated[int, typer.Argument(help="The number of the drill: streamops drill list.")],
    as_json: AsJson = False,
) -> None:
    """Show one drill: each fault with its times, under which versions and settings, and the verdict with examples."""
    drill = _store().drill(number)
    if drill is None:
        raise ConfigurationError(f"there is no drill {number}", "List them: streamops drill list")
    typer.echo(drill.to_json() if as_json else _described(drill))


@app.command()
def judge(
    pipeline: Annotated[str, typer.Argument(help="The pipeline that was drilled.")],
    ledger: Annotated[Optional[Path], typer.Option(help="The drill's ledger; without it, by the batch log alone.")] = None,  # noqa: UP045,E501
    as_json: AsJson = False,
    pipelines: File = None,
) -> None:
    """Judge a pipeline again, as a drill does at its end; changes nothing. Exits with 7 unless the verdict is exact.

    This is also what tells what became of the records when the drill itself was killed: `drill show` names its ledger.
    """
    from streamops.adapters.connections import connection
    from streamops.adapters.drills import evidence, ledger_files
    from streamops.adapters.pipelines.files import declared, state_files

    chosen = declared(pipelines).pipeline(pipeline)
    sent = ledger_files.read(ledger) if ledger else None
    kafka = connection(chosen.connections.kafka) if sent is not None else None
    verdict = evidence.judge(pipeline, state_files(chosen), sent, kafka)
    typer.echo(json.dumps(verdict.as_dict()) if as_json else verdict.describe())
    if verdict.outcome != "exact":
        raise typer.Exit(AlarmError.exit_code)


@app.command()
def compare(
    drills: Annotated[Optional[list[int]], typer.Argument(metavar="[DRILL…]", help="Judge these; by default the last of each pipeline.")] = None,  # noqa: UP045,E501
    last: Annotated[int, typer.Option(help="Compare with so many recoveries before, a group.", min=1, max=100)] = 30,
    against: Annotated[Optional[str], typer.Option(help="Only with those of a version: 'spark 4.2.0'.")] = None,  # noqa: UP045
    png: Annotated[Optional[Path], typer.Option(help="Write the picture here.", dir_okay=False)] = None,  # noqa: UP045
    html: Annotated[Optional[Path], typer.Option(help="Write a page with picture and numbers here.", dir_okay=False)] = None,  # noqa: UP045,E501
    as_json: AsJson = False,
    pipelines: File = None,
) -> None:
    """Compare recovery times by fault, approach and version; exit 1 when they got worse.

    Worse is: over the objective in pipelines.yaml (`recovery_s`, `fault_recovery_s`, `fault_median_s`), not back at
    all, or slower than the last runs by more than noise allows (Mann and Whitney's test at 1 %, and a median that rose
    by a tenth). One or two new recoveries can hardly be told from noise: NOISE? says `too few` then.

        streamops drill compare --png drills.png
        streamops drill compare 41 42 --against 'spark 4.1.1'
    """
    from streamops.drills import comparison

    recoveries = comparison.recoveries_of(_store().drills(limit=_READ))
    judged = set(drills or comparison.newest(recoveries))
    if unknown := judged - {each.drill for each in recoveries}:
        raise ConfigurationError(
            f"drill {', '.join(map(str, sorted(unknown)))} is not there, runs yet, or inflicted nothing",
            "Choose among the finished ones: streamops drill list")
    found = comparison.compare(recoveries, _promises(pipelines), judged, last, against)
    _write(found, png, html)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
    elif found.groups:
        _print_comparison(found)
    else:
        typer.echo("there is nothing to compare yet: streamops drill run")
    if found.failures:
        raise typer.Exit(1)


def _store() -> Drills:
    from streamops.adapters.connections import connection
    from streamops.adapters.database.drills import Drills
    from streamops.adapters.database.session import Database

    return Drills(Database.of(connection("streamops_db")))


def _promises(file: Path | None) -> dict[str, Promise]:
    from streamops.adapters.pipelines.files import declared
    from streamops.drills.comparison import Promise

    return {name: Promise(each.objectives.recovery_s, each.objectives.fault_recovery_s, each.objectives.fault_median_s)
            for name, each in declared(file).pipelines.items()}


def _write(found: Comparison, png: Path | None, html: Path | None) -> None:
    if png is None and html is None:
        return
    from streamops.adapters.drills import pictures

    if png is not None:
        pictures.write_png(found, png)
        typer.echo(f"the picture is in {png}", err=True)
    if html is not None:
        html.write_text(pictures.page(found), encoding="utf-8")
        typer.echo(f"the page is in {html}", err=True)


def _line(drill: Drill) -> dict[str, object]:
    return {key: value for key, value in json.loads(drill.to_json()).items() if key not in ("verdict", "format")}


def _counts(found: VerdictCounts | None) -> dict[str, object] | None:
    return None if found is None else {
        "outcome": found.outcome, "lost": found.lost, "doubled": found.doubled, "reordered": found.reordered,
        "altered": found.altered}


def _print_list(found: list[Drill], counts: dict[int, VerdictCounts]) -> None:
    from streamops.text_table import UNKNOWN, number, table

    rows = []
    for each in found:
        said = counts.get(each.number or 0)
        times = [fault.times.first_batch_s for fault in each.faults if fault.inflicted_at is not None]
        known = [time_s for time_s in times if time_s is not None]
        worst = UNKNOWN if not known else f"{max(known):.1f} s"
        if len(known) < len(times) and each.finished_at is not None:
            worst = "never"
        rows.append((
            number(each.number), each.started_at[:19].replace("T", " "), each.pipeline, each.approach, each.state.value,
            _kinds(each), worst, said.outcome if said else UNKNOWN,
            *(number(getattr(said, name) if said else None) for name in ("lost", "doubled", "reordered", "altered"))))
    typer.echo(table(("DRILL", "STARTED", "PIPELINE", "APPROACH", "STATE", "FAULTS", "WORST", "VERDICT", "LOST",
                      "DOUBLED", "REORDERED", "ALTERED"), rows))


def _kinds(drill: Drill) -> str:
    """`driver kill ×3, broker pause`."""
    counted: dict[str, int] = {}
    for fault in drill.faults:
        name = f"{fault.kind} {fault.mode}"
        counted[name] = counted.get(name, 0) + 1
    return ", ".join(name if count == 1 else f"{name} ×{count}" for name, count in counted.items()) or "none"


def _described(drill: Drill) -> str:
    from streamops.drills.comparison import seconds
    from streamops.text_table import table

    around = drill.surroundings
    lines = [
        f"drill {drill.number} ({drill.key}) of {drill.pipeline} ({drill.approach}, "
        f"{'canary' if drill.canary else 'production'}): {drill.state}, {drill.started_at} to "
        f"{drill.finished_at or 'now'}, seed {drill.seed}",
        f"versions: {', '.join(f'{name} {version}' for name, version in around.versions.items()) or '?'}",
        f"settings: {', '.join(f'{name} {value}' for name, value in around.settings.items()) or '?'}"]
    if drill.ledger:
        lines.append(f"ledger: {drill.ledger}")
    if drill.faults:
        lines.append(table(
            ("FAULT", "WHAT", "UPON", "INFLICTED", "HEALED", "DETECTED", "FIRST BATCH", "CAUGHT UP", "LONGEST GAP"),
            [(str(each.number), f"{each.kind} {each.mode}", each.target or "?",
              (each.inflicted_at or "")[11:19] or "not", (each.healed_at or "")[11:19] or "NOT", *map(seconds, (
                  each.times.detected_s, each.times.first_batch_s, each.times.caught_up_s, each.times.longest_gap_s)))
             for each in drill.faults]))
        lines += [f"fault {each.number}: {each.error}" for each in drill.faults if each.error]
    if drill.error:
        lines.append(drill.error)
    lines.append(drill.verdict.describe() if drill.verdict is not None else "there is no verdict")
    return "\n".join(lines)


def _print_comparison(found: Comparison) -> None:
    from streamops.drills.comparison import seconds
    from streamops.text_table import table

    rows = []
    for each in found.groups:
        noise = "nothing before" if each.chance is None else f"{each.chance:.2g}" if each.can_tell else "too few"
        judged = {one.version for one in each.new}
        for version, summary in each.by_version.items():
            is_judged = version in judged
            rows.append((
                f"{each.group.kind} {each.group.mode}", each.group.approach, each.group.pipeline, version,
                str(summary.count), seconds(summary.detected_s), seconds(summary.median_s), seconds(summary.worst_s),
                seconds(summary.caught_up_s), "" if each.promised_s is None else f"{each.promised_s:g} s",
                noise if is_judged else "", ("FAILS" if each.failures else "ok") if is_judged else ""))
    typer.echo(table(("FAULT", "APPROACH", "PIPELINE", "VERSION", "RUNS", "DETECTED", "MEDIAN", "WORST", "CAUGHT UP",
                      "OBJECTIVE", "NOISE?", "GATE"), rows))
    for failure in found.failures:
        typer.echo(f"FAILS: {failure}")


app.command()(_drill_runs.run)
app.command()(_drill_runs.heal)
app.command()(_drill_runs.faults)
