"""The command's frame: verbs, errors, exit statuses, start-up time."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

import streamops
from streamops.cli import main as command
from streamops.errors import RefusedError


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    return int(ended.value.code or 0)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.strip() == streamops.__version__


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert {"stack", "jars", "demo"} <= set(command.verbs())
    assert all(verb in shown for verb in command.verbs())


def test_an_unknown_verb_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("nonsense") == 2


@pytest.mark.parametrize("verb", sorted(command.verbs()))
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(verb, "--help") == 0
    assert "Usage" in capsys.readouterr().out


def test_an_error_for_a_person_has_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verb = ModuleType("refusing")

    def refuse() -> None:
        raise RefusedError("The pipeline runs.", "Stop it first.")

    verb.command = refuse  # type: ignore[attr-defined]
    monkeypatch.setattr(command, "verbs", lambda: {"refusing": "refusing"})
    monkeypatch.setitem(sys.modules, "refusing", verb)
    assert run("refusing") == RefusedError.exit_code
    assert capsys.readouterr().err == "streamops: The pipeline runs.\nStop it first.\n"


def test_help_imports_nothing_heavy() -> None:
    """Counted in modules, not in seconds, which depend on what else the machine does."""
    heavy = {"airflow", "pyspark", "kafka", "pandas", "pyarrow", "sqlalchemy", "httpx", "fsspec"}
    code = (
        "import sys\nfrom streamops.cli.main import main\n"
        f"try: main(['--help'])\nexcept SystemExit: print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
