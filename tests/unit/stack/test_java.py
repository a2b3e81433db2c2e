"""Which Java is used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamops.errors import ConfigurationError
from streamops.stack.java import java, java_version


@pytest.fixture(autouse=True)
def not_cached() -> Iterator[None]:
    java.cache_clear()
    yield
    java.cache_clear()


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_392"', 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Dx=1\nopenjdk version "25.0.1" 2025-10-21', 25),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
    ],
)
def test_versions(output: str, version: int | None) -> None:
    assert java_version(output) == version


def fake_java(folder: Path, says: str) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\ncat >&2 <<'SAYS'\n{says}\nSAYS\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("says", "found"),
    [('java version "1.8.0_392"', "is Java 8"), ("Unable to locate a Java Runtime.", "Unable to locate")],
)
def test_an_unfit_java_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str, found: str
) -> None:
    fake_java(tmp_path, says)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError) as caught:
        java()
    assert found in caught.value.found
    assert "openjdk-17-jre-headless" in str(caught.value.repair)


def test_no_java_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="No java on PATH"):
        java()


def test_java_home_goes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = fake_java(tmp_path, 'openjdk version "21" 2023-09-19')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert java() == str(program)
