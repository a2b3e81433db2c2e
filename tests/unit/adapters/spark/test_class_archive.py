"""The archive of classes: what its name says, and which JVMs are told of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamops.adapters.spark import class_archive
from streamops.errors import ConfigurationError
from streamops.settings import Settings


@pytest.fixture
def spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Spark by name only."""
    home = tmp_path / "spark"
    (home / "jars").mkdir(parents=True)
    for name in ("slf4j-api-2.0.17.jar", "spark-core_2.13-4.2.0.jar"):
        (home / "jars" / name).write_text(name)
    monkeypatch.setenv("SPARK_HOME", str(home))
    monkeypatch.delenv("SPARK_CONF_DIR", raising=False)
    return home


@pytest.fixture
def jars(tmp_path: Path) -> list[Path]:
    found = [tmp_path / name for name in ("connector.jar", "receiver.jar")]
    for jar in found:
        jar.write_text(jar.name)
    return found


def test_the_class_path_begins_as_sparks_launcher_begins_it(spark: Path, jars: list[Path]) -> None:
    parts = class_archive.class_path(jars).split(":")
    assert parts == [*map(str, jars), f"{spark}/conf", f"{spark}/jars/slf4j-api-2.0.17.jar", f"{spark}/jars/*"]


def test_its_name_says_all_that_java_compares(spark: Path, jars: list[Path], tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path)

    def name() -> str:
        return class_archive.path(settings, jars).name

    names = [name()]
    assert name() == names[0]
    os.utime(jars[0], (1, 1))
    names.append(name())
    (spark / "jars" / "spark-core_2.13-4.2.0.jar").write_text("another build")
    names.append(name())
    (spark / "jars" / "added.jar").touch()
    names.append(name())
    names.append(class_archive.path(settings, jars[:1]).name)
    assert len(set(names)) == len(names)


def test_java_is_told_of_an_archive_that_is_there(spark: Path, jars: list[Path], tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path / "a b")
    assert class_archive.java_option(settings, jars) is None
    archive = class_archive.path(settings, jars)
    archive.parent.mkdir(parents=True)
    archive.touch()
    assert class_archive.java_option(settings, jars) == f'"-XX:SharedArchiveFile={archive}"'


def test_without_a_spark_here_java_is_told_nothing(
    jars: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an Airflow that hands its jobs to a spark-submit which finds its Spark itself."""
    monkeypatch.delenv("SPARK_HOME", raising=False)
    monkeypatch.setattr(class_archive, "spark_home", without_spark)
    assert class_archive.java_option(Settings.load(home=tmp_path), jars) is None


def without_spark() -> Path:
    raise ConfigurationError("no Spark", "")
