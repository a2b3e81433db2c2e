"""What the DAG and the command line do with several pipelines."""

from __future__ import annotations

import pytest

from streamops.actions import lifecycles
from streamops.actions.lifecycles import Result
from streamops.declared import pipelines
from streamops.errors import ConfigurationError, RefusedError, StreamopsError, UnavailableError
from streamops.running.lifecycle import Action, Plan

DECLARED = pipelines.load("pipelines.yaml", """
version: 1
topics:
  lines: {partitions: 1, replication: 1}
pipelines:
  lines: {approach: direct, topics: [lines], transform: word_count, sink: {type: console}}
  words: {approach: direct, topics: [lines], transform: word_count, sink: {type: console}}
  files:
    source: folder
    folder: {path: "file:///in", mode: batch}
    transform: word_count
    sink: {type: console}
""")


def test_each_is_chosen_once_in_the_order_given() -> None:
    assert [each.name for each in lifecycles.chosen(DECLARED, ["words", "lines", "words"])] == ["words", "lines"]


@pytest.mark.parametrize(("names", "expected"), [
    pytest.param(["line", "wrods"], ["Did you mean `lines`?", "Did you mean `words`?"], id="every wrong name"),
    pytest.param(["files"], ["files ends by itself: trigger the DAG `batch_files`"], id="one that ends by itself"),
    pytest.param([], ["no pipeline is named"], id="none"),
])
def test_wrong_names_are_refused_together(names: list[str], expected: list[str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        lifecycles.chosen(DECLARED, names)
    assert all(part in str(refused.value) for part in expected)


@pytest.mark.parametrize(("action", "stop_s", "start_s"), [(Action.STOP, 5, None), (Action.RESTART, 5, None),
                                                           (Action.START, None, 5), (Action.RESUME, None, 5)])
def test_what_is_limited(action: Action, stop_s: float | None, start_s: float | None) -> None:
    given = lifecycles.given(action, "alice", None, 5)
    assert (given.stop_within_s, given.start_within_s) == (stop_s, start_s)


def done(*errors: StreamopsError | None) -> None:
    lifecycles.require_done([Result(Plan(f"p{number}", Action.STOP), error) for number, error in enumerate(errors)])


def test_an_error_of_one_does_not_hide_those_of_others() -> None:
    done(None, None)
    with pytest.raises(RefusedError, match=r"^paused$"):
        done(None, RefusedError("paused"))
    with pytest.raises(UnavailableError, match=r"2 of 3 pipelines failed:\npaused\nno Spark"):
        done(RefusedError("paused"), None, UnavailableError("no Spark"))


def test_a_result_as_data() -> None:
    assert Result(Plan("lines", Action.STOP), RefusedError("paused", "Resume it.")).as_dict() == {
        "pipeline": "lines", "action": "stop", "steps": [], "notes": [], "refusal": None, "repair": None,
        "done": False, "error": "paused\nResume it.",
    }
