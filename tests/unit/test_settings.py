"""Project settings: from the environment, at the time of asking."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamops.settings import Settings, project_root


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"STREAMOPS_{name.upper()}", raising=False)


def test_the_defaults_lie_in_the_project() -> None:
    settings = Settings.load()
    root = project_root()
    assert (root / "pyproject.toml").is_file()
    assert settings.home == root / ".streamops"
    assert settings.pipelines == root / "dags" / "pipelines.yaml"
    assert settings.jobs == root / "jobs"
    assert settings.jars == root / ".streamops" / "jars" / "connector"


def test_the_environment_is_read_at_the_time_of_asking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STREAMOPS_HOME", str(tmp_path))
    assert Settings.load().jars == tmp_path / "jars" / "connector"
    monkeypatch.setenv("STREAMOPS_JARS", "/elsewhere")
    assert Settings.load().jars == Path("/elsewhere")


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMOPS_HOME", "")
    assert Settings.load().home == project_root() / ".streamops"


def test_relative_paths_are_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.load(pipelines=Path("mine.yaml")).pipelines == tmp_path / "mine.yaml"
