"""What the tasks of the DAG `drill_recovery` do before the drill."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from streamops.declared.pipelines import Pipelines
from streamops.drilling import campaign
from streamops.drilling.scene import Say
from streamops.drills import faults


def plan(declared: Pipelines, params: Mapping[str, Any], dag_run: Any, say: Say) -> tuple[str, dict[str, Any]]:
    """What is shown to whoever approves, as Markdown, and what the task `drill` carries out; empty when none is due.

    Raises ConfigurationError and RefusedError.
    """
    names = list(params["pipelines"])
    if dag_run.run_type == "scheduled" and not names:
        names = campaign.due(declared, datetime.now(UTC))
        if not names:
            say("no drill is due")
            return "", {}
    seed = params["seed"] if params["seed"] is not None else random.SystemRandom().randrange(10**6)
    repetitions = int(params["repetitions"])
    planned = campaign.plan(declared, names, list(params["faults"]), repetitions, int(seed), params["backend"])
    faults.require_possible_from_airflow([each.fault for each in planned.strikes])
    for line in planned.lines():
        say(line)
    shown = "\n".join(f"- {line}" for line in planned.lines())
    return shown, {**planned.to_data(), "repetitions": repetitions, "to_approve": planned.to_approve}
