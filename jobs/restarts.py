"""Starting a query, or receivers, again in the same driver after a server was away."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from bad_records import cause
from streamops.state.lease import JobState

if TYPE_CHECKING:
    from held_lease import HeldLease
    from micro_batch import MicroBatches

log = logging.getLogger("streamops.restarts")

#: Failures in a row, without a batch between them, after which the process gives up and is relaunched: about 2 minutes.
MAX_RESTARTS = 8
#: Seconds before the next start: doubled with each failure in a row, up to the longest.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0


def wait(batches: MicroBatches, held: HeldLease, error: Exception) -> None:
    """Wait as long as the number of failures in a row says. Raises `error` when they were too many."""
    batches.restarts += 1
    if batches.restarts > MAX_RESTARTS:
        raise error
    wait_s = min(FIRST_WAIT_S * 2 ** (batches.restarts - 1), LONGEST_WAIT_S)
    log.warning("failed (%d in a row), starting again in %.1f s: %s", batches.restarts, wait_s, cause(str(error)))
    held.report(JobState.RESTARTING)
    time.sleep(wait_s)
