from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamops.cli import main as command
from streamops.errors import UnavailableError

DECLARED = """
version: 1
topics: {lines: {partitions: 1, replication: 1}}
defaults: {approach: direct, topics: [lines], transform: word_count, sink: {type: parquet}}
pipelines:
  away: {connections: {storage: elsewhere}}
  here: {}
"""


@pytest.fixture(autouse=True)
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pipelines, of which one keeps its state where nothing listens."""
    (tmp_path / "pipelines.yaml").write_text(DECLARED)
    monkeypatch.setenv("STREAMOPS_PIPELINES", str(tmp_path / "pipelines.yaml"))
    for conn_id, extra in (("streamops_storage", {"url": f"file://{tmp_path}"}),
                           ("elsewhere", {"url": "hdfs://127.0.0.1:1/streams", "options": {"port": 1}})):
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "generic", "extra": extra}))
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT",
                       "spark://spark%3A%2F%2F127.0.0.1:1?deploy-mode=cluster&rest-port=1")


@pytest.mark.parametrize("arguments", [("list", "--json"), ("kill", "driver-1")])
def test_storage_that_is_away_hides_no_other_pipeline(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["drivers", *arguments])
    assert ended.value.code == UnavailableError.exit_code
    shown = capsys.readouterr()
    assert "hdfs://127.0.0.1:1/streams/away" in shown.err, "also who looks for one driver learns what was not looked at"
    if arguments[0] == "list":
        assert json.loads(shown.out) == []
