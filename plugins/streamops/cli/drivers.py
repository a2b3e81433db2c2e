"""`streamops drivers`: the Spark drivers of the pipelines, also when Airflow is down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence, Sized

    from streamops.adapters.pipelines.drivers import PipelineDrivers
    from streamops.errors import StreamopsError
    from streamops.running.reconcile import DriverDecision

app = typer.Typer(help="The Spark drivers of the pipelines.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="For machines.")]
PipelinesFile = Annotated[str | None, typer.Option("--pipelines", help="Another pipelines.yaml.")]


@app.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    pipelines: PipelinesFile = None,
    as_json: Json = False,
) -> None:
    """Every driver that a pipeline knows: its state, its owner, whether it holds the lease.

    Ends with an error that names those pipelines whose storage or Spark master does not answer, after all others.
    """
    decided, not_asked = _decisions(pipelines, ask_airflow=False)
    rows = [each for _, found in decided for each in found]
    rows = [each for each in rows if every or each.observed.standing not in ("ended", "not_known")]
    if as_json:
        unknown = {"action", "reason"}  # without Airflow's word on runs, nothing is decided here
        typer.echo(json.dumps([{k: v for k, v in each.as_dict().items() if k not in unknown} for each in rows]))
    else:
        for each in rows:
            seen = each.observed
            lease = "holds the lease" if seen.holds_lease else ""
            typer.echo(f"{seen.pipeline:24} {seen.driver:28} {seen.state:12} {lease:16} {seen.owner}")
        if not rows and not not_asked:
            typer.echo("No driver is running." if not every else "No driver was ever started.", err=True)
    _require_all(decided, not_asked)


@app.command()
def kill(driver: str, pipelines: PipelinesFile = None) -> None:
    """End one driver, and wait until it has ended.

    A task that follows it submits another one: to keep a pipeline stopped, use `streamops stop`.
    """
    from streamops.errors import ConfigurationError

    decided, not_asked = _decisions(pipelines, ask_airflow=False)
    for of_pipeline, found in decided:
        for each in found:
            if each.observed.driver == driver:
                typer.echo(f"ending {each.observed.state} {driver}, started by {each.observed.owner}", err=True)
                typer.echo(f"{driver} {of_pipeline.master.kill_and_wait(driver)}")
                return
    _require_all(decided, not_asked)
    raise ConfigurationError(
        f"no pipeline knows a driver {driver!r}",
        "See `streamops drivers list`. One that never reached its job is ended in the Spark master's web interface.",
    )


@app.command()
def reconcile(
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without this, only the plan is shown.")] = False,
    pipelines: PipelinesFile = None,
    as_json: Json = False,
) -> None:
    """Find drivers that no Airflow run owns, and end them. Those that a person started are left alone.

    Asks Airflow about runs: the connection `streamops_airflow` (AIRFLOW_CONN_STREAMOPS_AIRFLOW) says where it is.
    """
    from streamops.adapters.pipelines.driver_census import carry_out

    planned, not_asked = _decisions(pipelines, ask_airflow=True)
    if as_json:
        typer.echo(json.dumps([each.as_dict() for _, found in planned for each in found]))
    for of_pipeline, found in planned:
        for each in found:
            typer.echo(str(each), err=as_json)
        if apply:
            carry_out(of_pipeline, found, lambda line: typer.echo(line, err=True))
    _require_all(planned, not_asked)


def _decisions(
    file: str | None, *, ask_airflow: bool
) -> tuple[list[tuple[PipelineDrivers, list[DriverDecision]]], list[StreamopsError]]:
    from streamops.adapters.airflow.api import AirflowApi
    from streamops.adapters.pipelines.driver_census import decide, of_all_pipelines
    from streamops.settings import Settings

    settings = Settings.load(**({"pipelines": file} if file else {}))
    is_owner_alive = AirflowApi.connected().is_owner_alive if ask_airflow else None
    return decide(of_all_pipelines(settings), is_owner_alive)


def _require_all(decided: Sized, not_asked: Sequence[StreamopsError]) -> None:
    from streamops.errors import together

    if not_asked:
        raise together(not_asked, of=len(decided) + len(not_asked))
