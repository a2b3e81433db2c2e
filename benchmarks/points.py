"""What a recovery point of very many partitions costs, beside Kafka's own description of the same group.

    make bench-points    or: .venv/bin/python benchmarks/points.py [--runs 5] [--most 50000] [--json F]

Three brokers, topics of 100 partitions, something unprocessed in each. Every run is a new process, as a task of
Airflow's is; the point is timed from the first question to the committed row, without Python's own start. Goals, of
which missing one makes the exit code 1:

    10,000 partitions    at most 1.5 s and 150 MB
    up to 50,000         at most 1.25 times the time a partition
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kafka
from kafka.admin import NewTopic
from kafka.errors import NoError
from kafka.protocol.producer import ProduceRequest
from kafka.record import MemoryRecordsBuilder
from kafka.structs import OffsetAndMetadata

import servers
from streamops.adapters.connections import connection
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.kafka import topic_positions
from streamops.adapters.kafka.broker import Broker
from streamops.stack import jars
from streamops.stack.java import java
from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack
from streamops.state import batch_log, generations
from streamops.state.batch_log import Entry
from streamops.state.generations import Generation
from streamops.state.offsets import OffsetRange, TopicPartition, to_spark_offsets

PER_TOPIC = 100
GOAL_PARTITIONS, MOST_S, MOST_MB, MOST_GROWTH = 10_000, 1.5, 150, 1.25
#: Of 100 bytes each, in one batch in each partition; the pipelines have processed one of them.
RECORDS = 5
#: The last version that names topics.
PRODUCE_VERSION = 12
#: Kafka makes no more than 10,000 metadata records in one go.
TOPICS_AT_ONCE = 50
#: Of one request: what a broker makes of it is one batch of its offsets topic, which has a limit.
COMMITS_AT_ONCE = 5_000
#: What a run must have read of every partition.
WHOLE = ("earliest", "processed", "group_committed", "checkpointed", "latest", "leader_epoch", "latest_at_ms", "lag_s",
         "data_loss_s")
AT = "2026-11-20T03:00:00+00:00"


@dataclass(frozen=True)
class Run:
    """Seconds and the process's peak memory in MB."""

    seconds: float
    peak_mb: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="points of each size (5)")
    parser.add_argument("--most", type=int, default=50_000, help="partitions of the largest pipeline (50,000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to a file")
    parser.add_argument("--take", metavar="PIPELINE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.take:
        return take_one(options.take)
    sizes = sorted({GOAL_PARTITIONS, (GOAL_PARTITIONS + options.most) // 2 // PER_TOPIC * PER_TOPIC, options.most})
    runs = measure(sizes, options.runs)
    if options.json:
        options.json.write_text(json.dumps({key: [vars(run) for run in each] for key, each in runs.items()}), "utf-8")
    return report(sizes, runs)


def measure(sizes: list[int], rounds: int) -> dict[str, list[Run]]:
    """Runs by `10000`, `50000`, … and `described`, which is Kafka's command on the first size; they take turns."""
    runs: dict[str, list[Run]] = defaultdict(list)
    with brokers(sizes) as stack:
        for number in range(rounds + 1):
            for size in sizes:
                found = taken(stack, size)
                describing = described(stack) if size == sizes[0] else None
                if number:  # the first round warms the brokers up
                    runs[str(size)].append(found)
                    runs["described"] += [describing] if describing else []
            servers.say(f"round {number} of {rounds}: {', '.join(f'{key} {each[-1]}' for key, each in runs.items())}")
    return runs


def report(sizes: list[int], runs: dict[str, list[Run]]) -> int:
    middle = {key: statistics.median(run.seconds for run in each) for key, each in runs.items()}
    peak = {key: max(run.peak_mb for run in each) for key, each in runs.items()}
    print(f"{'':24} {'seconds: median':>16} {'least to most':>16} {'peak MB':>8} {'µs a partition':>15}")
    for key, each in runs.items():
        size = sizes[0] if key == "described" else int(key)
        spread = f"{min(run.seconds for run in each):.2f} to {max(run.seconds for run in each):.2f}"
        name = "kafka-consumer-groups" if key == "described" else f"point of {size:,}"
        print(f"{name:24} {middle[key]:16.2f} {spread:>16} {peak[key]:8.0f} {middle[key] / size * 1e6:15.0f}")
    first = str(sizes[0])
    missed = []
    if middle[first] > MOST_S:
        missed.append(f"a point of {sizes[0]:,} partitions takes {middle[first]:.2f} s; the goal is {MOST_S} s")
    if peak[first] > MOST_MB:
        missed.append(f"a point of {sizes[0]:,} partitions takes {peak[first]:.0f} MB; the goal is {MOST_MB} MB")
    for size in sizes[1:]:
        growth = middle[str(size)] / size / (middle[first] / sizes[0])
        if growth > MOST_GROWTH:
            missed.append(f"at {size:,} a partition takes {growth:.2f} times as long as at {sizes[0]:,}; the goal is "
                          f"{MOST_GROWTH}")
    for each in missed:
        print(f"MISSED: {each}")
    return 1 if missed else 0


def taken(stack: Stack, size: int) -> Run:
    """One point, in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--take", f"wide_{size}"], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, **stack.environment()}, check=True)
    return Run(**json.loads(done.stdout))


def take_one(pipeline: str) -> int:
    """What the process of `taken` does: takes one point, and checks that it is whole."""
    from streamops.actions import snapshots
    from streamops.adapters.pipelines.files import declared

    wanted, points = snapshots.chosen(declared(), [pipeline]), snapshots.store()
    points.summaries(pipeline, limit=1)  # whoever takes points has the clients loaded
    began = time.monotonic()
    (found,) = snapshots.take(wanted, points, servers.say)
    seconds = time.monotonic() - began
    rows = found.point.partitions.values()
    unknown = [name for name in WHOLE if any(getattr(row, name) is None for row in rows)]
    points.delete([found.number])  # so that no run finds the last one's timestamps
    if unknown or len(rows) != int(pipeline.removeprefix("wide_")):
        raise SystemExit(f"{pipeline}: {len(rows)} partitions, and unknown in some: {unknown}")
    print(json.dumps({"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
    return 0


def described(stack: Stack) -> Run:
    """Kafka's own command, which shows current offset, end offset and lag of a group."""
    home = stack.settings.jars
    class_path = f"{home / 'broker'}/*:{jars.ensure('tools', home, servers.say)}/*"
    before = time.monotonic()
    tool = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
    process = subprocess.Popen(
        [java(), "-cp", class_path, tool, "--bootstrap-server", stack.settings.bootstrap_servers, "--describe",
         "--group", f"wide_{GOAL_PARTITIONS}", "--timeout", "120000"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    said = process.stdout.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or said.count("wide-") < GOAL_PARTITIONS:
        raise SystemExit(f"kafka-consumer-groups ended with {process.returncode}: {said[:1000]}")
    return Run(time.monotonic() - before, used.ru_maxrss / 1024)


@contextmanager
def brokers(sizes: list[int]) -> Iterator[Stack]:
    """Three brokers with a topic for every 100 partitions, and pipelines that read the first so many of them."""
    with tempfile.TemporaryDirectory(prefix="streamops-benchmark-", ignore_cleanup_errors=True) as folder:
        settings = StackSettings.on_free_ports(Path(folder) / "stack", kafka_brokers=3, kafka_heap_mb=1024)
        stack = Stack(settings, servers.say)
        topics = [f"wide-{number:03d}" for number in range(sizes[-1] // PER_TOPIC)]
        os.environ["STREAMOPS_PIPELINES"] = str(declare(Path(folder), topics, sizes))
        try:
            stack.up(["kafka"])
            servers.streamops(stack, "db", "upgrade")
            kafka_connection = connection("kafka_default", stack.environment())
            with Broker.connect(kafka_connection, timeout_s=120) as broker:
                fill(broker, topics)
                for size in sizes:
                    process(broker, stack, f"wide_{size}", topics[: size // PER_TOPIC])
            yield stack
        finally:
            stack.down()


def declare(folder: Path, topics: list[str], sizes: list[int]) -> Path:
    data: dict[str, Any] = {
        "version": 1,
        "topics": {topic: {"partitions": PER_TOPIC, "replication": 1} for topic in topics},
        "pipelines": {f"wide_{size}": {"approach": "direct", "topics": topics[: size // PER_TOPIC], "run": "manual",
                                       "transform": "identity", "sink": {"type": "parquet"}} for size in sizes},
    }
    file = folder / "pipelines.yaml"
    file.write_text(json.dumps(data), "utf-8")  # which is YAML, too
    return file


def fill(broker: Broker, topics: list[str]) -> None:
    """Make the topics, and put the same batch into every partition."""
    for first in range(0, len(topics), TOPICS_AT_ONCE):
        some = topics[first : first + TOPICS_AT_ONCE]
        broker.admin.create_topics([NewTopic(topic, PER_TOPIC, 1) for topic in some], timeout_ms=60_000)
        broker.await_topics(dict.fromkeys(some, PER_TOPIC), timeout_s=120)
        empty = {TopicPartition(topic, number) for topic in some for number in range(PER_TOPIC)}
        while empty:  # a broker that was just given a partition may not know so yet
            asked = topic_positions.layout(broker, some).by_leader(sorted(empty))
            for answer in broker.ask_each({node: produce(partitions) for node, partitions in asked.items()}).values():
                if isinstance(answer, Exception):
                    raise answer
                empty -= {TopicPartition(topic.name, each.index) for topic in answer.responses
                          for each in topic.partition_responses if not each.error_code}
        servers.say(f"{first + len(some)} of {len(topics)} topics have records")


def produce(partitions: list[TopicPartition]) -> Any:
    batch = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1_000_000)
    for _ in range(RECORDS):
        batch.append(timestamp=round(time.time() * 1000), key=None, value=b"x" * 100)
    batch.close()
    records = bytes(batch.buffer())
    topic_of = ProduceRequest.TopicProduceData
    return ProduceRequest(
        transactional_id=None, acks=1, timeout_ms=60_000, max_version=PRODUCE_VERSION,
        topic_data=[topic_of(name=topic, partition_data=[
            topic_of.PartitionProduceData(index=number, records=records) for number in numbers])
            for topic, numbers in topic_positions.by_topic(partitions)])


def process(broker: Broker, stack: Stack, pipeline: str, topics: list[str]) -> None:
    """What a direct job leaves behind: a generation, a batch in checkpoint and batch log, and its group's offsets."""
    partitions = [TopicPartition(topic, number) for topic in topics for number in range(PER_TOPIC)]
    files = StateFiles(f"{stack.settings.streams.as_uri()}/{pipeline}")
    opened = Generation(pipeline, 1, "direct", dict.fromkeys(partitions, 0), "benchmark", AT)
    files.write_new(generations.path(1), opened.to_json())
    ends = json.dumps(to_spark_offsets(dict.fromkeys(partitions, 1)))
    files.write_new(f"{generations.checkpoint_path(1)}/offsets/0", f"v1\n{{}}\n{ends}")
    ranges = tuple(OffsetRange(*at, 0, 1) for at in partitions)
    entry = Entry(pipeline, 1, 0, ranges, 1, None, 1, "driver-1", 1, AT, AT, 5)
    files.write_new(batch_log.entry_path(1, 0), entry.to_json())
    for first in range(0, len(partitions), COMMITS_AT_ONCE):
        left = {kafka.TopicPartition(*at): OffsetAndMetadata(1, "", -1)
                for at in partitions[first : first + COMMITS_AT_ONCE]}
        while left:  # a broker that has just become the group's may refuse at first
            answer = broker.call(lambda left=left: broker.admin.alter_group_offsets(pipeline, left))
            left = {at: left[at] for at, error in answer.items() if error is not NoError}


if __name__ == "__main__":
    sys.exit(main())
