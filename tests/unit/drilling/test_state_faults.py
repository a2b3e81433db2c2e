"""Faults in a state directory, on plain files and a plain process."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from streamops.drilling.state_faults import (
    _HALF_A_RECORD,
    _ZEROS,
    CorruptCheckpoint,
    DiskFull,
    TornLog,
    _checkpoint_files,
    _log_files,
    _newest,
)
from streamops.errors import RefusedError

#: Writes a line for each line that it is told, and says whether that went well.
WRITER = """
import sys
for line in sys.stdin:
    try:
        with open(sys.argv[1], "a") as file:
            file.write(line)
        print("written", flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"""
ANY: Any = None


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "file")], text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as running:
        yield running
        running.kill()


def told(writer: subprocess.Popen[str]) -> str:
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write("a line\n")
    writer.stdin.flush()
    return writer.stdout.readline().strip()


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="a limit on another process is Linux's alone")
def test_a_process_writes_to_no_file_until_its_disk_has_room_again(writer: subprocess.Popen[str]) -> None:
    assert told(writer) == "written"
    found = psutil.Process(writer.pid)
    victim = {"pid": writer.pid, "started": found.create_time(), "server": None,
              "limit": found.rlimit(psutil.RLIMIT_FSIZE)[0]}
    gone = {"pid": 2**22 + 1, "started": 0.0, "server": None, "limit": -1}
    full, aim = DiskFull(), {"victims": [victim, gone]}
    full.inject(ANY, aim, ANY)
    assert told(writer) == "File too large"
    full.heal(ANY, aim)
    full.heal(ANY, aim)
    assert told(writer) == "written"


def test_a_damaged_checkpoint_is_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "217"
    file.write_bytes(_ZEROS)
    aim = {"file": str(file), "content": base64.b64encode(b"v1\n{}\n").decode()}
    CorruptCheckpoint().heal(ANY, {"victims": []})  # killed before it was damaged
    CorruptCheckpoint().heal(ANY, aim)
    assert file.read_bytes() == b"v1\n{}\n"
    file.write_bytes(b"what Spark wrote since")
    CorruptCheckpoint().heal(ANY, aim)
    assert file.read_bytes() == b"what Spark wrote since"
    file.unlink()
    CorruptCheckpoint().heal(ANY, aim)
    assert not file.exists()


def test_only_what_was_added_to_a_log_is_taken_from_it(tmp_path: Path) -> None:
    log = tmp_path / "log-1"
    log.write_bytes(b"records" + _HALF_A_RECORD)
    aim = {"victims": [], "torn": [{"file": str(log), "size": len(b"records")},
                                   {"file": str(tmp_path / "dropped"), "size": 7}]}
    TornLog().heal(ANY, {"victims": [], "torn": []})
    TornLog().heal(ANY, aim)
    TornLog().heal(ANY, aim)
    assert log.read_bytes() == b"records"


def test_the_last_file_of_the_open_generation_is_found(tmp_path: Path) -> None:
    for path in ("generations/000001.json", "generations/000002.json", "checkpoint/000001/offsets/9",
                 "checkpoint/000002/offsets/0", "checkpoint/000002/offsets/1", "checkpoint/000002/offsets/.1.crc",
                 "checkpoint/000002/3-1/checkpoint-1700000000000", "checkpoint/000002/3-1/checkpoint-1700.bk",
                 "checkpoint/000002/3-1/receivedData/0/log-1-2"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert {each.name for each in _checkpoint_files(tmp_path)} == {"0", "1", "checkpoint-1700000000000"}
    assert [each.name for each in _log_files(tmp_path, "receivedData/*")] == ["log-1-2"]
    with pytest.raises(RefusedError, match="no such file"):
        _newest(_log_files(tmp_path, "receivedBlockMetadata"))
