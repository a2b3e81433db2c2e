from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from streamops.drilling.open_faults import OpenFaults
from streamops.drills.faults import OpenFault
from streamops.errors import RefusedError

FAULT = OpenFault("a-0001", "driver:pause", "canary", "local", {"victims": []}, "host", 42, 1.5,
                  "2026-11-20T03:00:00.000+00:00")


def test_a_fault_stays_until_it_is_closed_and_the_last_one_is_healed_first(tmp_path: Path) -> None:
    journal = OpenFaults(tmp_path)
    later = replace(FAULT, id="a-0002", opened_at="2026-11-20T03:00:01.000+00:00")
    journal.open(FAULT)
    journal.open(later)
    journal.open(replace(FAULT, aim={"victims": [], "file": "x"}))
    assert [each.id for each in OpenFaults(tmp_path).all()] == ["a-0002", "a-0001"]
    assert journal.all()[1].aim["file"] == "x", "what is noted later replaces what was there"
    journal.close(later)
    journal.close(later)
    assert [each.id for each in journal.all()] == ["a-0001"]


def test_one_drill_at_a_time_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    holding = subprocess.Popen(
        [sys.executable, "-c", "import sys, time; from pathlib import Path; from streamops.drilling.open_faults import "
         "OpenFaults\nwith OpenFaults(Path(sys.argv[1])).alone(): print('held', flush=True); time.sleep(60)",
         str(tmp_path)], stdout=subprocess.PIPE)
    with holding:
        assert holding.stdout is not None
        assert holding.stdout.readline() == b"held\n"
        with pytest.raises(RefusedError, match=f"another drill is at work: process {holding.pid}"), \
                OpenFaults(tmp_path).alone():
            pass
        holding.kill()
    with OpenFaults(tmp_path).alone():
        assert (tmp_path / "drills" / "lock").read_text() == f"process {os.getpid()}"


def test_the_drill_that_goes_on_is_known(tmp_path: Path) -> None:
    journal = OpenFaults(tmp_path)
    assert journal.drill() is None
    with journal.alone():
        journal.mark_drill(12)
    assert OpenFaults(tmp_path).drill() == 12
    journal.mark_drill(None)
    journal.mark_drill(None)
    assert journal.drill() is None


def test_canaries_that_drills_have_started_are_known_until_they_are_stopped(tmp_path: Path) -> None:
    journal = OpenFaults(tmp_path)
    assert journal.started() == []
    journal.mark_started("canary")
    journal.mark_started("canary")
    assert OpenFaults(tmp_path).started() == ["canary"]
    journal.unmark_started("canary")
    journal.unmark_started("canary")
    assert journal.started() == []
