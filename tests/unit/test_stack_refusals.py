"""What the stack says, and keeps, of settings that hold secrets."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from streamops.errors import RefusedError
from streamops.stack import jars, ports
from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack
from streamops.stack.starting import Starter

URL = "postgresql://airflow:hunter2@127.0.0.1/airflow"


@pytest.fixture
def no_server_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are written and compared before any server starts; that is all that is looked at here."""
    monkeypatch.setattr(Starter, "run", lambda *_: None)
    monkeypatch.setattr(jars, "ensure", lambda *_: None)
    monkeypatch.setattr(ports, "require_free", lambda *_: None)


@pytest.mark.usefixtures("no_server_is_started")
def test_a_databases_password_is_neither_shown_nor_readable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stack = Stack(StackSettings(data=tmp_path))
    stack.up(["spark-master"])
    assert stat.S_IMODE(stack.settings.running_file.stat().st_mode) == 0o600
    monkeypatch.setattr(Stack, "pid", lambda _self, name: 1 if name == "spark-master" else None)
    changed = Stack(StackSettings(data=tmp_path, airflow_database=URL, kafka_heap_mb=512))
    with pytest.raises(RefusedError) as refused:
        changed.up(["spark-worker"])
    assert "airflow_database" in str(refused.value)
    assert "kafka_heap_mb (384 → 512)" in str(refused.value)
    assert "hunter2" not in str(refused.value)
