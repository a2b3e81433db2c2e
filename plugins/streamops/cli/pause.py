"""`streamops pause`: keep a pipeline stopped until it is resumed."""

from __future__ import annotations

from streamops.cli._lifecycle import verb
from streamops.running.lifecycle import Action

command = verb(Action.PAUSE, """Stop pipelines as `stop` does, and keep them so.

A start, and a run that a person triggers, are refused.

Who paused it, when and why (`--why`) is told to whoever meets the pause. `resume` ends it.""")
