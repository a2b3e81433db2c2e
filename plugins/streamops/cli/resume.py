"""`streamops resume`: end a pause."""

from __future__ import annotations

from streamops.cli._lifecycle import verb
from streamops.running.lifecycle import Action

command = verb(Action.RESUME, """End the pause of pipelines, and start them as `start` does.

One that is not paused is just started.""")
