"""What runbooks do to a pipeline's driver: what `streamops start` and `streamops restart` do, by the same code."""

from __future__ import annotations

from datetime import UTC, datetime

from streamops.actions import lifecycles
from streamops.adapters.pipelines.files import state_files
from streamops.runbooks.case import Case
from streamops.running.lifecycle import Action
from streamops.state import orders
from streamops.state.orders import Order, Wish


def start(case: Case, why: str) -> None:
    """Run the pipeline, and wait for its first batch, with or without Airflow. Raises what keeps it from that."""
    _lifecycle(case, Action.START, why, None)


def restart(case: Case, why: str, stop_within_s: float | None = None) -> None:
    """Stop within the limit, else kill, then start. Raises what keeps it from that."""
    _lifecycle(case, Action.RESTART, why, stop_within_s)


def lift_own_stop(case: Case) -> str | None:
    """Order the pipeline to run where the order that stands is a stop of this very call; what was done.

    A restart that fails between its halves would otherwise leave stopped what was meant to run.
    """
    files = state_files(case.pipeline)
    standing = orders.standing(files)
    if standing is None or not standing.stops or standing.by != case.by:
        return None
    lifted = Order(case.pipeline.name, standing.number + 1, Wish.RUN, case.by,
                   datetime.now(UTC).isoformat(timespec="milliseconds"), "the runbook's own stop is taken back")
    if not files.write_new(orders.path(lifted.number), lifted.to_json()):
        return None  # somebody gave another order meanwhile, which holds
    return f"took back the runbook's own stop: {case.pipeline.name} is ordered to run"


def _lifecycle(case: Case, action: Action, why: str, within_s: float | None) -> None:
    given = lifecycles.given(action, case.by, why, within_s)
    lifecycles.do(case.declared, action, case.pipeline.name, given, case.say, case.settings)
