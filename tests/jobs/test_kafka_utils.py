"""Programs as people wrote them for Spark 2, submitted as docs/kafka-utils.md says, against real brokers.

They lie in old_programs/, and only the import of KafkaUtils is new. STREAMOPS_TEST_SEED repeats the kills' moments.
"""

from __future__ import annotations

import ast
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError

from streamops.adapters.spark.install import spark_home
from streamops.settings import Settings
from streamops.stack import receiver_jar
from streamops.stack.jars import connector_jars, ensure
from streamops.stack.java import java
from streamops.stack.settings import StackSettings

if TYPE_CHECKING:
    from .conftest import Topics

PROGRAMS = Path(__file__).parent / "old_programs"
JOBS = Path(__file__).parents[2] / "jobs"
SEED = int(os.environ.get("STREAMOPS_TEST_SEED", "0")) or random.randrange(1, 10**6)
RANGE = re.compile(r"^range ([\d.]+) (\d+) (\d+) (\d+)$", re.MULTILINE)


class Program:
    """A submitted program. What it prints goes to one file, what Spark logs and Python warns of to another."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self._printed, self._logged = folder / "printed", folder / "logged"
        with self._printed.open("wb") as printed, self._logged.open("wb") as logged:
            self._process = subprocess.Popen(
                command, stdout=printed, stderr=logged, env=environment, start_new_session=True
            )

    @property
    def said(self) -> str:
        return self._logged.read_text("utf-8", "replace") + self._printed.read_text("utf-8", "replace")

    def until(self, holds: Callable[[], bool], what: str, timeout_s: float = 240) -> None:
        deadline = time.monotonic() + timeout_s
        while not holds():
            assert self._process.poll() is None, f"{what}: the program ended:\n{self.said[-6000:]}"
            assert time.monotonic() < deadline, f"{what} did not happen in {timeout_s:.0f} s:\n{self.said[-6000:]}"
            time.sleep(0.2)

    def ended(self, timeout_s: float = 240) -> int:
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """As when the machine goes: driver, Python and workers at once."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)


Submit = Callable[..., Program]


@pytest.fixture(scope="module")
def jars(say: Callable[[str], None]) -> str:
    settings = Settings.load()
    return ",".join(map(str, [*connector_jars(settings.jars), receiver_jar.ensure(settings, say)]))


@pytest.fixture
def submit(jars: str, tmp_path: Path) -> Iterator[Submit]:
    started: list[Program] = []

    def run(program: str, *arguments: str, cores: int = 2, **conf: str) -> Program:
        command = [str(spark_home() / "bin" / "spark-submit"), "--master", f"local[{cores}]"]
        command += ["--py-files", str(JOBS / "kafka_utils.py"), "--jars", jars]
        settings = {"spark.ui.enabled": "false", "spark.driver.bindAddress": "127.0.0.1", **conf}
        for name, value in settings.items():
            command += ["--conf", f"{name}={value}"]
        command += [str(PROGRAMS / program), *arguments]
        environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
        environment["JAVA_HOME"] = str(Path(java()).resolve().parents[1])
        environment.pop("PYTHONPATH", None)  # the program must find kafka_utils by --py-files
        folder = tmp_path / f"program-{len(started)}"
        folder.mkdir()
        started.append(Program(command, folder, environment))
        return started[-1]

    yield run
    for program in started:
        program.kill()


def printed_counts(program: Program) -> Counter[str]:
    """What pprint showed, summed over all batches."""
    total: Counter[str] = Counter()
    for line in re.findall(r"^\('.*', \d+\)$", program.said, re.MULTILINE):
        word, count = ast.literal_eval(line)
        total[word] += count
    return total


def printed_ranges(text: str) -> dict[int, list[tuple[int, int]]]:
    """(from, until) of each partition, in the order of the batches."""
    found: dict[int, list[tuple[float, int, int]]] = defaultdict(list)
    for batch, partition, first, until in RANGE.findall(text):
        found[int(partition)].append((float(batch), int(first), int(until)))
    return {partition: [batch[1:] for batch in sorted(batches)] for partition, batches in found.items()}


