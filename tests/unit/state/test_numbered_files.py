"""Numbered files: their names, and which one is current."""

from __future__ import annotations

import pytest

from streamops.state import numbered_files


@pytest.mark.parametrize(("names", "latest"), [
    pytest.param([], None, id="none yet"),
    pytest.param(["000001.json"], 1, id="the first"),
    pytest.param(["000002.json", "000010.json", "000009.json"], 10, id="by number"),
    pytest.param(["000001.json", "notes.txt", "latest.json", "000007.json.tmp", "000008"], 1, id="other files"),
    pytest.param([".000011.json.tmp", "x.json"], None, id="only other files"),
    pytest.param(["000002.json", "000002.beat.json", "000001.json", "000003.beat.json"], 2, id="beats are no leases"),
    pytest.param(["999999.json", "1000000.json"], 1_000_000, id="beyond six digits"),
])
def test_the_latest(names: list[str], latest: int | None) -> None:
    assert numbered_files.latest(names) == latest


@pytest.mark.parametrize("number", [1, 41, 999_999, 1_000_000])
def test_a_name_is_read_as_its_number(number: int) -> None:
    assert numbered_files.latest([numbered_files.name(number)]) == number
