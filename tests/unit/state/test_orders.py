"""Standing orders: what they say, which one stands."""

from __future__ import annotations

import pytest

from streamops.errors import StateError
from streamops.state import orders
from streamops.state.orders import Order, Wish

STOP = Order("lines", 3, Wish.STOP, "alice@shell", "2026-11-20T03:00:00.000+00:00", "new certificates", 30.0)


class Memory:
    """A state directory in memory."""

    def __init__(self, **files: str) -> None:
        self.files = {f"orders/{name.removeprefix('n')}.json": text for name, text in files.items()}

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def names(self, directory: str) -> list[str]:
        return [path.removeprefix(f"{directory}/") for path in self.files]


@pytest.mark.parametrize("order", [STOP, Order("lines", 1, Wish.RUN, "bob@shell", "2026-11-20T03:00:00.000+00:00")])
def test_an_order_is_read_as_it_was_written(order: Order) -> None:
    assert Order.from_json(order.to_json()) == order


@pytest.mark.parametrize(("wish", "stops"), [(Wish.RUN, False), (Wish.STOP, True), (Wish.PAUSE, True)])
def test_which_wishes_stop(wish: Wish, stops: bool) -> None:
    assert Order("lines", 1, wish, "", "").stops is stops


def test_the_highest_number_stands() -> None:
    older = Order("lines", 9, Wish.RUN, "", "")
    newer = Order("lines", 10, Wish.STOP, "", "")
    assert orders.standing(Memory(n000010=newer.to_json(), n000009=older.to_json())) == newer
    assert orders.standing(Memory()) is None


def test_an_order_of_a_later_version_is_refused() -> None:
    with pytest.raises(StateError, match=r"streamops\.order/2"):
        orders.standing(Memory(n000001='{"format": "streamops.order/2"}'))


def test_an_order_reads_as_a_sentence() -> None:
    assert str(STOP) == "stopped by alice@shell at 2026-11-20T03:00:00.000+00:00: new certificates"
    assert "streamops start lines" in STOP.repair
    assert "streamops resume lines" in Order("lines", 1, Wish.PAUSE, "", "").repair