@pytest.mark.long
def test_word_count_through_create_stream(submit: Submit, topics: Topics) -> None:
    topic = topics.create(partitions=2)
    topics.send(topic, [b"one two two"] * 50, partition=0)
    program = submit("kafka_wordcount.py", topics.bootstrap, topic)
    program.until(lambda: printed_counts(program) == {"one": 50, "two": 100}, "the first counts")
    topics.send(topic, ["drei Grüße".encode()] * 30, partition=1)
    expected = {"one": 50, "two": 100, "drei": 30, "Grüße": 30}
    program.until(lambda: printed_counts(program) == expected, "the second counts")
    assert "auto.offset.reset=smallest: write auto.offset.reset=earliest" in program.said
    assert "fetch.message.max.bytes=2097152: write max.partition.fetch.bytes=2097152" in program.said
    assert "kafka_wordcount.py:" in program.said.split("FutureWarning: Kafka settings")[0].splitlines()[-1]


def test_word_count_through_create_direct_stream_with_its_offset_ranges(submit: Submit, topics: Topics) -> None:
    topic = topics.create(partitions=2)
    topics.send(topic, [b"one two two"] * 50, partition=0)
    conf = {"spark.streaming.kafka.maxRatePerPartition": "20"}
    program = submit("direct_kafka_wordcount.py", topics.bootstrap, topic, **conf)
    program.until(lambda: printed_counts(program) == {"one": 50, "two": 100}, "the first counts")
    topics.send(topic, [b"three"] * 10, partition=1)
    with KafkaProducer(bootstrap_servers=topics.bootstrap) as producer:
        producer.send(topic, None, key=b"a", partition=1)
    expected = {"one": 50, "two": 100, "three": 10, "deleted a": 1}
    program.until(lambda: printed_counts(program) == expected, "the second counts")
    topics.admin.create_partitions({topic: 3})
    time.sleep(1)  # the producer looks for new partitions every half a second
    topics.send(topic, [b"four"] * 5, partition=2)
    program.until(lambda: printed_counts(program)["four"] == 5, "the counts of the new partition")
    ranges = printed_ranges(program.said)
    moved = [(first, until) for first, until in ranges[0] if until > first]
    assert moved == [(0, 20), (20, 40), (40, 50)], "twenty a second, a batch a second"
    assert sum(until - first for first, until in ranges[1]) == 11
    assert f"OffsetRange(topic: {topic}, partition: 0, range: [0 -> 20])" in program.said
    assert "seen True" in program.said
    assert "seen False" not in program.said
    assert f"metadata.broker.list={topics.bootstrap}: write bootstrap.servers={topics.bootstrap}" in program.said


def state(output: Path) -> dict[str, int]:
    """What the last batch saved."""
    files = sorted(output.glob("*.json"), key=lambda path: int(path.stem))
    return json.loads(files[-1].read_text("utf-8")) if files else {}


