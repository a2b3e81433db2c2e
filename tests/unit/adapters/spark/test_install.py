"""Which Spark is used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamops.adapters.spark.install import spark_home, spark_jars
from streamops.adapters.spark.submission import submit_environment
from streamops.errors import ConfigurationError


@pytest.fixture
def thin_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A Python whose pyspark has neither spark-submit nor jars."""
    (tmp_path / "pyspark").mkdir()
    (tmp_path / "pyspark" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pyspark", raising=False)
    monkeypatch.delenv("SPARK_HOME", raising=False)
    spark_home.cache_clear()
    yield tmp_path / "pyspark"
    spark_home.cache_clear()


def test_the_packages_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_HOME", raising=False)
    assert (spark_home() / "bin" / "spark-submit").is_file()
    assert {path.parent for path in spark_jars()} == {spark_home() / "jars"}
    assert any(path.match("spark-core_*.jar") for path in spark_jars())


def test_spark_home_goes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "spark-core_2.13-4.2.0.jar").touch()
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    assert spark_jars() == [tmp_path / "jars" / "spark-core_2.13-4.2.0.jar"]


def test_a_thin_client_is_no_spark(thin_client: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        spark_home()
    assert str(thin_client) in refused.value.found
    assert spark_jars() == []
    assert "SPARK_HOME" not in submit_environment(), "the spark-submit on PATH is not led astray"
