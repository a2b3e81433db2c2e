"""spark-submit, run from a shell: the same call that an Airflow task makes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from streamops.adapters.spark.submission import Submission, submit_environment
from streamops.errors import ConfigurationError, UnavailableError

_SUBMITTED = "Driver successfully submitted as "
_KEPT_LINES = 15


def submit(job: Submission, master: str, say: Callable[[str], None]) -> str:
    """Submit a job to a standalone master; the driver's id, as soon as the master has given it.

    Raises UnavailableError with spark-submit's last lines when it gives none.
    """
    try:
        process = subprocess.Popen(
            job.command(master),
            env=submit_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C here must not end it between the master's answer and ours
        )
    except FileNotFoundError as error:
        raise ConfigurationError(
            "there is no spark-submit on the PATH", "Install pyspark in this environment, or add Spark's bin/ to PATH."
        ) from error
    assert process.stdout is not None
    lines: list[str] = []
    with process.stdout:
        for line in process.stdout:
            _, found, driver = line.partition(_SUBMITTED)
            if found:
                # It would stay for 5 s to look at the driver's state, which whoever called does as well.
                process.terminate()
                process.wait()
                return driver.split()[0]
            lines = [*lines, line.rstrip()][-_KEPT_LINES:]
    say("\n".join(lines))
    raise UnavailableError(
        f"spark-submit ended with {process.wait()} and no driver",
        f"Its last lines are above. See that the master at {master} is up.",
    )
