"""The trigger form of the DAG `lifecycle`: what it offers, and what it refuses before anything starts."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from streamops.settings import project_root

DECLARED = """
version: 1
topics: {lines: {partitions: 1, replication: 1}}
defaults: {transform: word_count, sink: {type: parquet}}
pipelines:
  lines: {approach: direct, topics: [lines]}
  words: {approach: direct, topics: [lines]}
  archive: {source: folder, folder: {path: /data/archive, mode: batch}}
"""


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "pipelines.yaml").write_text(DECLARED)
    monkeypatch.setenv("STREAMOPS_PIPELINES", str(tmp_path / "pipelines.yaml"))
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(project_root() / "dags" / "lifecycle.py"), collect_dags=True)
    assert not bag.import_errors
    return deepcopy(bag.dags["lifecycle"].params)


def validated(params: Any, given: dict[str, object]) -> Any:
    """What a run with this configuration would get."""
    params.update(given)
    return params.validate()


def test_pipelines_are_choices_but_for_those_that_end_by_themselves(params: Any) -> None:
    assert params.get_param("pipelines").schema["examples"] == ["lines", "words"]
    assert params.get_param("action").schema["enum"] == ["start", "stop", "restart", "pause", "resume",
                                                         "upgrade"]


@pytest.mark.parametrize("given", [
    pytest.param({"pipelines": ["lines", "words"]}, id="the common case: names alone"),
    pytest.param({"pipelines": ["lines"], "action": "pause", "why": "new disks"}, id="a pause with its reason"),
    pytest.param({"pipelines": ["lines"], "action": "stop", "within_s": 0.5}, id="a limit"),
])
def test_what_is_taken(params: Any, given: dict[str, object]) -> None:
    assert validated(params, given)["pipelines"] == given["pipelines"]


@pytest.mark.parametrize(("given", "expected"), [
    pytest.param({}, "non-empty", id="no pipeline"),
    pytest.param({"pipelines": ["lines", "wrods"]}, "'wrods' is not one of", id="a wrong name"),
    pytest.param({"pipelines": ["archive"]}, "'archive' is not one of", id="one that ends by itself"),
    pytest.param({"pipelines": ["lines"], "action": "explode"}, "'explode' is not one of", id="a wrong action"),
    pytest.param({"pipelines": ["lines"], "within_s": -1}, "minimum of 0", id="a wrong limit"),
])
def test_what_is_refused(params: Any, given: dict[str, object], expected: str) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError, match=expected):
        validated(params, given)
