"""What all runbooks have: a page, a command that shows it, and a procedure that acts only on what was approved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from streamops.cli import main as command
from streamops.declared import pipelines
from streamops.errors import AlarmError, ConfigurationError, RefusedError, UnavailableError
from streamops.runbooks import catalogue, procedure, reading
from streamops.runbooks.case import Case
from streamops.runbooks.progress import Mark
from streamops.runbooks.recommendation import Kind, Recommendation
from streamops.runbooks.runbook import Runbook
from streamops.settings import Settings

PARTS = ("### ", "**Symptom**: ", "**Steps**", "**Is it safe to repeat?**", "**How to undo**")
DECLARED = pipelines.load("pipelines.yaml", """
version: 1
topics: {lines: {partitions: 1, replication: 1}}
defaults: {transform: word_count, sink: {type: console}}
pipelines:
  lines: {approach: direct, topics: [lines]}
  files: {source: folder, folder: {path: "file:///in"}}
""")
RESTART = Recommendation.act("restart lines", "it hangs for 9 s", "driver-1", action="restart")


@pytest.mark.parametrize("name", catalogue.pages())
def test_a_page_has_what_an_engineer_looks_for(name: str) -> None:
    page = catalogue.pages()[name]
    assert [part for part in PARTS if part not in page] == []
    assert catalogue.symptom(page).endswith(".")
    assert name not in catalogue.NAMES or catalogue.find(name).name == name


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    return int(ended.value.code or 0)


def test_the_command_lists_every_runbook_with_its_symptom(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("runbook") == 0
    shown = capsys.readouterr().out
    for name, page in catalogue.pages().items():
        assert f"{name}: {catalogue.symptom(page)}" in shown


@pytest.mark.parametrize("name", catalogue.pages())
def test_the_help_of_one_is_its_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("runbook", name, "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in PARTS[1:]:
        assert part.strip() in shown


def test_only_pipelines_that_read_topics_have_runbooks() -> None:
    assert procedure.of_topics(DECLARED, "lines").name == "lines"
    with pytest.raises(ConfigurationError, match="reads a folder"):
        procedure.of_topics(DECLARED, "files")
    with pytest.raises(ConfigurationError, match="Did you mean `lines`"):
        procedure.of_topics(DECLARED, "line")


@dataclass
class Nothing:
    """Evidence without anything in it."""

    def lines(self) -> Iterator[str]:
        yield "the evidence"

    def as_dict(self) -> dict[str, Any]:
        return {}


@dataclass
class Scripted(Runbook[Nothing]):
    """A runbook that recommends what the test says, and fails where it says so."""

    recommends: Recommendation
    fails: Exception | None = None
    is_well: bool = True
    did: list[str] = field(default_factory=list)

    def read(self, _case: Case) -> Nothing:
        return Nothing()

    def recommend(self, _found: Nothing) -> Recommendation:
        return self.recommends

    def act(self, _case: Case, agreed: Recommendation) -> None:
        self.did.append(agreed.what)
        if self.fails is not None:
            raise self.fails

    def verify(self, _case: Case, _before: Mark, _agreed: Recommendation) -> str:
        if not self.is_well:
            raise AlarmError("no batch was logged", "Look again.")
        return "well"

    def roll_back(self, _case: Case, _agreed: Recommendation) -> str | None:
        self.did.append("rolled back")
        return "took it back"


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr(reading, "mark", lambda _case: Mark(0.0))
    return Case(DECLARED, DECLARED.pipeline("lines"), Settings.load(), "alice@host", lambda _line: None)


def test_what_was_approved_is_done_though_its_numbers_have_moved(case: Case) -> None:
    runbook = Scripted(Recommendation.act("restart lines", "it hangs for 99 s", "driver-1", action="restart"))
    procedure.apply(runbook, case, RESTART)
    assert runbook.did == ["restart lines"]


@pytest.mark.parametrize("now", [
    pytest.param(Recommendation.act("restart lines", "it hangs", "driver-2", action="restart"), id="another driver"),
    pytest.param(Recommendation.act("start lines", "it hangs", "driver-1", action="start"), id="another action"),
    pytest.param(Recommendation.other("broker_down", "no broker answers"), id="another runbook's case"),
])
def test_nothing_is_done_when_something_else_is_recommended_by_now(case: Case, now: Recommendation) -> None:
    runbook = Scripted(now)
    with pytest.raises(RefusedError, match="not recommended any more"):
        procedure.apply(runbook, case, RESTART)
    assert runbook.did == []


def test_nothing_is_done_to_what_has_mended_itself(case: Case) -> None:
    runbook = Scripted(Recommendation.nothing("it works"))
    procedure.apply(runbook, case, RESTART)
    assert runbook.did == []


def test_what_fails_is_taken_back_and_says_so(case: Case) -> None:
    runbook = Scripted(RESTART, fails=UnavailableError("no Spark master", "Bring it back."))
    with pytest.raises(UnavailableError, match=r"no Spark master\nBring it back.\ntook it back"):
        procedure.apply(runbook, case, RESTART)
    assert runbook.did == ["restart lines", "rolled back"]


def test_what_does_not_help_is_taken_back_and_what_changed_nothing_is_not(case: Case) -> None:
    runbook = Scripted(RESTART, is_well=False)
    with pytest.raises(AlarmError, match=r"no batch was logged\nLook again.\ntook it back"):
        procedure.verify(runbook, case, Mark(0.0), RESTART)
    assert runbook.did == ["rolled back"]
    runbook.did.clear()
    with pytest.raises(AlarmError, match="no batch was logged"):
        procedure.verify(runbook, case, Mark(0.0), Recommendation.wait("wait", "it starts"))
    assert runbook.did == []


@pytest.mark.parametrize(("recommended", "text"), [
    (Recommendation.other("broker_down", "no broker answers"), "Go on with the runbook broker_down"),
    (Recommendation.by_hand("correct the transform", "KeyError", "Then start it."), "Then start it."),
])
def test_what_a_person_has_to_mend_fails(recommended: Recommendation, text: str) -> None:
    with pytest.raises(AlarmError, match=text):
        procedure.require_possible(recommended)


def test_a_recommendation_comes_back_from_another_task() -> None:
    for made in (RESTART, Recommendation.nothing("it works", "See status."), Recommendation.other("broker_down", "…")):
        assert Recommendation.from_data(made.to_data()) == made
    assert [kind for kind in Kind if Recommendation(kind, "…", "…").changes_something] == [Kind.ACT]
