"""The DAG of a runbook: look, ask, act, verify. `dags/` has a file for each."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param, get_current_context, task

from streamops import errors
from streamops.declared import pipelines
from streamops.retry_policy import failing_at_once_on
from streamops.runbooks import procedure
from streamops.runbooks.case import Case
from streamops.runbooks.progress import Mark
from streamops.runbooks.recommendation import Kind, Recommendation
from streamops.runbooks.runbook import Option, Runbook
from streamops.settings import Settings

#: Another try does not make these right.
FINAL = (errors.ConfigurationError, errors.RefusedError, errors.StateError, errors.AlarmError, errors.JobStopped)

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def runbook_dag(runbook: Runbook[Any]) -> DAG:
    """The DAG `runbook_<name>`, with the runbook's page, and a form that offers the pipelines and its options."""
    file = Settings.load().pipelines
    names = sorted(name for name, each in pipelines.load(file).pipelines.items() if each.source == "kafka")
    with DAG(
        f"runbook_{runbook.name}",
        schedule=None,
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        dagrun_timeout=timedelta(hours=12),
        tags=["streamops", "runbook"],
        doc_md=runbook.page,
        params={
            "pipeline": Param(names[0] if names else "", enum=names or [""], title="Pipeline"),
            **{option.name: _param(option) for option in runbook.options},
            "approval": Param(True, type="boolean", title="Approval", description="Ask a person before anything is "
                              "changed."),
        },
        default_args={
            "retries": 2,
            "retry_delay": timedelta(seconds=20),
            "retry_policy": failing_at_once_on(*FINAL),
        },
    ) as dag:

        @task
        def look() -> dict[str, Any]:
            """Print the evidence and recommend. Fails where a person, or another runbook, has to mend it."""
            shown: list[str] = []
            looked = procedure.look(runbook, _overheard(_case(runbook), shown))
            get_current_context()["ti"].xcom_push("evidence", "```\n" + "\n".join(shown) + "\n```")
            procedure.require_possible(looked.recommendation)
            return {"recommendation": looked.recommendation.to_data(), "before": looked.before.to_data()}

        @task.branch
        def ask(looked: Any) -> str | None:
            """Whether anybody has to approve, and whether anything is to be done."""
            kind = Kind(looked["recommendation"]["kind"])
            if kind is Kind.NOTHING:
                return None
            if kind is Kind.WAIT:
                return "verify"
            return "approve" if get_current_context()["params"]["approval"] else "act"

        approve = ApprovalOperator(
            task_id="approve", subject="{{ params.pipeline }}: "
            "{{ ti.xcom_pull(task_ids='look')['recommendation']['what'] }}?", fail_on_reject=True,
            body="{{ ti.xcom_pull(task_ids='look', key='evidence') }}")

        @task(trigger_rule="none_failed_min_one_success")
        def act(looked: Any) -> None:
            """Look again, and do what was approved where it still holds. What fails is taken back."""
            procedure.apply(runbook, _case(runbook), Recommendation.from_data(looked["recommendation"]))

        @task(trigger_rule="none_failed_min_one_success")
        def verify(looked: Any) -> str:
            """Succeed when batches complete and the lag falls; else take back what can be, and say what was found."""
            before, agreed = Mark.from_data(looked["before"]), Recommendation.from_data(looked["recommendation"])
            shown = procedure.verify(runbook, _case(runbook), before, agreed)
            print(shown)  # noqa: T201  a task's log
            return shown

        looked = look()
        asked, acted, verified = ask(looked), act(looked), verify(looked)
        asked >> approve >> acted >> verified
        asked >> [acted, verified]
    return dag


def _case(runbook: Runbook[Any]) -> Case:
    """The case of the run whose task this is."""
    context = get_current_context()
    params, dag_run = context["params"], context["dag_run"]
    settings = Settings.load()
    declared = pipelines.load(settings.pipelines)
    person = getattr(dag_run, "triggering_user_name", None) or "somebody"
    by = f"{person} in Airflow, run {dag_run.run_id} of runbook_{runbook.name}"
    return Case(declared, procedure.of_topics(declared, params["pipeline"]), settings, by, print,
                {option.name: params[option.name] for option in runbook.options})


def _overheard(case: Case, lines: list[str]) -> Case:
    """The same case, which keeps what it is told."""
    def say(line: str) -> None:
        lines.append(line)
        case.say(line)

    return replace(case, say=say)


def _param(option: Option) -> Param:
    kinds = [_TYPES[option.kind]] if option.default is not None else ["null", _TYPES[option.kind]]
    limits: dict[str, Any] = {} if option.minimum is None else {"minimum": option.minimum}
    return Param(option.default, type=kinds, title=option.name.replace("_", " ").capitalize(), description=option.help,
                 **limits)
