"""`streamops jars`: the connector jars, as `spark-submit --jars` wants them."""

from __future__ import annotations

import typer


def command() -> None:
    """Print the comma-separated jars of the Spark connector for Kafka."""
    from streamops.settings import Settings

    typer.echo(",".join(str(path) for path in sorted(Settings.load().jars.glob("*.jar"))))
