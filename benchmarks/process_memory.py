"""Memory of a stack's processes, by what they are: each server with its children, the job's driver and executor.

Linux only, out of /proc. Pages that processes share are split among them (PSS), so sums count them once. What must stay
flat is anonymous memory: the pages of libraries weigh more on each process when another one that shares them ends.

A JVM may fill its heap up to -Xmx before it collects, and compiles code into its code cache (240 MB at most) for as
long as new code gets hot, which takes an hour where processors are few. Neither is a leak. So both are read apart: what
lies outside of them must stay flat, and so must what is alive in the heap after a full collection.

Airflow forks its task workers when the scheduler starts, and each grows once, by what its first task imports, tasks
being minutes apart. So of these the largest stands for all: it grows when a worker grows from task to task.
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
_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+)")
#: Only compiled code is mapped to be written and to be run.
_CODE = "rwxp"
TASK_WORKER = "task worker (max)"
#: A line of `jcmd PID GC.class_histogram`, which collects in full before it counts: rank, objects, bytes, class.
_ALIVE = re.compile(r"^ *\d+: +\d+ +(\d+) +(\S+)", re.MULTILINE)
#: Collections of one reading, a second apart: a batch in flight holds some MB, and is not in all of them.
_COLLECTIONS = 3


@dataclass(frozen=True)
class Reading:
    """Memory of one role's processes at one time, MB. `heap_mb` and `code_mb` are None without a JVM."""

    processes: int
    rss_mb: float
    pss_mb: float
    anonymous_mb: float
    heap_mb: float | None
    code_mb: float | None

    @property
    def outside_mb(self) -> float:
        """Anonymous memory that is neither Java heap nor compiled code."""
        return self.anonymous_mb - (self.heap_mb or 0.0) - (self.code_mb or 0.0)


def read(folder: Folder) -> dict[str, Reading]:
    """The processes of a stack as they are now, by role."""
    by_role: dict[str, list[Reading]] = defaultdict(list)
    for role, one in _roles(folder):
        try:
            full = one.memory_full_info()
            anonymous_mb = _anonymous_mb(one)
            heap_mb, code_mb = _jvm_mb(one)
        except (psutil.Error, OSError):
            continue  # it ended in the meantime
        by_role[role].append(Reading(1, full.rss / _MB, full.pss / _MB, anonymous_mb, heap_mb, code_mb))
    return {
        role: max(readings, key=lambda reading: reading.pss_mb) if role == TASK_WORKER else _sum(readings)
        for role, readings in by_role.items()
    }


@dataclass(frozen=True)
class LiveHeap:
    """What a JVM's heap holds after a full collection: MB by class."""

    by_class_mb: dict[str, float]

    @property
    def mb(self) -> float:
        return sum(self.by_class_mb.values())

    def growth_since(self, before: LiveHeap, most: int = 3) -> list[tuple[str, float]]:
        """The classes that grew most, and by how many MB."""
        grown = [(name, mb - before.by_class_mb.get(name, 0.0)) for name, mb in self.by_class_mb.items()]
        return sorted(grown, key=lambda each: -each[1])[:most]


def live_heaps(folder: Folder) -> dict[str, LiveHeap]:
    """What is alive in each JVM's heap, the least of a few collections; empty without a JDK, which brings `jcmd`."""
    jcmd = shutil.which("jcmd")
    if jcmd is None:
        return {}
    least: dict[str, LiveHeap] = {}
    for role, one in [*_roles(folder)] * _COLLECTIONS:
        try:
            if one.name() != "java":
                continue
        except psutil.Error:
            continue  # it ended in the meantime
        order = [jcmd, str(one.pid), "GC.class_histogram"]
        said = subprocess.run(order, capture_output=True, text=True, check=False, timeout=60).stdout
        found = LiveHeap({name: int(size) / _MB for size, name in _ALIVE.findall(said)})
        if found.by_class_mb and (role not in least or found.mb < least[role].mb):
            least[role] = found
    return least


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
    return TASK_WORKER if "LocalExecutor" in line else server


def _anonymous_mb(one: psutil.Process) -> float:
    for line in Path(f"/proc/{one.pid}/smaps_rollup").read_text("utf-8").splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) / 1024
    raise psutil.NoSuchProcess(one.pid)  # it has ended, and reads as empty


def _jvm_mb(one: psutil.Process) -> tuple[float | None, float | None]:
    """Resident heap and compiled code of a JVM."""
    if one.name() != "java" or (limit := _XMX.search(" ".join(one.cmdline()))) is None:
        return None, None
    begin = _HEAP_END - int(limit[1]) * (_MB if limit[2] in "mM" else 1024 * _MB)
    return _split(Path(f"/proc/{one.pid}/smaps").read_text("utf-8").splitlines(), begin)


def _split(smaps: Iterable[str], heap_begin: int) -> tuple[float, float]:
    where, found_kb = "", {"heap": 0, "code": 0}
    for line in smaps:
        if mapping := _MAPPING.match(line):
            in_heap = heap_begin <= int(mapping[1], 16) and int(mapping[2], 16) <= _HEAP_END
            where = "heap" if in_heap else "code" if mapping[3] == _CODE else ""
        elif where and line.startswith("Pss:"):
            found_kb[where] += int(line.split()[1])
    return found_kb["heap"] / 1024, found_kb["code"] / 1024


def _sum(readings: list[Reading]) -> Reading:
    return Reading(
        len(readings),
        sum(reading.rss_mb for reading in readings),
        sum(reading.pss_mb for reading in readings),
        sum(reading.anonymous_mb for reading in readings),
        _sum_of(reading.heap_mb for reading in readings),
        _sum_of(reading.code_mb for reading in readings),
    )


def _sum_of(parts: Iterable[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if known else None
