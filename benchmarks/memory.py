"""Whether memory stays flat while a pipeline is fed: Kafka, Spark, Airflow and the job, by process.

    make soak         or: .venv/bin/python benchmarks/memory.py [--minutes 20] [--rate 5000] [--csv FILE] [--json FILE]

A complete stack of its own, the job started by its DAG, real text fed at a fixed rate. The rule for `flat` is in
memory_trend.py; what is not flat makes the exit code 1, and so does a pipeline that did not keep up. Linux only.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import memory_trend
import process_memory
import python_sources
import servers
from memory_trend import Trend
from process_memory import LiveHeap
from streamops.adapters.airflow.api import AirflowApi
from streamops.stack.stack import Stack

PIPELINE, TOPIC = "soak", "soak"

#: What these hold is not the project's, or is there for the benchmark alone.
NOT_JUDGED = frozenset({"feeder"})

OUTSIDE = "outside heap and code"


@dataclass
class Soak:
    """What was read, and when: seconds since feeding began, memory in MB."""

    warm_up_s: float
    readings: list[tuple[float, dict[str, process_memory.Reading]]] = field(default_factory=list)
    live_heaps: list[tuple[float, dict[str, LiveHeap]]] = field(default_factory=list)
    files: list[tuple[float, dict[str, int]]] = field(default_factory=list)

    def trends(self) -> dict[str, Trend]:
        """The trend of each role that was there to the end; for a JVM, without its heap and compiled code."""
        series = {
            role: [(at_s, seen[role].outside_mb) for at_s, seen in self.readings if role in seen]
            for role in sorted(self.readings[-1][1])
        }
        return {role: memory_trend.trend(each, self.warm_up_s) for role, each in series.items()}

    def heap_trends(self) -> dict[str, Trend]:
        """From the first to the last reading after the warm-up."""
        if not self.live_heaps:
            return {}
        return {
            role: memory_trend.trend([(at_s, seen[role].mb) for at_s, seen in self.live_heaps if role in seen], 0, min)
            for role in sorted(set(self.live_heaps[0][1]) & set(self.live_heaps[-1][1]))
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20, help="how long to feed (20)")
    parser.add_argument("--rate", type=int, default=5000, help="records a second (5,000)")
    parser.add_argument("--every", type=float, default=10, help="seconds between two readings (10)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write every reading to a file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the trends to a file")
    options = parser.parse_args()
    with servers.stack(None, TOPIC) as stack:
        begin_job(stack)
        with fed(stack, options.rate) as stop_feeding:
            soak = watch(stack, options.minutes * 60, options.every)
            counts = stop_feeding()
        if options.csv:
            write_csv(soak, options.csv)
        print(table(soak))
        problems = [*not_flat(soak), *not_kept_up(stack, counts, options.rate)]
        if options.json:
            found = {
                "fed": counts,
                "outside_heap_and_code": soak.trends(),
                "live_heap": soak.heap_trends(),
                "live_heap_readings": [
                    (at_s, {role: heap.mb for role, heap in seen.items()}) for at_s, seen in soak.live_heaps
                ],
                "files": soak.files,
            }
            options.json.write_text(json.dumps(found, indent=1, default=asdict), "utf-8")
    for problem in problems:
        print(f"MISSED: {problem}")
    return 1 if problems else 0


def begin_job(stack: Stack) -> None:
    """Let the pipeline's DAG run, and wait for the first batch, which is an empty one."""
    os.environ.update(stack.environment())
    airflow, dag = AirflowApi.connected(), f"stream_{PIPELINE}"
    _until(lambda: airflow.request("GET", f"/dags/{dag}") is not None, f"Airflow knows {dag}", 120)
    airflow.request("PATCH", f"/dags/{dag}", json={"is_paused": False})

    def deferred() -> bool:
        runs = airflow.request("GET", f"/dags/{dag}/dagRuns")
        tasks = [
            airflow.request("GET", f"/dags/{dag}/dagRuns/{run['dag_run_id']}/taskInstances/driver")
            for run in (runs or {"dag_runs": []})["dag_runs"]
        ]
        return any(task and task["state"] == "deferred" for task in tasks)

    _until(deferred, "the task has seen its job start, and is deferred", 300)
    servers.say("the job runs")


