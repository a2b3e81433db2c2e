"""Generations as files: format, paths, and which one is current."""

from __future__ import annotations

import json

import pytest

from streamops import generations
from streamops.errors import StateError
from streamops.generations import Generation
from streamops.offsets import TopicPartition

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
    }


def test_another_format_is_refused() -> None:
    with pytest.raises(StateError, match=r"format 'streamops\.generation/2'"):
        Generation.from_json(GENERATION.to_json().replace("generation/1", "generation/2"))


@pytest.mark.parametrize("text", [
    pytest.param("", id="empty"),
    pytest.param("{", id="cut off"),
    pytest.param("[]", id="no object"),
    pytest.param('{"format": "streamops.generation/1"}', id="keys missing"),
    pytest.param(GENERATION.to_json().replace('"10": 0', '"ten": 0'), id="a partition that is no number"),
])
def test_a_damaged_file_is_a_state_error(text: str) -> None:
    with pytest.raises(StateError, match="generation file"):
        Generation.from_json(text)


def test_paths() -> None:
    assert generations.path(3) == "generations/000003.json"
    assert generations.checkpoint_path(3) == "checkpoint/000003"
