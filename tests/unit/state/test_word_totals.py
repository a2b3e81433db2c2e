"""The result of a batch over a folder: written and read, and shown."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamops.errors import StateError
from streamops.state import word_totals
from streamops.state.word_totals import WordTotals

TOTALS = WordTotals(
    pipeline="p", generation=4, folder="file:///in", driver="driver-1", finished_at="2026-11-20T03:00:00.000+00:00",
    lines=1200, words=3456, different_words=3, top=(("the", 3400), ("of", 55), ("日本", 1)),
)


def test_a_result_is_read_as_it_was_written() -> None:
    assert WordTotals.from_json(TOTALS.to_json()) == TOTALS
    assert json.loads(TOTALS.to_json())["top"][0] == {"word": "the", "count": 3400}


@given(st.text())
def test_any_word_survives(word: str) -> None:
    written = WordTotals(**{**vars(TOTALS), "top": ((word, 1),)}).to_json()
    assert WordTotals.from_json(written).top == ((word, 1),)
    written.encode("ascii")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "streamops.word_totals/2"}', '{"format": 1'])
def test_anything_else_is_a_state_error(text: str) -> None:
    with pytest.raises(StateError):
        WordTotals.from_json(text)


def test_the_table_lines_up() -> None:
    assert TOTALS.table() == "3,400  the\n   55  of\n    1  日本"
    assert TOTALS.table(1) == "3,400  the"
    assert TOTALS.summary() == "1,200 lines that are not empty, 3,456 words, 3 of them different"


def test_a_result_is_named_by_the_number_of_its_run() -> None:
    assert word_totals.path(10) == "results/000010.json"
