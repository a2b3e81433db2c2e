"""`streamops stop`: end a pipeline's driver, and keep it ended."""

from __future__ import annotations

from streamops.cli._lifecycle import verb
from streamops.running.lifecycle import Action

command = verb(Action.STOP, """Stop pipelines, and wait until the driver of each is gone.

The driver is ordered to end: a direct job finishes its batch, receivers process what they received. One that has not
ended in time is killed through the Spark master. The order stands until a start: no schedule, retry or reconciliation
runs the pipeline meanwhile, nor does an Airflow that comes back. Safe to repeat, and to interrupt.""")
