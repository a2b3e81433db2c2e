"""`streamops stack`: the embedded Kafka, Spark and Airflow."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from streamops.stack.stack import Stack

app = typer.Typer(help="A real Kafka, Spark and Airflow on this machine, on loopback.", no_args_is_help=True)

Servers = Annotated[
    list[str] | None,
    typer.Argument(help="Only these, by name or part of it: kafka, spark, airflow, hdfs, master, worker, api, …"),
]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]


@app.command()
def up(
    servers: Servers = None,
    brokers: Annotated[int | None, typer.Option(help="Kafka brokers, 1 or 3.")] = None,
    masters: Annotated[int | None, typer.Option(help="Spark masters, 1 or 2; two have a ZooKeeper.")] = None,
    postgresql: Annotated[bool | None, typer.Option("--postgresql", help="Airflow's database is a PostgreSQL server.")] = None,  # noqa: E501
) -> None:
    """Start what does not run, and wait until every server is healthy. Safe to repeat."""
    given = {"kafka_brokers": brokers, "spark_masters": masters, "airflow_postgresql": postgresql}
    stack = _stack(**{name: value for name, value in given.items() if value is not None})
    stack.up(servers)
    typer.echo(addresses(stack))


@app.command()
def down(servers: Servers = None) -> None:
    """End the servers and every process they started. Data stays."""
    _stack().down(servers)
    typer.echo("stopped", err=True)


@app.command()
def status(as_json: Json = False) -> None:
    """Probe every server. The exit status is 1 unless all are healthy."""
    found = _stack().status()
    if as_json:
        typer.echo(json.dumps([asdict(server) for server in found]))
    else:
        for server in found:
            pid = f"pid {server.pid}" if server.pid else ""
            memory = f"{server.memory_bytes // 2**20:5d} MB" if server.memory_bytes else ""
            typer.echo(f"{server.name:22} {server.state:10} {pid:12} {memory:9} {server.detail}".rstrip())
    if any(server.state != "healthy" for server in found):
        raise typer.Exit(1)


@app.command()
def logs(
    server: Annotated[str | None, typer.Argument(help="A server; all of them when left out.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="Last lines of each log.")] = 20,
) -> None:
    """Print the servers' logs."""
    from streamops.stack.log_files import tail

    stack = _stack()
    chosen = stack.selected([server] if server else None)
    files = {one.name: stack.folder.log(one.name) for one in chosen if stack.folder.log(one.name).exists()}
    for name, line in tail(files, lines, follow):
        typer.echo(f"{name}: {line}" if len(chosen) > 1 else line)


@app.command()
def env() -> None:
    """Print what a shell needs to reach this stack: eval "$(streamops stack env)"."""
    import shlex

    for name, value in _stack().environment().items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def addresses(stack: Stack) -> str:
    """Where the servers are and how to log in, in lines for a person."""
    settings = stack.settings
    return "\n".join(
        (
            f"Airflow  {stack.airflow_url}  user admin, password {stack.password}",
            f"Spark    {settings.spark_url}  {settings.spark_master_url}",
            f"Kafka    {settings.bootstrap_servers}",
            "Stop it all with `make down` (streamops stack down); data stays.",
        )
    )


def _stack(**given: Any) -> Stack:
    from streamops.stack.settings import StackSettings
    from streamops.stack.stack import Stack

    return Stack(StackSettings.load(**given), say=lambda line: typer.echo(line, err=True))
