"""`streamops jars`: the connector jars, as `spark-submit --jars` wants them."""

from __future__ import annotations

import typer


def command(
    fetch: bool = typer.Option(False, "--fetch", help="First fetch whatever is missing or corrupt, of every group."),
) -> None:
    """Print the jars of the Spark connector for Kafka, comma-separated as `spark-submit --jars` wants them."""
    from streamops.settings import Settings
    from streamops.stack import jars

    settings = Settings.load()
    if fetch:
        for group in jars.locked():
            jars.ensure(group, settings.home / "jars", say=lambda line: typer.echo(line, err=True))
    typer.echo(",".join(str(path) for path in jars.connector_jars(settings.jars)))
