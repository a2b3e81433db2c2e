"""What the direct job costs beside a bare foreachBatch: the same word count, topic, Spark, sink, trigger and limits.

    make bench        or: .venv/bin/python benchmarks/overhead.py [--pairs 7] [--json FILE]

Goals, of which missing one makes the exit code 1:

    throughput    the median of the pairs' ratios (ours / bare, batches of 250,000 records) is at least 0.9
    batch         the batch log and the lease cost less than 100 ms a batch: timed where they are called, and as the
                  upper bound that all we do beside the bare loop gives, over 250 small batches with roll-ups

Absolute times are the machine's; compare the ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import servers
import spark_process
from streamops.adapters.spark.submission import connector_jars
from streamops.settings import Settings
from word_count_plans import Plan

TOPIC = "overhead"
LEAST_RATIO, MOST_MS_A_BATCH = 0.9, 100.0

#: What of our own work is the batch log and the lease; `checkpoint` is reading there which offsets a batch has.
LOG_AND_LEASE = ("lease", "batch_log", "checkpoint")


@dataclass(frozen=True)
class Result:
    """The figures that the goals are about, and what they are made of."""

    ratio: float
    ratios: list[float]
    cpu_ratio: float
    ours_records_per_s: float
    bare_records_per_s: float
    log_and_lease_ms: float
    difference_ms: float
    ours_ms: dict[str, float]

    @property
    def missed(self) -> list[str]:
        """The goals that are missed, in words."""
        found = []
        if self.ratio < LEAST_RATIO:
            found.append(f"throughput is {self.ratio:.3f} of the bare loop's; the goal is {LEAST_RATIO}")
        for what, spent in (("timed", self.log_and_lease_ms), ("by difference", self.difference_ms)):
            if spent >= MOST_MS_A_BATCH:
                found.append(f"batch log and lease cost {spent:.1f} ms a batch {what}; the goal is {MOST_MS_A_BATCH}")
        return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7, help="pairs of runs of large batches (7)")
    parser.add_argument("--small-pairs", type=int, default=3, help="pairs of runs of small batches (3)")
    parser.add_argument("--records", type=int, default=250_000, help="records of a large batch (250,000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to a file")
    options = parser.parse_args()
    plans = [
        Plan("large", records=options.records, batches=9, warm_up=1, pairs=options.pairs),
        Plan("small", records=1_000, batches=260, warm_up=10, pairs=options.small_pairs),
    ]
    pairs = measure(plans)
    result = summary(pairs)
    if options.json:
        options.json.write_text(json.dumps({"result": asdict(result), "pairs": pairs}, indent=1), "utf-8")
    print(table(pairs, result))
    for missed in result.missed:
        print(f"MISSED: {missed}")
    return 1 if result.missed else 0


def measure(plans: list[Plan]) -> list[dict[str, Any]]:
    """Every pair of runs: `{"plan": name, "direct": Run, "bare": Run}`."""
    with servers.stack(["kafka"], TOPIC) as stack:
        spark_process.fill(stack, TOPIC, max(plan.records * plan.batches for plan in plans))
        jars = connector_jars(Settings.load().jars)
        work = {"plans": [asdict(plan) for plan in plans]}
        return spark_process.run("word_count_runs.py", stack, TOPIC, jars, work, check)


def check(pair: dict[str, Any]) -> None:
    """Say how fast both were. Ends the benchmark when they counted differently."""
    ours, bare = pair["direct"], pair["bare"]
    servers.say(
        f"{pair['plan']}: {ours['rate']:,.0f} / {bare['rate']:,.0f} records/s,"
        f" {ours['cpu_s']:.1f} / {bare['cpu_s']:.1f} s of processor time"
    )
    if ours["words"] != bare["words"]:
        raise SystemExit(f"the two counted differently: {ours['words']} and {bare['words']} words")


def summary(pairs: list[dict[str, Any]]) -> Result:
    """The goals' figures: medians over the pairs of each plan."""
    large = [pair for pair in pairs if pair["plan"] == "large"]
    small = [pair for pair in pairs if pair["plan"] == "small"]
    ratios = [pair["direct"]["rate"] / pair["bare"]["rate"] for pair in large]
    parts = sorted({what for pair in small for what in pair["direct"]["ours_ms"]})
    ours_ms = {what: statistics.median(pair["direct"]["ours_ms"].get(what, 0.0) for pair in small) for what in parts}
    return Result(
        ratio=statistics.median(ratios),
        ratios=ratios,
        cpu_ratio=statistics.median(pair["direct"]["cpu_s"] / pair["bare"]["cpu_s"] for pair in large),
        ours_records_per_s=statistics.median(pair["direct"]["rate"] for pair in large),
        bare_records_per_s=statistics.median(pair["bare"]["rate"] for pair in large),
        log_and_lease_ms=sum(ours_ms.get(what, 0.0) for what in LOG_AND_LEASE),
        difference_ms=statistics.median(pair["direct"]["trigger_ms"] - pair["bare"]["trigger_ms"] for pair in small),
        ours_ms=ours_ms,
    )


def table(pairs: list[dict[str, Any]], result: Result) -> str:
    """Everything, for a person."""
    lines = ["batches  pair  records/s: ours       bare   ratio   ms/batch: ours    bare   CPU s: ours   bare  files"]
    for number, pair in enumerate(pairs, 1):
        ours, bare = pair["direct"], pair["bare"]
        ratio = ours["rate"] / bare["rate"]
        lines.append(
            f"{pair['plan']:8} {number:4} {ours['rate']:16,.0f} {bare['rate']:10,.0f} {ratio:7.3f}"
            f" {ours['trigger_ms']:16.1f} {bare['trigger_ms']:7.1f} {ours['cpu_s']:13.1f} {bare['cpu_s']:6.1f}"
            f"  {ours['files']}/{bare['files']}"
        )
    lines += ["", "Milliseconds of a small batch (mean of a run, median of the runs):"]
    lines += [f"  {what:24} {spent:8.2f}" for what, spent in result.ours_ms.items()]
    lines += [
        "",
        f"throughput      {result.ratio:.3f} of a bare foreachBatch (goal {LEAST_RATIO})",
        f"processor time  {result.cpu_ratio:.3f} of a bare foreachBatch's for the same records",
        f"log and lease   {result.log_and_lease_ms:.1f} ms a batch, timed (goal below {MOST_MS_A_BATCH:.0f})",
        f"all of ours     {result.difference_ms:.1f} ms a batch, by difference (goal below {MOST_MS_A_BATCH:.0f})",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
