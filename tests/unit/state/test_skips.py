"""Skips and proofs as files: which one stands, for which batch, and what a proof proves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamops.errors import ConfigurationError, StateError
from streamops.state import skips
from streamops.state.offsets import OffsetRange, TopicPartition
from streamops.state.proofs import Proof, ProofRequest, ProvenRecord
from streamops.state.skips import Skip

BAD = ProvenRecord("lines", 0, 37, "ValueError: oops", "k", 12, 1)
PROOF = Proof("p", 1, 7, "as_number", 100, "ValueError: oops", (BAD,))
SKIP = Skip("p", 1, 1, 7, "letters", (BAD,), "alice@ops1", "2026-11-20T03:00:00.000+00:00")


class Files:
    """A state directory in memory."""

    def __init__(self, *given: Skip) -> None:
        self._texts = {skips.path(each.number): each.to_json() for each in given}

    def read(self, path: str) -> str | None:
        return self._texts.get(path)

    def names(self, directory: str) -> list[str]:
        return [path.removeprefix(f"{directory}/") for path in self._texts]


@pytest.mark.parametrize(("given", "expected"), [
    pytest.param([], None, id="nobody gave one"),
    pytest.param([SKIP], 1, id="one for this batch"),
    pytest.param([replace(SKIP, batch=6)], None, id="one for an earlier batch"),
    pytest.param([replace(SKIP, generation=2)], None, id="one for another generation"),
    pytest.param([SKIP, replace(SKIP, number=2)], 2, id="two: the later one"),
    pytest.param([SKIP, replace(SKIP, number=2, records=())], None, id="one that was withdrawn"),
    pytest.param([SKIP, replace(SKIP, number=2, batch=8)], None, id="the later one is for the next batch"),
])
def test_which_skip_stands(given: list[Skip], expected: int | None) -> None:
    found = skips.standing(Files(*given), 1, 7)
    assert (found.number if found else None) == expected


def test_a_skip_names_its_records_by_their_places() -> None:
    assert Skip.from_json(SKIP.to_json()) == SKIP
    assert SKIP.offsets == {(TopicPartition("lines", 0), 37)}
    with pytest.raises(StateError, match="a skip cannot be read"):
        Skip.from_json(SKIP.to_json().replace('"batch"', '"bat"'))


@pytest.mark.parametrize(("proof", "holds"), [
    pytest.param(PROOF, True, id="each fails alone, and the rest does not"),
    pytest.param(replace(PROOF, rest_error="ValueError: more"), False, id="the rest fails as well"),
    pytest.param(replace(PROOF, records=()), False, id="no record fails alone"),
    pytest.param(replace(PROOF, records=(), whole_error=None), False, id="nothing fails"),
    pytest.param(replace(PROOF, unproven="more than 10 records"), False, id="not all is known"),
])
def test_what_a_proof_proves(proof: Proof, holds: bool) -> None:
    assert Proof.from_json(proof.to_json()) == proof
    assert proof.holds is holds


def test_a_request_says_what_is_looked_at() -> None:
    request = ProofRequest("r1", 1, 7, (OffsetRange("lines", 0, 0, 100),), 20)
    assert ProofRequest.from_json(request.to_json()) == request
    with pytest.raises(ConfigurationError, match="no request for a proof"):
        ProofRequest.from_json("{}")


def test_a_proven_record_in_words() -> None:
    assert str(BAD) == "lines-0 offset 37 (key 'k', 12 bytes): ValueError: oops"
    assert str(replace(BAD, key=None)).startswith("lines-0 offset 37 (no key")
