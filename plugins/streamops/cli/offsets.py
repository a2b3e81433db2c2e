"""`streamops offsets`: recovery points, taken, listed, shown and kept; restores to them, and their undo."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from streamops.cli import _restores

if TYPE_CHECKING:
    from streamops.adapters.database.points import PointSummary
    from streamops.points.recovery_points import RecoveryPoint

app = typer.Typer(
    no_args_is_help=True,
    help="Recovery points: where each pipeline stands in Kafka, kept in our own database; and restores, which set a "
         "pipeline to another place. docs/recovery-points.md has the format, docs/restore.md what a restore does.",
)

File = Annotated[Optional[Path], typer.Option("--pipelines", help="The pipelines file.", show_default="STREAMOPS_PIPELINES")]  # noqa: UP045,E501 - typer reads it
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]
Number = Annotated[int, typer.Argument(help="The number of the point: streamops offsets points PIPELINE.")]
Holder = Annotated[str, typer.Option("--for", help="Who needs it, or what for.")]


@app.command()
def snapshot(
    names: Annotated[Optional[list[str]], typer.Argument(metavar="[PIPELINE…|all]", help="All when left out.")] = None,  # noqa: UP045
    pipelines: File = None,
    as_json: AsJson = False,
) -> None:
    """Take a recovery point of each pipeline, judge and store it, and drop those that are too old.

    Works while the job runs or is dead and while brokers are away: what could not be read is unknown, with the reason.
    Exits with 7 when a pipeline falls behind, stands still, disagrees with the batch log, or is about to lose records.
    """
    from streamops.actions import snapshots
    from streamops.adapters.pipelines.files import declared

    taken = []
    for each in snapshots.take(snapshots.chosen(declared(pipelines), names or ()), snapshots.store(), _restores.warn):
        taken.append(each)
        if not as_json:
            typer.echo(each)
    if as_json:
        typer.echo(json.dumps([{"point": each.number, **each.lag.as_dict()} for each in taken], indent=2))
    snapshots.require_no_alarms([alarm for each in taken for alarm in snapshots.alarms_of(each.lag)])


@app.command()
def points(
    pipeline: Annotated[str, typer.Argument(help="The pipeline; one that is not declared any more, too.")],
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the recovery points of a pipeline."""
    from streamops.actions import snapshots

    found = snapshots.store().summaries(pipeline, limit=limit)
    if as_json:
        typer.echo(json.dumps([_as_dict(each) for each in found], indent=2))
        return
    _print_points(found, pipeline)


@app.command()
def show(number: Number, as_json: AsJson = False) -> None:
    """Show one recovery point, partition by partition; with --json in its public format."""
    from streamops.actions import snapshots
    from streamops.errors import ConfigurationError
    from streamops.points.recovery_points import RecoveryPoint

    document = snapshots.store().document(number)
    if document is None:
        raise ConfigurationError(f"there is no recovery point {number}",
                                 "List a pipeline's: streamops offsets points PIPELINE")
    if as_json:
        typer.echo(document)
        return
    _print_point(RecoveryPoint.from_json(document))


@app.command()
def hold(number: Number, holder: Holder) -> None:
    """Keep a point, however old it gets, until it is released. Safe to repeat."""
    from streamops.actions import snapshots

    snapshots.store().hold(number, holder, datetime.now(UTC))
    typer.echo(f"point {number} is kept for {holder}")


@app.command()
def release(number: Number, holder: Holder) -> None:
    """Give up a hold: the point stays only as long as its age allows. Safe to repeat."""
    from streamops.actions import snapshots

    held = snapshots.store().release(number, holder)
    typer.echo(f"point {number} is {'no longer' if held else 'not'} kept for {holder}")


app.command()(_restores.restore)
app.command()(_restores.undo)


def _as_dict(each: PointSummary) -> dict[str, object]:
    return {
        "point": each.id, "pipeline": each.pipeline, "taken_at": each.taken_at.isoformat(timespec="milliseconds"),
        "generation": each.generation, "last_batch": each.last_batch, "lag_records": each.lag_records,
        "lag_s": each.lag_s, "data_loss_s": each.data_loss_s, "state": each.state, "holders": list(each.holders),
    }


def _print_points(found: list[PointSummary], pipeline: str) -> None:
    from streamops.text_table import number, seconds, table

    if not found:
        typer.echo(f"{pipeline} has no recovery points: streamops offsets snapshot {pipeline}")
        return
    typer.echo(table(
        ("POINT", "TAKEN AT", "STATE", "GEN", "BATCH", "LAG", "LAG TIME", "DATA LOSS IN", "KEPT FOR"),
        [(number(each.id), f"{each.taken_at:%Y-%m-%d %H:%M:%S}", each.state or "?", number(each.generation),
          number(each.last_batch), number(each.lag_records), seconds(each.lag_s), seconds(each.data_loss_s),
          ", ".join(each.holders)) for each in found]))


def _print_point(point: RecoveryPoint) -> None:
    from streamops.text_table import number, seconds, table

    wal = point.wal
    held = "" if wal is None else (f"; write-ahead log: {wal.files} files, {wal.size_bytes:,} bytes, "
                                   f"{number(wal.offsets)} offsets to be processed")
    typer.echo(f"{point.pipeline} ({point.approach}) at {point.taken_at}: generation {number(point.generation)}, "
               f"last batch {number(point.last_batch)}, in the checkpoint {number(point.checkpoint_batch)}, "
               f"in the sink {number(point.sink_batch)}{held}")
    ids = (f"{topic} ({topic_id or '?'})" for topic, topic_id in point.topic_ids.items())
    typer.echo(f"topics: {', '.join(ids)}")
    typer.echo(table(
        ("PARTITION", "EARLIEST", "PROCESSED", "COMMITTED", "CHECKPOINT", "LATEST", "EPOCH", "LAG", "LAG TIME",
         "DATA LOSS IN"),
        [(str(at), *map(number, (each.earliest, each.processed, each.group_committed, each.checkpointed, each.latest,
                               each.leader_epoch, each.lag_records)), seconds(each.lag_s), seconds(each.data_loss_s))
         for at, each in point.partitions.items()]))
    for unknown in point.unknown:
        of = "" if unknown.topic is None else f" of {unknown.topic}" + (
            "" if unknown.partitions is None else f"-{', '.join(map(str, unknown.partitions[:10]))}"
            + (f" and {len(unknown.partitions) - 10} more" if len(unknown.partitions) > 10 else ""))
        typer.echo(f"unknown: {unknown.what}{of}: {unknown.reason}")
    for each in point.disagreements:
        typer.echo(f"{'expected' if each.expected else 'DISAGREEMENT'}: {each.source} and batch log differ by "
                   f"{each.offsets:,} offsets: {each.reason}")
