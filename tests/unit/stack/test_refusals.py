"""What the stack says, and keeps, of settings that hold secrets."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamops.errors import RefusedError
from streamops.stack import jars, ports, process
from streamops.stack.process import Server
from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack
from streamops.stack.starting import Starter

URL = "postgresql://airflow:hunter2@127.0.0.1/airflow"

#: Stands in for a server where all that counts is that it runs.
SLEEPER = Server(
    name="spark-master",
    command=(sys.executable, "-c", "import time; time.sleep(60)"),
    environment=dict(os.environ),
    probe=lambda _started: "fine",
)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stack]:
    """Settings are written and compared before any server starts; that is all that is looked at here."""
    monkeypatch.setattr(Starter, "run", lambda *_: None)
    monkeypatch.setattr(jars, "ensure", lambda *_: None)
    monkeypatch.setattr(ports, "require_free", lambda *_: None)
    made = Stack(StackSettings(data=tmp_path))
    yield made
    process.end(process.members(made.folder), 0)


def test_a_databases_password_is_neither_shown_nor_readable(stack: Stack, tmp_path: Path) -> None:
    stack.up(["spark-master"])
    assert stat.S_IMODE(stack.settings.running_file.stat().st_mode) == 0o600
    process.start(SLEEPER, stack.folder)
    changed = Stack(StackSettings(data=tmp_path, airflow_database=URL, kafka_heap_mb=512))
    with pytest.raises(RefusedError) as refused:
        changed.up(["spark-worker"])
    assert "spark-master" in str(refused.value)
    assert "airflow_database" in str(refused.value)
    assert "kafka_heap_mb (384 → 512)" in str(refused.value)
    assert "hunter2" not in str(refused.value)
