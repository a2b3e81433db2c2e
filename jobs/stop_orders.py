"""A driver that obeys standing orders: it does not begin under one that stops the pipeline, and ends when one comes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from hadoop_files import HadoopFiles
from held_lease import HeldLease
from streamops.errors import StopOrderedError
from streamops.state import lease, orders
from streamops.state.orders import Order

log = logging.getLogger("streamops.orders")


def as_error(order: Order, driver: str) -> StopOrderedError:
    return StopOrderedError(f"driver {driver} ended on an order: {order.pipeline} was {order}", order.repair)


def require_none(files: HadoopFiles, driver: str) -> None:
    """Raises StopOrderedError when an order stands under which no driver may run."""
    if (order := orders.standing(files)) is not None and order.stops:
        raise as_error(order, driver)


def watch(held: HeldLease, on_order: Callable[[Order], None]) -> None:
    """Look at the orders as often as the lease beats; call `on_order` with the first one that stops the pipeline.

    It is called in a thread of its own, so it may wait for a batch while the lease goes on beating.
    """
    threading.Thread(target=_watch, args=(held.files, on_order, held.ended), name="stop-orders", daemon=True).start()


def _watch(files: HadoopFiles, on_order: Callable[[Order], None], ended: threading.Event) -> None:
    while not ended.wait(lease.BEAT_S):
        try:
            order = orders.standing(files)
        except Exception:
            log.warning("orders could not be read", exc_info=True)
            continue
        if order is not None and order.stops:
            log.info("an order came: %s", order)
            on_order(order)
            return
