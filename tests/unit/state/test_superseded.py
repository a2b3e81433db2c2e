"""Superseded batches: spans put together, what they cover, and the copy beside the output."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamops.errors import StateError
from streamops.state.superseded import NOTHING, Span, Superseded, runs

SPANS = st.builds(
    lambda generation, first, size: Span(generation, first, None if size is None else first + size),
    st.integers(1, 2), st.integers(0, 8), st.one_of(st.none(), st.integers(0, 3)))


@given(st.lists(SPANS), st.lists(SPANS))
def test_spans_cover_together_what_each_covers(some: list[Span], more: list[Span]) -> None:
    found = NOTHING.adding(some).adding(more)
    for generation in (1, 2, 3):
        for batch in range(15):
            assert found.covers(generation, batch) is any(span.covers(generation, batch) for span in [*some, *more])
    assert found == NOTHING.adding([*more, *some])
    assert Superseded.from_rows(json.loads(json.dumps(found.as_rows()))) == found


@pytest.mark.parametrize(("spans", "expected"), [
    pytest.param([Span(1, 3, 4), Span(1, 5, 6)], [Span(1, 3, 6)], id="that touch"),
    pytest.param([Span(1, 3, 4), Span(1, 6, 6)], [Span(1, 3, 4), Span(1, 6, 6)], id="with one between them"),
    pytest.param([Span(1, 3), Span(1, 7, 9)], [Span(1, 3)], id="one is open"),
    pytest.param([Span(2, 0), Span(1, 3)], [Span(1, 3), Span(2, 0)], id="of two generations"),
])
def test_spans_are_put_together(spans: list[Span], expected: list[Span]) -> None:
    assert list(NOTHING.adding(spans).spans) == expected


def test_batches_as_spans() -> None:
    assert runs([(2, 0), (1, 7), (1, 8), (1, 3)]) == [Span(1, 3, 3), Span(1, 7, 8), Span(2, 0, 0)]


@pytest.mark.parametrize(("span", "words"), [
    (Span(1, 3, 3), "batch 3 of generation 1"),
    (Span(1, 3, 5), "batches 3 to 5 of generation 1"),
    (Span(2, 3), "batch 3 and later of generation 2"),
    (Span(2, 0), "everything of generation 2"),
])
def test_a_span_in_words(span: Span, words: str) -> None:
    assert str(span) == words


def test_the_copy_beside_the_output() -> None:
    found = NOTHING.adding([Span(1, 3), Span(2, 0, 4)])
    text = found.to_json("lines", 3)
    assert json.loads(text) == {"format": "streamops.superseded/1", "pipeline": "lines", "generation": 3,
                                "superseded": [[1, 3, None], [2, 0, 4]]}
    assert Superseded.from_json(text) == found
    with pytest.raises(StateError, match="list of superseded batches"):
        Superseded.from_json(text.replace("null", '"x"'))
