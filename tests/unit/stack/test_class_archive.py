"""An archive that cannot be made is not tried again by each command."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from streamops.adapters.spark import class_archive as archives
from streamops.settings import Settings
from streamops.stack import class_archive


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("connector.jar", "another.jar"):
        (tmp_path / name).touch()
    monkeypatch.setattr(class_archive, "job_jars", lambda _settings: [tmp_path / "connector.jar"])
    return Settings(home=tmp_path)


def test_it_is_tried_once_a_day_and_its_output_stays(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    tries, said = [], []

    def make(*_given: object) -> None:
        tries.append(time.time())
        raise class_archive.NotMadeError("load_classes.py ended with 1:\nno memory left")

    monkeypatch.setattr(class_archive, "_make", make)
    for _ in range(3):
        assert class_archive.ensure(settings, said.append) is None
    failed = archives.folder(settings) / "failed.log"
    assert len(tries) == 1
    assert failed.read_text().endswith("no memory left\n")
    assert [str(failed) in line for line in said] == [False, True, True, True]

    yesterday = time.time() - 86_401
    os.utime(failed, (yesterday, yesterday))
    class_archive.ensure(settings, said.append)
    assert len(tries) == 2


def test_other_jars_are_another_matter(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tries = []

    def make(*_given: object) -> None:
        tries.append(1)
        raise class_archive.NotMadeError("not this time")

    monkeypatch.setattr(class_archive, "_make", make)
    class_archive.ensure(settings, print)
    monkeypatch.setattr(class_archive, "job_jars", lambda _settings: [tmp_path / "another.jar"])
    class_archive.ensure(settings, print)
    assert len(tries) == 2