@contextmanager
def fed(stack: Stack, rate: int) -> Iterator[Callable[[], dict[str, Any]]]:
    """Feed the topic meanwhile. Gives a function that ends it and returns what it counted."""
    text = stack.settings.data / "text"
    python_sources.write_lines(text)
    arguments = ["feed", "--topic", TOPIC, "--rate", str(rate), "--repeat", "0", "--json", str(text)]
    with subprocess.Popen(
        servers.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as feeder:

        def stop() -> dict[str, Any]:
            feeder.send_signal(signal.SIGINT)
            counted: dict[str, Any] = json.loads(feeder.communicate(timeout=120)[0])
            return counted

        try:
            yield stop
        finally:
            if feeder.poll() is None:
                feeder.kill()


def watch(stack: Stack, duration_s: float, every_s: float) -> Soak:
    """Read everything every so often; the first quarter of the time is warm-up. Live heaps at each twentieth."""
    soak = Soak(warm_up_s=duration_s / 4)
    began = time.monotonic()
    collections = [duration_s * part / 20 for part in range(5, 20)] + [duration_s - 2 * every_s]
    while (at_s := time.monotonic() - began) < duration_s:
        if collections and at_s >= collections[0]:
            collections.pop(0)
            soak.live_heaps.append((at_s, process_memory.live_heaps(stack.folder)))
        soak.readings.append((at_s, process_memory.read(stack.folder)))
        soak.files.append((at_s, files_of(stack.settings.streams / PIPELINE)))
        if len(soak.readings) % 6 == 1:
            servers.say(f"{at_s:6.0f} s  " + _short(soak))
        time.sleep(max(0.0, began + len(soak.readings) * every_s - time.monotonic()))
    return soak


def files_of(state: Path) -> dict[str, int]:
    """Files in each folder of the state directory, hidden ones included, but the output's, which only grows."""
    folders = {name: state / name for name in ("batch_log", "lease", "drivers", "generations", "checkpoint")}
    found = {name: sum(1 for path in folder.rglob("*") if path.is_file()) for name, folder in folders.items()}
    return {**found, "put aside": len(list((state / "output" / "_aside").glob("*"))), "batches": _batches(state)}


def _batches(state: Path) -> int:
    return sum(1 for _ in (state / "output").glob("generation=*/batch=*"))


def table(soak: Soak) -> str:
    """Everything, for a person. MB; PSS at the end, the trend of what is not heap, the trend of the live heap."""
    heaps, last = soak.heap_trends(), soak.readings[-1][1]
    lines = [
        "                             at the end        anonymous, neither     live heap",
        "process                PSS    heap    code     first    last    MB/h     first    last  verdict",
    ]
    for role, found in soak.trends().items():
        heap = heaps.get(role)
        heap_text = f"{heap.first_mb:8.1f}{heap.last_mb:8.1f}" if heap else " " * 16
        resident = "".join(" " * 8 if mb is None else f"{mb:8.1f}" for mb in (last[role].heap_mb, last[role].code_mb))
        verdict = "not judged" if role in NOT_JUDGED else "flat" if _is_flat(found, heap) else "NOT FLAT"
        lines.append(
            f"{role:21}{last[role].pss_mb:7.1f}{resident}  {found.first_mb:8.1f}{found.last_mb:8.1f}"
            f"{found.slope_mb_per_h:8.1f}  {heap_text}  {verdict}"
        )
    names = soak.files[-1][1]
    lines += ["", "files                first quarter (most)    last quarter (most)"]
    for name in names:
        first, latter = _most(soak, name, 1), _most(soak, name, 4)
        lines.append(f"{name:20} {first:21} {latter:22}")
    return "\n".join(lines)


def _most(soak: Soak, name: str, quarter: int) -> int:
    count = len(soak.files)
    part = soak.files[count * (quarter - 1) // 4 : max(1, count * quarter // 4)]
    return max(files[name] for _, files in part)


def _is_flat(outside: Trend, heap: Trend | None) -> bool:
    return outside.flat and (heap is None or heap.flat)


def not_flat(soak: Soak) -> list[str]:
    """What grew, in words."""
    found = []
    for what, trends in ((OUTSIDE, soak.trends()), ("alive in its heap", soak.heap_trends())):
        for role, each in trends.items():
            if role not in NOT_JUDGED and not each.flat:
                found.append(
                    f"{role} grew from {each.first_mb:.1f} to {each.last_mb:.1f} MB {what}; "
                    f"{each.allowed_mb:.1f} MB more were allowed" + (_grown(soak, role) if what != OUTSIDE else "")
                )
    return found


def _grown(soak: Soak, role: str) -> str:
    first, last = soak.live_heaps[0][1][role], soak.live_heaps[-1][1][role]
    return "; most of it: " + ", ".join(f"{name} {mb:+.1f}" for name, mb in last.growth_since(first))


def not_kept_up(stack: Stack, counts: dict[str, Any], rate: int) -> list[str]:
    """Why the soak says less than it should: it was fed too slowly, or the job fell behind, or lost something."""
    found = []
    fed_rate = counts["acknowledged"] / counts["elapsed_s"]
    if fed_rate < 0.95 * rate:
        found.append(f"only {fed_rate:,.0f} records a second were fed")

    def lag() -> int | None:
        status = json.loads(servers.streamops(stack, "status", PIPELINE, "--json"))
        each: int | None = status["pipelines"][0]["lag_records"]
        return each

    servers.say(f"fed {counts['acknowledged']:,} records, {fed_rate:,.0f} a second; lag now {lag()}")
    try:
        _until(lambda: lag() == 0, "the job has read everything", 60)
    except TimeoutError as error:
        found.append(str(error))
    print(servers.streamops(stack, "verify", PIPELINE))
    return found


def write_csv(soak: Soak, path: Path) -> None:
    """One line a role and time."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["seconds", "process", "processes", "rss_mb", "pss_mb", "anonymous_mb", "heap_mb", "code_mb"])
        for at_s, seen in soak.readings:
            for role, each in sorted(seen.items()):
                sizes = (each.rss_mb, each.pss_mb, each.anonymous_mb, each.heap_mb, each.code_mb)
                texts = ("" if size is None else f"{size:.2f}" for size in sizes)
                writer.writerow([f"{at_s:.1f}", role, each.processes, *texts])


def _short(soak: Soak) -> str:
    files = soak.files[-1][1]
    sizes = ", ".join(f"{role} {each.pss_mb:.0f}" for role, each in sorted(soak.readings[-1][1].items()))
    return f"{files['batches']} batches, {files['batch_log']} log files; MB: {sizes}"


def _until(holds: Callable[[], bool], what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
