"""`streamops upgrade`: run what is deployed now, and go back by itself when that does not work."""

from __future__ import annotations

from streamops.cli._lifecycle import verb
from streamops.running.lifecycle import Action

command = verb(Action.UPGRADE, """Run the code and settings that are deployed now, or roll back to those that worked.

The job ends with its batch, a recovery point is taken, and the new version is started. When it logs no batch within
SECONDS (`start_timeout_s` when left out), ends itself, or dies twice, the last healthy version is started again and
stays the one that anybody starts until an upgrade succeeds; the exit code is 8 then. A changed `approach` is a
hand-over: the other job goes on exactly where the batch log ends.""")
