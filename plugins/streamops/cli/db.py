"""`streamops db`: our own database, behind the Airflow connection `streamops_db`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streamops.adapters.database.session import Database

app = typer.Typer(help="Our own database: recovery points and drills.", no_args_is_help=True)


@app.command()
def upgrade() -> None:
    """Bring the tables to what this version works with. Safe to repeat, to interrupt and to run twice at once."""
    from streamops.adapters.database.upgrade import upgrade as upgrade_database

    database = _database()
    before, after = upgrade_database(database)
    done = "already there" if before == after else f"from {before or 'empty'}"
    typer.echo(f"{database} is at version {after} ({done})")


@app.command()
def current(as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """Show the version that the tables are at. The exit status is 1 unless it is the one that is needed."""
    from streamops.adapters.database.models import VERSION

    database = _database()
    found = database.version()
    if as_json:
        typer.echo(json.dumps({"database": str(database), "version": found, "needed": VERSION}))
    else:
        advice = "" if found == VERSION else f"; this streamops needs {VERSION}"
        advice += "" if found is not None and found >= VERSION else ": streamops db upgrade"
        typer.echo(f"{database} is {f'at version {found}' if found else 'empty'}{advice}")
    if found != VERSION:
        raise typer.Exit(1)


def _database() -> Database:
    from streamops.adapters.connections import connection
    from streamops.adapters.database.session import Database

    return Database.of(connection("streamops_db"))
