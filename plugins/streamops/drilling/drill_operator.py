"""The operator that drills: one task, which heals at once when a person ends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from streamops.errors import StreamopsError

if TYPE_CHECKING:
    from airflow.sdk import Context


class DrillCancelled(BaseException):
    """Raised in the middle of a drill when a person ends its task; nothing catches it on the way to the healing."""


class DrillOperator(BaseOperator):
    """Carry out what the task `plan` has planned.

    Args:
        planned: what `drilling.campaign.Campaign.to_data` gave.
        rate: records a second into a canary.
    """

    template_fields: Sequence[str] = ("planned", "rate")

    def __init__(self, *, planned: Any, rate: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.planned = planned
        self.rate = rate

    def execute(self, context: Context) -> list[int | None]:
        """Heal what is left of other drills, then drill; the numbers of the drills. Fails when one did not pass."""
        from streamops.actions import lifecycles
        from streamops.declared import pipelines
        from streamops.drilling import campaign
        from streamops.settings import Settings

        settings = Settings.load()
        declared = pipelines.load(settings.pipelines)
        try:
            planned = campaign.plan(declared, self.planned["pipelines"], self.planned["faults"],
                                    self.planned["repetitions"], self.planned["seed"], self.planned["backend"])
            done = campaign.run(planned, declared, settings, lifecycles.in_airflow(context["dag_run"]),
                                float(self.rate), self._say)
            campaign.require_passed(done)
        except DrillCancelled:
            raise AirflowFailException("a person ended the drill; what it had inflicted is healed") from None
        except StreamopsError as error:
            raise (AirflowException if error.retryable else AirflowFailException)(str(error)) from error
        return [each.number for each in done]

    def on_kill(self) -> None:
        """Unwind: the drill heals first of all, and the task's process has 5 s from here on."""
        raise DrillCancelled

    def _say(self, line: str) -> None:
        self.log.info("%s", line)
