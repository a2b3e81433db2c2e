"""DAGs of runbooks that recommend what their name says, run one after the other in a process of their own.

    python scripted_runbooks.py        prints {"act": {"run": "success", "look": "success", …}, …}
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from streamops.runbooks import reading
from streamops.runbooks.case import Case
from streamops.runbooks.dag import runbook_dag
from streamops.runbooks.progress import Mark
from streamops.runbooks.recommendation import Recommendation
from streamops.runbooks.runbook import Runbook


class Found:
    """Evidence without anything in it."""

    def lines(self) -> Iterator[str]:
        yield "the evidence"

    def as_dict(self) -> dict[str, Any]:
        return {}


class Scripted(Runbook[Found]):
    """Recommends what it is told, and changes nothing."""

    page = "### Scripted\n\n**Symptom**: none."

    def __init__(self, name: str, recommends: Recommendation) -> None:
        self.name = name  # type: ignore[misc]
        self._recommends = recommends

    def read(self, _case: Case) -> Found:
        return Found()

    def recommend(self, _found: Found) -> Recommendation:
        return self._recommends

    def act(self, _case: Case, agreed: Recommendation) -> None:
        assert agreed == self._recommends, "it came through Airflow's database"

    def verify(self, _case: Case, before: Mark, _agreed: Recommendation) -> str:
        assert before == Mark(1.0, 1, 2)
        return "well"


reading.mark = lambda _case: Mark(1.0, 1, 2)
DAGS: dict[str, DAG] = {name: runbook_dag(Scripted(name, recommended)) for name, recommended in {
    "nothing": Recommendation.nothing("it works"),
    "wait": Recommendation.wait("wait", "it starts"),
    "act": Recommendation.act("restart lines", "it hangs", "driver-1", action="restart"),
    "advice": Recommendation.by_hand("correct it", "it is wrong"),
    "other": Recommendation.other("broker_down", "no broker answers"),
}.items()}
globals().update({dag.dag_id: dag for dag in DAGS.values()})


def main() -> None:
    """Run each without an approval, and print how its tasks ended."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    initdb()
    bag = DagBag(dag_folder=str(Path(__file__)), collect_dags=True)
    ended = {}
    for name in DAGS:
        run = bag.dags[f"runbook_{name}"].test(run_conf={"pipeline": "lines", "approval": False})
        ended[name] = {"run": str(run.state), **{task.task_id: str(task.state) for task in run.get_task_instances()}}
    sys.stdout.write(f"\n{json.dumps(ended)}\n")


if __name__ == "__main__":
    main()
