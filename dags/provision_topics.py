"""### Bring Kafka's topics to what pipelines.yaml declares

Compares the topics declared in `pipelines.yaml` with those on the brokers, prints the plan, takes its steps, and reads
the result back: creates topics, adds partitions, sets configs, and sends configs that are not declared (any more) back
to the brokers' default.

**Symptom**: a pipeline's task fails because a topic does not exist; `pipelines.yaml` has a new or changed topic;
somebody changed a topic by hand.

**Steps**
1. Trigger with `dry_run` to see the plan in the log of the task `plan`, without any change.
2. Trigger without it. `topics` narrows it down to some topics; empty means all that are declared.
3. The task `read_back` fails when a declared change is refused: fewer partitions, another replication factor, and the
   deletion of a topic are never done. Its log has the reason and the repair for each. Everything else is done.

**Is it safe to repeat?** Yes, also after it was interrupted, and beside another run or `streamops topics apply`. Topics
that are not declared are never touched.

**How to undo**: put the former declaration back and trigger again. Partitions that were added stay, because Kafka
cannot take them away, and from then on records of one key may be in another partition than before.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from streamops.actions import provisioning
from streamops.declared import pipelines
from streamops.errors import ConfigurationError, RefusedError
from streamops.retry_policy import failing_at_once_on
from streamops.settings import Settings

FILE = Settings.load().pipelines

with DAG(
    "provision_topics",
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(minutes=30),
    tags=["streamops", "operations"],
    doc_md=__doc__,
    params={
        "topics": Param(
            [],
            type="array",
            items={"type": "string"},
            examples=sorted(pipelines.load(FILE).topics),
            title="Topics",
            description="Only these; none means every declared topic.",
        ),
        "dry_run": Param(False, type="boolean", title="Dry run", description="Show the plan and change nothing."),
    },
    default_args={
        "retries": 3,
        "retry_delay": timedelta(seconds=20),
        "retry_policy": failing_at_once_on(ConfigurationError, RefusedError),
    },
):

    @task
    def plan(params: dict[str, Any]) -> dict[str, Any]:
        """What would be done, in the log and for the next task."""
        plans = provisioning.plan(pipelines.load(FILE), params["topics"])
        print(provisioning.rendered(plans))  # noqa: T201  a task's log
        return provisioning.to_data(plans)

    @task.skip_if(lambda context: context["params"]["dry_run"])
    @task
    def apply(planned: dict[str, Any]) -> None:
        """Take the steps that were shown; those that somebody took meanwhile are not taken again."""
        provisioning.apply(pipelines.load(FILE), provisioning.from_data(planned), say=print)

    @task
    def read_back(params: dict[str, Any]) -> None:
        """Compare again. Fails with the reasons when something that is declared is refused."""
        plans = provisioning.plan(pipelines.load(FILE), params["topics"])
        print(provisioning.rendered(plans))  # noqa: T201  a task's log
        provisioning.require_no_refusals(plans)

    apply(plan()) >> read_back()
