"""Observing every driver of the pipelines, and carrying out what was decided about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from streamops.adapters.pipelines.drivers import PipelineDrivers
from streamops.declared import pipelines
from streamops.errors import StateError, StreamopsError
from streamops.running.driver_status import Standing
from streamops.running.reconcile import Action, DriverDecision, ObservedDriver, plan_reconciliation
from streamops.settings import Settings
from streamops.state import drivers, evidence
from streamops.state.lease import Owner, OwnerKind
from streamops.state.orders import Order


def of_all_pipelines(settings: Settings | None = None) -> list[PipelineDrivers]:
    """The drivers of each pipeline that is declared."""
    settings = settings or Settings.load()
    declared = pipelines.load(settings.pipelines).pipelines
    return [PipelineDrivers(pipeline, settings) for pipeline in declared.values()]


def decide(
    of_pipelines: Iterable[PipelineDrivers], is_owner_alive: Callable[[Owner], bool] | None
) -> tuple[list[tuple[PipelineDrivers, list[DriverDecision]]], list[StreamopsError]]:
    """What is to be done with each pipeline's drivers, and an error for each pipeline that could not be asked."""
    decided, errors = [], []
    for each in of_pipelines:
        try:
            decided.append((each, plan_reconciliation(observe(each, is_owner_alive), datetime.now(UTC))))
        except StreamopsError as error:
            errors.append(error)
    return decided, errors


def observe(of_pipeline: PipelineDrivers, is_owner_alive: Callable[[Owner], bool] | None) -> list[ObservedDriver]:
    """Every driver that a pipeline knows, oldest first, with the master's word for it.

    `is_owner_alive` is asked for living drivers of Airflow only; None leaves that unknown.
    """
    order = of_pipeline.order()
    return [_observed(of_pipeline, each, order, is_owner_alive) for each in evidence.known_drivers(of_pipeline.files)]


def carry_out(of_pipeline: PipelineDrivers, decisions: Iterable[DriverDecision], say: Callable[[str], None]) -> None:
    """Stop and forget what was decided, and read back that it is so. Raises StateError when it is not."""
    for decision in decisions:
        driver = decision.observed.driver
        if decision.action is Action.STOP:
            of_pipeline.master.kill_and_wait(driver)
            seen = of_pipeline.master.look(driver)
            if seen.standing is Standing.LIVING:
                raise StateError(f"driver {driver} was stopped, and is {seen} again", "Look at its worker.")
            say(f"stopped {driver}: {seen}")
        elif decision.action is Action.FORGET:
            of_pipeline.files.delete(drivers.path(driver))
            say(f"removed the record of {driver}")


def _observed(
    of_pipeline: PipelineDrivers,
    each: evidence.KnownDriver,
    order: Order | None,
    is_owner_alive: Callable[[Owner], bool] | None,
) -> ObservedDriver:
    seen = of_pipeline.master.look(each.driver)
    ask = seen.standing is Standing.LIVING and each.owner.kind is OwnerKind.AIRFLOW and is_owner_alive is not None
    return ObservedDriver(
        pipeline=of_pipeline.pipeline.name,
        driver=each.driver,
        owner=each.owner,
        standing=seen.standing,
        state=str(seen),
        holds_lease=each.holds_lease,
        started_at=datetime.fromisoformat(each.started_at).astimezone(UTC),
        owner_lives=is_owner_alive(each.owner) if ask and is_owner_alive is not None else None,
        order=order,
        stop_timeout_s=of_pipeline.pipeline.stop_timeout_s,
    )
