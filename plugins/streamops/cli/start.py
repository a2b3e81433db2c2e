"""`streamops start`: run a pipeline that is stopped, with or without Airflow."""

from __future__ import annotations

from streamops.cli._lifecycle import verb
from streamops.running.lifecycle import Action

command = verb(Action.START, """Start pipelines, and wait until the first batch of each is in its batch log.

Through Airflow when it is up. With Airflow down the driver is submitted from here, and the next run goes on with it
when Airflow is back. Nothing happens to a pipeline that runs; one that is paused is refused. Safe to repeat.""")
