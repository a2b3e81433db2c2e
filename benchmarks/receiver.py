"""What the receiver costs: beside a bare consumer, without its log, beside the direct job, beside lambdas of Spark 2.

    make bench-receiver    or: .venv/bin/python benchmarks/receiver.py [--rounds 5] [--records 2000000] [--json F]

All figures are ratios of runs in one JVM over one topic. Goals, of which missing one makes the exit code 1:

    store       poll, write-ahead log and commit reach at least 0.3 of a bare KafkaConsumer loop (aim: 0.5)
    word count  of the receiver job is at least 5 times as fast as the old-style program with a receiver and lambdas
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import servers
import spark_process
from streamops.adapters.spark.install import spark_home
from streamops.adapters.spark.receiver_jar import receiver_jar
from streamops.adapters.spark.submission import connector_jars
from streamops.settings import Settings
from streamops.stack.java import java

TOPIC = "overhead"
LEAST_STORE, AIM_STORE, LEAST_LAMBDAS = 0.3, 0.5, 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of all runs (5)")
    parser.add_argument("--records", type=int, default=2_000_000, help="records in the topic (2,000,000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to a file")
    options = parser.parse_args()
    runs = measure(options.rounds, options.records)
    ratios = {
        "store / bare": of_rounds(runs, "store", "bare"),
        "store / store without log": of_rounds(runs, "store", "store without log"),
        "receiver / direct": of_rounds(runs, "receiver", "direct"),
        "receiver / receiver lambdas": of_rounds(runs, "receiver", "receiver lambdas"),
        "receiver / direct lambdas": of_rounds(runs, "receiver", "direct lambdas"),
        "direct / direct lambdas": of_rounds(runs, "direct", "direct lambdas"),
    }
    if options.json:
        options.json.write_text(json.dumps({"ratios": ratios, "runs": runs}, indent=1), "utf-8")
    print(table(runs, ratios, options.records))
    missed = []
    if (store := statistics.median(ratios["store / bare"])) < LEAST_STORE:
        missed.append(f"the receiver stores {store:.2f} of what a bare consumer reads; the floor is {LEAST_STORE}")
    if (lambdas := statistics.median(ratios["receiver / receiver lambdas"])) < LEAST_LAMBDAS:
        missed.append(f"the word count is {lambdas:.1f} times as fast as lambdas; the goal is {LEAST_LAMBDAS:.0f}")
    for each in missed:
        print(f"MISSED: {each}")
    return 1 if missed else 0


def measure(rounds: int, records: int) -> list[dict[str, Any]]:
    """Every run: `{"round": 0, "run": "store", "records_per_s": 500000.0, "log_bytes": …}`."""
    with servers.stack(["kafka"], TOPIC) as stack:
        fed = spark_process.fill(stack, TOPIC, records)
        settings = Settings.load()
        jars = [*connector_jars(settings.jars), receiver_jar(settings)]
        classes = stack.settings.data / "bare"
        compile_bare_loop(classes, jars)
        work = {"records": fed, "rounds": rounds}
        return spark_process.run("receiver_runs.py", stack, TOPIC, [*jars, classes], work, say)


def say(run: dict[str, Any]) -> None:
    servers.say(f"{run['run']:20} {run['records_per_s']:12,.0f} records/s")


def compile_bare_loop(into: Path, jars: list[Path]) -> None:
    """With the compiler that pyspark brings."""
    into.mkdir(parents=True)
    spark = spark_home() / "jars"
    class_path = ":".join(map(str, [*spark.glob("scala-library*.jar"), *jars]))
    source = Path(__file__).with_name("BareLoop.scala")
    command = [java(), "-cp", f"{spark}/*", "scala.tools.nsc.Main", "-d", str(into), "-cp", class_path, str(source)]
    subprocess.run(command, check=True)


def of_rounds(runs: list[dict[str, Any]], ours: str, other: str) -> list[float]:
    """The ratio of two runs' rates in each round."""
    rates: dict[int, dict[str, float]] = defaultdict(dict)
    for run in runs:
        rates[run["round"]][run["run"]] = run["records_per_s"]
    return [each[ours] / each[other] for each in rates.values()]


def table(runs: list[dict[str, Any]], ratios: dict[str, list[float]], records: int) -> str:
    """Everything, for a person: medians, and between what they lie."""
    lines = ["run                     records/s (median)"]
    for name in dict.fromkeys(run["run"] for run in runs):
        rates = [run["records_per_s"] for run in runs if run["run"] == name]
        lines.append(f"{name:20} {statistics.median(rates):20,.0f}")
    lines += ["", "ratio                          median     least      most"]
    for name, found in ratios.items():
        lines.append(f"{name:28} {statistics.median(found):8.2f} {min(found):9.2f} {max(found):9.2f}")
    written = [run["log_bytes"] for run in runs if run["run"] == "store"]
    lines += ["", f"write-ahead log: {statistics.median(written) / records:.0f} bytes a record"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
