"""Tables for a terminal."""

from __future__ import annotations

from streamops.text_table import number, seconds, table


def test_numbers_stand_on_the_right_and_what_is_unknown_is_said() -> None:
    rows = [("lines", number(5), seconds(0.4), "keeps up"), ("orders_direct", number(None), seconds(None), ""),
            ("x", number(1_234_567), seconds(7200), "2 of 3")]
    assert table(("PIPELINE", "LAG", "AGE", "WHY"), rows).splitlines() == [
        "PIPELINE             LAG  AGE  WHY",
        "lines                  5  0 s  keeps up",
        "orders_direct          ?    ?",
        "x              1,234,567  2 h  2 of 3",
    ]


def test_no_rows() -> None:
    assert table(("PIPELINE", "LAG"), []) == "PIPELINE  LAG"
