"""Generations as files: format, paths, and which one is current."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from streamops.adapters.files.state_files import StateFiles
from streamops.errors import StateError
from streamops.state import generations
from streamops.state.generations import Generation, Restored
from streamops.state.offsets import TopicPartition
from streamops.state.superseded import NOTHING, Span

GENERATION = Generation(
    pipeline="lines_direct",
    number=3,
    approach="direct",
    start={TopicPartition("lines", 0): 17, TopicPartition("lines", 10): 0},
    reason="rewound to batch 12",
    opened_at="2026-11-20T03:00:00.000+00:00",
)


def test_a_generation_is_read_as_it_was_written() -> None:
    assert Generation.from_json(GENERATION.to_json()) == GENERATION


def test_the_public_format() -> None:
    assert json.loads(GENERATION.to_json()) == {
        "format": "streamops.generation/1",
        "pipeline": "lines_direct",
        "generation": 3,
        "approach": "direct",
        "start": {"lines": {"0": 17, "10": 0}},
        "reason": "rewound to batch 12",
        "opened_at": "2026-11-20T03:00:00.000+00:00",
        "superseded": [],
        "restored": None,
    }


def test_a_generation_that_a_restore_opened() -> None:
    restored = replace(GENERATION, superseded=NOTHING.adding([Span(1, 12), Span(2, 0)]),
                       restored=Restored("point 7", undo_point=9))
    written = json.loads(restored.to_json())
    assert written["superseded"] == [[1, 12, None], [2, 0, None]]
    assert written["restored"] == {"target": "point 7", "undo_point": 9, "undoes": None, "lost": []}
    assert Generation.from_json(restored.to_json()) == restored


def test_a_file_from_before_there_were_restores() -> None:
    written = json.loads(GENERATION.to_json())
    del written["superseded"], written["restored"]
    assert Generation.from_json(json.dumps(written)) == GENERATION


def test_another_format_is_refused() -> None:
    with pytest.raises(StateError, match=r"format 'streamops\.generation/2'"):
        Generation.from_json(GENERATION.to_json().replace("generation/1", "generation/2"))


@pytest.mark.parametrize("text", [
    pytest.param("", id="empty"),
    pytest.param("{", id="cut off"),
    pytest.param("[]", id="no object"),
    pytest.param('{"format": "streamops.generation/1"}', id="keys missing"),
    pytest.param(GENERATION.to_json().replace('"10": 0', '"ten": 0'), id="a partition that is no number"),
    pytest.param(GENERATION.to_json().replace('"superseded": []', '"superseded": [[1]]'), id="half a span"),
])
def test_a_damaged_file_is_a_state_error(text: str) -> None:
    with pytest.raises(StateError, match="generation file"):
        Generation.from_json(text)


def test_paths() -> None:
    assert generations.path(3) == "generations/000003.json"
    assert generations.checkpoint_path(3) == "checkpoint/000003"


def test_the_highest_number_is_the_current_one(tmp_path: Path) -> None:
    files = StateFiles(f"file://{tmp_path}")
    assert generations.current(files) is None
    for number in (1, 3):
        files.write_new(generations.path(number), replace(GENERATION, number=number).to_json())
    assert generations.current(files) == GENERATION
    assert generations.read(files, 2) is None
