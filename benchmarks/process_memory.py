"""Memory of a stack's processes, by what they are: each server with its children, the job's driver and executor.

Linux only, out of /proc. Pages that processes share are split among them (PSS), so sums count them once.

A JVM may fill its heap up to -Xmx before it collects, and that is no leak. So its heap is read apart: what lies outside
of it must stay flat, and so must what is alive in it after a full collection.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from streamops.stack import process
from streamops.stack.process import Folder

_MB = 2**20
#: HotSpot puts a heap of less than 4 GB right below this address: 32-bit pointers then need no shift.
_HEAP_END = 2**32
_XMX = re.compile(r"-Xmx(\d+)([mMgG])")
_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) ")
#: `jcmd PID GC.heap_info`: one line for G1, one for each generation of the serial collector.
_USED = re.compile(r"^ *(?:garbage-first heap|def new generation|tenured generation).* used (\d+)K", re.MULTILINE)


@dataclass(frozen=True)
class Reading:
    """Memory of one role's processes at one time, MB. `heap_mb` is None without a JVM."""

    processes: int
    rss_mb: float
    pss_mb: float
    heap_mb: float | None

    @property
    def outside_mb(self) -> float:
        """What is not Java heap."""
        return self.pss_mb - (self.heap_mb or 0.0)


def read(folder: Folder) -> dict[str, Reading]:
    """The processes of a stack as they are now, by role."""
    by_role: dict[str, list[Reading]] = defaultdict(list)
    for role, one in _roles(folder):
        try:
            full = one.memory_full_info()
            heap_mb = _heap_mb(one)
        except (psutil.Error, OSError):
            continue  # it ended in the meantime
        by_role[role].append(Reading(1, full.rss / _MB, full.pss / _MB, heap_mb))
    return {role: _sum(readings) for role, readings in by_role.items()}


def live_heaps(folder: Folder) -> dict[str, float]:
    """MB alive in the heap of each JVM after a full collection; empty without a JDK, which brings `jcmd`."""
    jcmd = shutil.which("jcmd")
    if jcmd is None:
        return {}
    found = {}
    for role, one in _roles(folder):
        if one.name() != "java":
            continue
        said = [
            subprocess.run([jcmd, str(one.pid), *order], capture_output=True, text=True, check=False, timeout=60).stdout
            for order in (["GC.run"], ["GC.heap_info"])
        ]
        if used := _USED.findall(said[1]):
            found[role] = sum(map(int, used)) / 1024
    return found


def _roles(folder: Folder) -> Iterator[tuple[str, psutil.Process]]:
    for one in process.members(folder):
        try:
            line = " ".join(one.cmdline())
            server = one.environ().get(process.SERVER_MARK, "")
        except (psutil.Error, OSError):
            continue
        if line:
            yield _role(line, one.name(), server), one


def _role(line: str, name: str, server: str) -> str:
    kind = "JVM" if name == "java" else "Python"
    if "DriverWrapper" in line or "direct_stream.py" in line:
        return f"driver ({kind})"
    if "CoarseGrainedExecutorBackend" in line or "pyspark.daemon" in line:
        return f"executor ({kind})"
    return server


def _heap_mb(one: psutil.Process) -> float | None:
    if one.name() != "java" or (limit := _XMX.search(" ".join(one.cmdline()))) is None:
        return None
    begin = _HEAP_END - int(limit[1]) * (_MB if limit[2] in "mM" else 1024 * _MB)
    return _pss_kb_between(Path(f"/proc/{one.pid}/smaps").read_text("utf-8").splitlines(), begin, _HEAP_END) / 1024


def _pss_kb_between(smaps: Iterable[str], begin: int, end: int) -> int:
    inside, total = False, 0
    for line in smaps:
        if mapping := _MAPPING.match(line):
            inside = begin <= int(mapping[1], 16) and int(mapping[2], 16) <= end
        elif inside and line.startswith("Pss:"):
            total += int(line.split()[1])
    return total


def _sum(readings: list[Reading]) -> Reading:
    heaps = [reading.heap_mb for reading in readings if reading.heap_mb is not None]
    return Reading(
        len(readings),
        sum(reading.rss_mb for reading in readings),
        sum(reading.pss_mb for reading in readings),
        sum(heaps) if heaps else None,
    )
