"""`streamops restart`: stop a pipeline, then start it."""

from __future__ import annotations

from streamops.cli._lifecycle import verb
from streamops.running.lifecycle import Action

command = verb(Action.RESTART, """Stop pipelines as `stop` does, then start them as `start` does.

When it is interrupted in between, the pipeline stays stopped: give it again, or `start`. One that is paused is
refused.""")
