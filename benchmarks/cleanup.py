"""A cleanup of a million files on a local disk: listed, judged, taken into quarantine, brought back.

    make bench-cleanup    or: .venv/bin/python benchmarks/cleanup.py [--files 1000000] [--take 50000] [--json F]

One state directory as years leave it: checkpoints of an old generation, output, what dead attempts put aside, temporary
files, write-ahead logs of starts that ended, a batch log. Each phase is a process of its own, its whole life timed; a
broker is up, since a cleanup asks Kafka. Goals for listing and judging, of which missing one makes the exit code 1:

    60 s and 300 MB for 1,000,000 files
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kafka.admin import NewTopic

import servers
from streamops.adapters.connections import connection
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.kafka.broker import Broker
from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack
from streamops.state import batch_log, generations, lease
from streamops.state.batch_log import Entry
from streamops.state.generations import Generation
from streamops.state.lease import Beat, JobState, Lease, Owner, OwnerKind
from streamops.state.offsets import OffsetRange, TopicPartition

MOST_S, MOST_MB, GOAL_FILES = 60.0, 300.0, 1_000_000
TOPIC, PIPELINE = "cleaned", "lines"
AT = "2026-11-20T03:00:00+00:00"
#: Parts of all files: what each kind of file is. The batch log has the rest, at most so many entries.
PARTS = {"checkpoint": 0.55, "output": 0.26, "aside": 0.1, "temporary": 0.05, "segments": 0.03}
MOST_ENTRIES = 10_000
#: Files of one folder, as Spark's state store and our batches make them.
A_FOLDER = 400


@dataclass(frozen=True)
class Phase:
    """One process: how many files it had to do with, its seconds, its peak memory in MB."""

    name: str
    files: int
    seconds: float
    peak_mb: float

    def __str__(self) -> str:
        return (f"{self.name:32} {self.files:>10,} {self.seconds:8.1f} {self.peak_mb:8.0f} "
                f"{self.files / self.seconds:12,.0f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=GOAL_FILES, help="files of the state directory (1,000,000)")
    parser.add_argument("--take", type=int, default=50_000, help="how many to quarantine and bring back (50,000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to a file")
    options = parser.parse_args()
    phases = measure(options.files, options.take)
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in phases]), "utf-8")
    return report(phases, options.files)


def report(phases: list[Phase], files: int) -> int:
    print(f"{'':32} {'files':>10} {'seconds':>8} {'peak MB':>8} {'files/s':>12}")
    for phase in phases:
        print(phase)
    judged = next(phase for phase in phases if phase.name == "listed and judged")
    allowed_s = MOST_S * max(1.0, files / GOAL_FILES)
    missed = []
    if judged.seconds > allowed_s:
        missed.append(f"{judged.files:,} files take {judged.seconds:.1f} s; the goal is {allowed_s:.0f} s")
    if judged.peak_mb > MOST_MB:
        missed.append(f"{judged.files:,} files take {judged.peak_mb:.0f} MB; the goal is {MOST_MB:.0f} MB")
    for each in missed:
        print(f"MISSED: {each}")
    return 1 if missed else 0


def measure(files: int, take: int) -> list[Phase]:
    with stack() as up, tempfile.TemporaryFile("w+") as plan:
        root = up.settings.streams / PIPELINE
        began = time.monotonic()
        made = fill(root, files)
        servers.say(f"{made:,} files made in {time.monotonic() - began:.0f} s")
        phases = [run(up, "listed", made, [sys.executable, "-c", _LIST, str(root)])]
        phases.append(run(up, "listed and judged", made, servers.command("clean", "plan", PIPELINE, "--json"), plan))
        servers.say(str(phases[-1]))
        plan.seek(0)
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as part:
            going = copied(plan, part.write, take)
            part.flush()
            arguments = ("clean", "apply", "--plan", part.name, "--yes", "--json")
            phases.append(run(up, "judged again, into quarantine", going, servers.command(*arguments)))
        phases.append(run(up, "quarantine listed", going, servers.command("clean", "list", PIPELINE, "--json")))
        phases.append(run(up, "brought back", going, servers.command("clean", "restore", PIPELINE)))
        left = sum(1 for _ in (root / ".quarantine").rglob("*") if "/files/" in str(_))
        if left:
            raise SystemExit(f"{left} files stayed in quarantine")
        return phases


#: The listing alone, as a cleanup does it.
_LIST = """
import sys
from streamops.adapters.files.trees import open_tree
print(sum(1 for seen in open_tree("file://" + sys.argv[1]).walk()))
"""


def copied(plan: Any, write: Callable[[str], object], most: int) -> int:
    """The head of a plan and the first so many lines of what goes."""
    count = 0
    for line in plan:
        found = json.loads(line)
        if "place" in found:
            write(line)
        elif count < most and found.get("proof"):
            write(line)
            count += 1
    return count


def run(up: Stack, name: str, files: int, command: list[str], out: Any = subprocess.DEVNULL) -> Phase:
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=out, env={**os.environ, **up.environment()})
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{name} ended with {process.returncode}")
    return Phase(name, files, time.monotonic() - began, used.ru_maxrss / 1024)


@contextmanager
def stack() -> Iterator[Stack]:
    """A broker, with the topic of the one pipeline."""
    with tempfile.TemporaryDirectory(prefix="streamops-benchmark-", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "pipelines.yaml").write_text(json.dumps({  # which is YAML, too
            "version": 1, "topics": {TOPIC: {"partitions": 1, "replication": 1}},
            "pipelines": {PIPELINE: {
                "approach": "receiver", "topics": [TOPIC], "transform": "identity", "sink": {"type": "parquet"},
                "resources": {"executor_cores": 2}, "cleanup": {"min_age_h": 0, "leftover_h": 0}, "run": "manual"}},
        }), "utf-8")
        os.environ["STREAMOPS_PIPELINES"] = str(Path(folder) / "pipelines.yaml")
        made = Stack(StackSettings.on_free_ports(Path(folder) / "stack"), servers.say)
        try:
            made.up(["kafka"])
            servers.streamops(made, "db", "upgrade")
            with Broker.connect(connection("kafka_default", made.environment()), timeout_s=60) as broker:
                broker.admin.create_topics([NewTopic(TOPIC, 1, 1)])
                broker.await_topics({TOPIC: 1})
            yield made
        finally:
            made.down()


def fill(root: Path, count: int) -> int:
    """The state directory; how many files are in it."""
    files, at = StateFiles(root.as_uri()), TopicPartition(TOPIC, 0)
    me = Owner(OwnerKind.SHELL)
    files.write_new(lease.path(9), Lease(PIPELINE, 9, "driver-1", me, "host", 1, AT).to_json())
    files.replace(lease.beat_path(9), Beat(9, AT, JobState.STOPPED).to_json())
    entries = min(MOST_ENTRIES, round(count * (1 - sum(PARTS.values()))))
    for number, approach in ((1, "direct"), (2, "receiver"), (3, "receiver")):
        opened = Generation(PIPELINE, number, approach, {at: (number - 1) * entries}, "benchmark", AT)
        files.write_new(generations.path(number), opened.to_json())
    (root / batch_log.directory(1)).mkdir(parents=True)
    for batch in range(entries):
        entry = Entry(PIPELINE, 1, batch, (OffsetRange(*at, batch, batch + 1),), 1, None, 1, "driver-1", 1, AT, AT, 5)
        (root / batch_log.entry_path(1, batch)).write_text(entry.to_json())
    files.replace(batch_log.head_path(1), json.dumps({"batch": entries - 1}))
    last = Entry(PIPELINE, 2, 0, (OffsetRange(*at, entries, 2 * entries),), 1, None, 1, "driver-1", 1, AT, AT, 5)
    files.write_new(batch_log.entry_path(2, 0), last.to_json())
    made = {name: round(count * part) for name, part in PARTS.items()}
    empty(root / "checkpoint/000001/state/0", made["checkpoint"], "{}.delta")
    empty(root / "output/generation=1", made["output"], "part-{:05d}.snappy.parquet")
    empty(root / "output/_aside", made["aside"], "part-{:05d}.snappy.parquet", folder="1-{}-1")
    empty(root / "checkpoint/000003", made["temporary"], ".{}.delta.6b1f.tmp")
    content = _segments().segment([OffsetRange(*at, entries, entries + 1)])
    empty(root / "checkpoint/000002", made["segments"], "log-{0}000-{0}999", content, "{:06d}-001/receivedData/0")
    return sum(made.values()) + entries + 8


def empty(place: Path, count: int, name: str, content: bytes = b"", folder: str = "{}") -> None:
    """So many files, in folders of 400."""
    for number in range(count):
        if number % A_FOLDER == 0:
            inner = place / folder.format(number // A_FOLDER)
            inner.mkdir(parents=True)
        opened = os.open(f"{inner}/{name.format(number + 1)}", os.O_CREAT | os.O_WRONLY)
        if content:
            os.write(opened, content)
        os.close(opened)


def _segments() -> Any:
    """The tests' writer of segments, byte for byte as Spark's."""
    file = Path(__file__).parents[1] / "tests" / "unit" / "segments.py"
    spec = importlib.util.spec_from_file_location("segments", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