@pytest.mark.long
def test_a_direct_stream_goes_on_from_its_checkpoint_after_kill_9(
    submit: Submit, topics: Topics, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    topic = topics.create(partitions=2)
    output = tmp_path / "output"
    output.mkdir()
    arguments = ("direct", topics.bootstrap, topic, (tmp_path / "checkpoint").as_uri(), str(output))
    conf = {"spark.streaming.backpressure.enabled": "true", "spark.streaming.backpressure.initialRate": "40"}
    sent: Counter[str] = Counter()
    runs: list[dict[int, list[tuple[int, int]]]] = []

    def send(count: int) -> None:
        for partition in range(2):
            lines = [f"w{chance.randrange(20)} w{chance.randrange(20)}" for _ in range(count)]
            topics.send(topic, [line.encode() for line in lines], partition=partition)
            sent.update(word for line in lines for word in line.split(" "))

    send(100)
    for round_ in range(2):
        program = submit("recoverable_wordcount.py", *arguments, **conf)
        counted = sum(state(output).values())
        program.until(lambda was=counted: sum(state(output).values()) > was, "the first batch")
        for _ in range(5):
            send(20)
            time.sleep(chance.uniform(0, 0.6))
        program.kill()
        runs.append(printed_ranges(program.said))
        send(50)
        assert ("Creating new context" in program.said) == (round_ == 0)
    program = submit("recoverable_wordcount.py", *arguments, **conf)
    send(50)
    program.until(lambda: sum(state(output).values()) >= sum(sent.values()), "all records are counted")
    assert state(output) == dict(sent), f"seed {SEED}"
    runs.append(printed_ranges(program.said))
    assert sum(batches[0][1] for batches in runs[0].values()) <= 40, "back-pressure begins with the initial rate"
    for run in runs:
        for batches in run.values():
            assert all(before[1] == after[0] for before, after in pairwise(batches)), batches
    for before, after in pairwise(runs):
        for partition in after:
            assert after[partition][0][0] <= before[partition][-1][1], "a run goes on where the last one was killed"


def test_receivers_with_the_write_ahead_log_lose_nothing_to_kill_9(
    submit: Submit, topics: Topics, tmp_path: Path
) -> None:
    topic = topics.create(partitions=2)
    output = tmp_path / "output"
    output.mkdir()
    arguments = ("receiver", topics.bootstrap, topic, (tmp_path / "checkpoint").as_uri(), str(output))
    conf = {"spark.streaming.receiver.writeAheadLog.enable": "true"}
    topics.send(topic, [b"a b"] * 100, partition=0)
    program = submit("recoverable_wordcount.py", *arguments, cores=4, **conf)  # two receivers take a core each
    program.until(lambda: sum(state(output).values()) == 200, "the first counts")
    chance = random.Random(SEED)
    expected = {f"c{number}" for number in range(200)}
    for number in range(0, 200, 20):
        topics.send(topic, [f"a c{n}".encode() for n in range(number, number + 20)], partition=1)
        time.sleep(chance.uniform(0, 0.2))
    program.kill()
    program = submit("recoverable_wordcount.py", *arguments, cores=4, **conf)
    topics.send(topic, [b"d"] * 10, partition=0)
    program.until(lambda: expected | {"d"} <= state(output).keys(), f"all records are counted (seed {SEED})")
    # What was stored and not yet committed when the program was killed comes twice; what was committed before, once.
    counts = state(output)
    assert counts["b"] == 100
    assert counts["a"] == 100 + sum(counts[word] for word in expected)
    assert "Creating new context" not in program.said


@pytest.mark.long
def test_a_receiver_that_cannot_go_on_ends_the_program(submit: Submit, topics: Topics) -> None:
    topic = topics.create()
    topics.send(topic, [b"x"] * 5)
    topics.admin.alter_group_offsets(
        f"wordcount-{topic}", {TopicPartition(topic, 0): OffsetAndMetadata(1000, "", -1)}
    )
    program = submit("kafka_wordcount.py", topics.bootstrap, topic)
    assert program.ended() != 0
    assert f"{topic}-0 was read up to offset 1000 and now ends at 5: the topic was made again" in program.said


@pytest.mark.long
def test_what_cannot_work_says_what_to_correct(submit: Submit, topics: Topics, tmp_path: Path) -> None:
    topic = topics.create()
    topics.send(topic, [b"x"] * 10)
    topics.admin.delete_records({TopicPartition(topic, 0): 5})
    go_on = tmp_path / "go on"
    program = submit("mistakes.py", topics.bootstrap, topic, "127.0.0.1:1", str(go_on))
    program.until(lambda: f"waiting for {go_on}" in program.said, "the RDD of five records")
    topics.admin.delete_records({TopicPartition(topic, 0): 10})
    go_on.touch()
    assert program.ended() == 0, program.said[-3000:]
    errors = "KafkaUtilsError|TypeError|Py4JJavaError|passed"
    said = dict(re.findall(rf"^([a-z-]+) ((?:{errors}).*)$", program.said, re.MULTILINE))
    expected = {
        "no-topic-direct": "There is no topic nowhere at",
        "no-topic-stream": "There is no topic nowhere at",
        "no-partition": f"There is no partition {topic}-7 at",
        "no-brokers": "Pass {'bootstrap.servers': 'host:9092,…'}",
        "dead-brokers": "No Kafka broker answers at 127.0.0.1:1.",
        "dead-quorum": "Neither a Kafka broker nor ZooKeeper answers at 127.0.0.1:1. Pass the brokers' own addresses",
        "other-topics": "Name each topic in both.",
        "too-early": f"{topic}-0 begins at offset 5; records from 3 on",
        "too-late": f"{topic}-0 ends at offset 10, before the offset at which this program stands, 99",
        "rdd-too-late": f"{topic}-0 ends at offset 10",
        "bad-reset": "auto.offset.reset=beginning: write earliest or latest.",
        "topics-type": "TypeError topics should be dict",
        "fine": "passed",
        "lost": f"{topic}-0: records from offset 5 to 10 are not in Kafka any more",
    }
    assert said.keys() == expected.keys(), program.said[-3000:]
    assert {name: said[name] for name, text in expected.items() if text not in said[name]} == {}


@pytest.fixture(scope="module")
def with_gaps(topics: Topics) -> dict[str, str]:
    """A topic without gaps, one with transactions of which one is aborted, and one that is compacted."""
    made = {
        "plain": topics.create(),
        "transactions": topics.create(),
        "compacted": topics.create(
            **{"cleanup.policy": "compact", "segment.ms": "200", "min.cleanable.dirty.ratio": "0"}
        ),
    }
    with KafkaProducer(bootstrap_servers=topics.bootstrap) as producer:
        for number in range(12):
            producer.send(made["plain"], json.dumps(number).encode(), key=b"k" if number % 2 else None)
            # All but the last of each key goes.
            producer.send(made["compacted"], json.dumps(number).encode(), key=f"key{number % 3}".encode())
        producer.flush()
        time.sleep(0.5)
        producer.send(made["compacted"], None, key=b"end")  # begins a segment: the active one is not compacted
    producer = KafkaProducer(bootstrap_servers=topics.bootstrap, transactional_id=f"t-{uuid.uuid4().hex}")
    producer.init_transactions()
    for number in range(6):
        producer.begin_transaction()
        producer.send(made["transactions"], json.dumps(number).encode(), key=b"t")
        if number == 3:
            producer.flush()
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    producer.close()
    return made


def records_left(bootstrap: str, topic: str) -> list[int]:
    """Offsets of what the topic holds."""
    at = TopicPartition(topic, 0)
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    try:
        consumer.assign([at])
        end = consumer.end_offsets([at])[at]
        found: list[int] = []
        while consumer.position(at) < end:
            found += [record.offset for record in consumer.poll(timeout_ms=500).get(at, [])]
        return found
    finally:
        consumer.close()


@pytest.mark.long
def test_from_offsets_with_a_handler_and_decoders_over_topics_with_gaps(
    submit: Submit, topics: Topics, with_gaps: dict[str, str]
) -> None:
    deadline = time.monotonic() + 120
    while records_left(topics.bootstrap, with_gaps["compacted"]) != [9, 10, 11, 12]:
        assert time.monotonic() < deadline, "the topic was not compacted"
        time.sleep(1)
    program = submit("from_offsets.py", topics.bootstrap, *with_gaps.values())

    def handled(topic: str) -> list[list[object]]:
        found = [json.loads(line) for line in re.findall(r"^handled (\[.*)$", program.said, re.MULTILINE)]
        return [record[1:] for record in found if record[0] == with_gaps[topic]]

    def decoded(topic: str) -> list[list[object]]:
        lines = re.findall(rf"^decoded {with_gaps[topic]} (.*)$", program.said, re.MULTILINE)
        return [json.loads(line) for line in lines]

    expected = {
        "plain": [[0, n, "K" if n % 2 else None, n] for n in range(2, 12)],
        # Each transaction is a record and a marker; the one with 3 was aborted.
        "transactions": [[0, 2 * n, "T", n] for n in (1, 2, 4, 5)],
        "compacted": [[0, n, f"KEY{n % 3}", n] for n in (9, 10, 11)] + [[0, 12, "END", None]],
    }
    for topic, records in expected.items():
        program.until(lambda at=topic, all_=records: len(handled(at)) >= len(all_), f"the records of {topic}")
        program.until(lambda at=topic, all_=records: len(decoded(at)) >= len(all_), f"the values of {topic}")
        assert handled(topic) == records
    assert decoded("compacted") == [["key0", 1], ["key1", 2], ["key2", 2], ["end", None]]
    lines = re.findall(r"^rdd (.*)$", program.said, re.MULTILINE)
    assert [json.loads(line) for line in lines] == [["k", "3"], [None, "4"], [None, "8"], ["k", "9"]]
    assert "ranges True 2" in program.said


@pytest.fixture(scope="module")
def zookeeper_kafka(tmp_path_factory: pytest.TempPathFactory, say: Callable[[str], None]) -> Iterator[tuple[str, str]]:
    """ZooKeeper's address with the path below which a Kafka 3.9 is registered, and that broker's own."""
    folder = tmp_path_factory.mktemp("zookeeper")
    settings = StackSettings.on_free_ports(folder)
    jars = ensure("zookeeper_broker", settings.jars, say)
    zookeeper, broker = f"127.0.0.1:{settings.spark_master_port}", f"127.0.0.1:{settings.kafka_port}"
    files = {
        "zookeeper": {
            "dataDir": folder / "zookeeper-data",
            "clientPort": settings.spark_master_port,
            "clientPortAddress": "127.0.0.1",
            "admin.enableServer": "false",
        },
        "broker": {
            "broker.id": 0,
            "zookeeper.connect": f"{zookeeper}/kafka",
            "listeners": f"INSIDE://{broker}",
            "listener.security.protocol.map": "INSIDE:PLAINTEXT",
            "inter.broker.listener.name": "INSIDE",
            "log.dirs": folder / "broker-data",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 1,
            "group.initial.rebalance.delay.ms": 0,
        },
    }
    for name, properties in files.items():
        lines = [f"{key}={value}\n" for key, value in properties.items()]
        (folder / f"{name}.properties").write_text("".join(lines), "utf-8")
    mains = {"zookeeper": "org.apache.zookeeper.server.ZooKeeperServerMain", "broker": "kafka.Kafka"}
    servers = []
    try:
        for name, main in mains.items():
            command = [java(), "-Xmx256m", "-XX:+UseSerialGC", "-cp", f"{jars}/*", main, f"{folder}/{name}.properties"]
            with (folder / f"{name}.log").open("wb") as log:
                servers.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder))
        _await_broker(broker)
        yield f"{zookeeper}/kafka", broker
    finally:
        for server in reversed(servers):
            server.kill()
            server.wait(30)


def _await_broker(address: str, timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            KafkaAdminClient(bootstrap_servers=address).close()
            return
        except (KafkaError, OSError):
            assert time.monotonic() < deadline, f"no broker came up at {address}"
            time.sleep(0.5)


@pytest.mark.long
def test_a_zookeeper_address_leads_to_the_brokers(submit: Submit, zookeeper_kafka: tuple[str, str]) -> None:
    from .conftest import Topics

    quorum, broker = zookeeper_kafka
    there = Topics(broker)
    topic = there.create()
    there.send(topic, [b"one two two"] * 50)
    program = submit("kafka_wordcount.py", quorum, topic)
    program.until(lambda: printed_counts(program) == {"one": 50, "two": 100}, "the counts")
    assert f"{quorum} is ZooKeeper: pass the brokers that are registered there, {broker}" in program.said
    there.close()
    # The same ZooKeeper knows nothing of a Kafka at its root.
    root = submit("kafka_wordcount.py", quorum.removesuffix("kafka"), topic)
    assert root.ended() != 0
    assert "no broker is registered in /brokers/ids" in root.said
