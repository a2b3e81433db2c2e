"""What the runbook offset_out_of_range does beside starting the pipeline."""

from __future__ import annotations

import time
from collections.abc import Mapping

from streamops.actions.restores import Restores
from streamops.adapters.pipelines.files import state_files
from streamops.errors import RefusedError
from streamops.restoring.plan import Plan
from streamops.restoring.refusals import RefusalKind
from streamops.restoring.targets import Target, TargetKind
from streamops.runbooks.case import Case
from streamops.state import generations
from streamops.state.lease import Owner, OwnerKind
from streamops.state.offsets import Offsets

#: Seconds to wait until a driver that ends on the loss, and its group members, are gone.
_GONE_WITHIN_S, _POLL_S = 90.0, 3.0
_LIVING = frozenset({RefusalKind.LIVING_DRIVER, RefusalKind.LIVING_MEMBER})


def raise_retention(case: Case, wanted_ms: Mapping[str, int]) -> None:
    """Have topics keep their records for so long. Raises RefusedError and StateError."""
    from streamops.adapters.connections import connection
    from streamops.adapters.kafka import retention_reader
    from streamops.adapters.kafka.broker import Broker

    if wanted_ms:
        with Broker.connect(connection(case.pipeline.connections.kafka)) as broker:
            for line in retention_reader.raise_to(broker, case.declared.topics, wanted_ms):
                case.say(line)


def restore(case: Case, offsets: Offsets) -> None:
    """Restore to these offsets, and leave all other partitions where they are.

    Raises RefusedError where retention has taken more since they were stated, and what Restores.apply raises.
    """
    target = Target(TargetKind.OFFSETS, "the first records that retention has left of "
                    + ", ".join(map(str, sorted(offsets))), offsets)
    with _restores(case) as restores:
        deadline_s = time.monotonic() + _GONE_WITHIN_S
        while _waits(plan := restores.plan_to(target)) and time.monotonic() < deadline_s:
            case.say("; ".join(each.found for each in plan.refusals))
            time.sleep(_POLL_S)
        case.say("\n".join([plan.forecast.table(), *plan.describe()]))
        plan.require_allowed()
        if moved := [at for at, offset in offsets.items() if plan.decision.start.get(at) != offset]:
            raise RefusedError(f"retention has taken more of {', '.join(map(str, moved))} since that was approved",
                               "Nothing was changed. Run the runbook again.")
        restores.apply(plan.decision, Owner(OwnerKind.SHELL))


def opened_at(case: Case, offsets: Offsets) -> int | None:
    """The newest generation, where a restore opened it at these offsets; None where it begins elsewhere."""
    found = generations.current(state_files(case.pipeline))
    if found is None or found.restored is None or any(found.start.get(at) != each for at, each in offsets.items()):
        return None
    return found.number


def await_progress(case: Case, generation: int) -> str:
    """What shows that the first batch begins at the stated offsets. Raises AlarmError and StateError."""
    with _restores(case) as restores:
        return restores.await_progress(generation, case.pipeline.start_timeout_s)


def _restores(case: Case) -> Restores:
    from streamops.actions import snapshots

    return Restores(case.pipeline, snapshots.store(), case.say)


def _waits(plan: Plan) -> bool:
    """Whether all that is in the way is somebody who is about to end."""
    return bool(plan.refusals) and all(each.kind in _LIVING for each in plan.refusals)
