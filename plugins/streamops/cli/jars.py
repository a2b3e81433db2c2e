"""`streamops jars`: the jars of streaming jobs, as `spark-submit --jars` wants them."""

from __future__ import annotations

import typer


def command(
    fetch: bool = typer.Option(
        False, "--fetch", help="First fetch whatever is missing or corrupt, of every group, compile the receiver, and "
        "put Spark's classes into an archive."
    ),
) -> None:
    """Print the jars of the Spark connector for Kafka and of the receiver, comma-separated.

    spark-submit --py-files jobs/kafka_utils.py --jars $(streamops jars) program.py
    """
    from streamops.adapters.spark.receiver_jar import receiver_jar
    from streamops.settings import Settings
    from streamops.stack import class_archive, jars
    from streamops.stack import receiver_jar as compiled

    def say(line: str) -> None:
        typer.echo(line, err=True)

    settings = Settings.load()
    if fetch:
        for group in jars.FETCHED_AT_SETUP:
            jars.ensure(group, settings.home / "jars", say=say)
        compiled.ensure(settings, say)
        class_archive.ensure(settings, say)
    typer.echo(",".join(map(str, [*jars.connector_jars(settings.jars), receiver_jar(settings)])))
