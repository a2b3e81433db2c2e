"""`streamops submit`: start a pipeline's job from a shell, with or without Airflow."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    pipeline: str,
    wait: Annotated[bool, typer.Option(help="Wait for the first batch.")] = True,
    pipelines: Annotated[str | None, typer.Option("--pipelines", help="Another pipelines.yaml.")] = None,
) -> None:
    """Submit a pipeline's job as its DAG would, for when Airflow is down. Prints the driver's id.

    Refused while another driver lives. The driver is nobody's but yours: end it with `streamops drivers kill ID`
    before Airflow takes over again; until then the pipeline's DAG is refused.
    """
    from streamops.adapters.pipelines.drivers import PipelineDrivers
    from streamops.adapters.spark.shell_submission import submit
    from streamops.settings import Settings
    from streamops.state.lease import Owner, OwnerKind

    def say(line: str) -> None:
        typer.echo(line, err=True)

    drivers = PipelineDrivers.of(pipeline, Settings.load(**({"pipelines": pipelines} if pipelines else {})))
    me = Owner(OwnerKind.SHELL)
    # Airflow may be down: what belongs to one of its runs is taken for alive.
    plan = drivers.plan_takeover(me, prior=None, is_owner_alive=lambda _: True, say=say)
    if (release := drivers.release()) is not None:
        say(f"not what is deployed is submitted: {release}")
    driver = submit(*drivers.to_submit(drivers.submission(me, plan.supersedes)), say)
    typer.echo(driver)
    if wait:
        say(f"end it with `streamops drivers kill {driver}`; Ctrl-C here leaves it running")
        drivers.wait_until_started(driver, me, say=say)
