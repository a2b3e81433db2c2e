"""`streamops feed` against a real broker: every line is in the topic once, whatever happens to the broker meanwhile."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from streamops.adapters.connections import Connection
from streamops.adapters.kafka.broker import Broker
from streamops.stack.stack import Stack

pytestmark = [
    pytest.mark.integration,
    # kafka-python leaves the sockets of connections that were refused to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

PARTITIONS = 4
MakeTopic = Callable[[str], str]


@pytest.fixture(autouse=True)
def _collect_sockets() -> Iterator[None]:
    """Sockets that kafka-python left are collected under this module's filter, not in somebody else's test."""
    yield
    gc.collect()


@pytest.fixture
def make_topic(kafka: str) -> MakeTopic:
    """Makes a topic of four partitions that every broker serves."""
    def make(name: str) -> str:
        with Broker.connect(Connection("kafka_default", extra={"bootstrap.servers": kafka})) as broker:
            broker.admin.create_topics([NewTopic(name, num_partitions=PARTITIONS, replication_factor=1)])
            broker.await_topics({name: PARTITIONS})
        return name

    return make


@pytest.fixture
def variables(kafka: str, stack: Stack) -> dict[str, str]:
    return {
        **os.environ,
        "AIRFLOW_CONN_KAFKA_DEFAULT": json.dumps({"conn_type": "kafka", "extra": {"bootstrap.servers": kafka}}),
        "STREAMOPS_STACK_DATA": str(stack.settings.data),
    }


def start(variables: dict[str, str], *arguments: str, stdin: Any = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "streamops.cli.main", "feed", *arguments],
        env=variables, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )


def ended(feed: subprocess.Popen[bytes], timeout_s: float = 120) -> tuple[int, str, str]:
    """Exit status, stdout, stderr."""
    try:
        out, err = feed.communicate(timeout=timeout_s)
    finally:
        feed.kill()
    return feed.returncode, out.decode(), err.decode()


def run(variables: dict[str, str], *arguments: str, given: bytes | None = None) -> tuple[int, str, str]:
    feed = start(variables, *arguments, stdin=subprocess.PIPE if given is not None else subprocess.DEVNULL)
    if given is not None:
        assert feed.stdin is not None
        feed.stdin.write(given)
    return ended(feed)


def in_topic(kafka: str, topic: str) -> list[Any]:
    """Every record of a topic, as kafka-python gives them, by partition and offset."""
    consumer = KafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        found = []
        while any(consumer.position(at) < ends[at] for at in partitions):
            for records in consumer.poll(1000, max_records=20_000).values():
                found.extend(records)
    finally:
        consumer.close()
    return sorted(found, key=lambda record: (record.partition, record.offset))


def acknowledged(kafka: str, topic: str) -> int:
    """Records in the topic by its offsets."""
    with Broker.connect(Connection("kafka_default", extra={"bootstrap.servers": kafka})) as broker:
        return sum(broker.latest_offsets([topic]).values())


def wait_for_records(kafka: str, topic: str, least: int, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while acknowledged(kafka, topic) < least:
        assert time.monotonic() < deadline, f"{topic} did not reach {least} records"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real text of some 100,000 lines: this project's dependencies' own source."""
    path = tmp_path_factory.mktemp("text") / "text"
    lines, sources = 0, sorted(Path(json.__file__).parents[1].rglob("*.py"))
    with path.open("wb") as out:
        for source in sources:
            content = source.read_bytes()
            out.write(content if content.endswith(b"\n") or not content else content + b"\n")
            lines += content.count(b"\n")
            if lines > 100_000:
                break
    return path


def test_every_line_is_a_record(
    kafka: str, variables: dict[str, str], make_topic: MakeTopic, text: Path
) -> None:
    topic = make_topic("feed-exact")
    status, out, err = run(variables, "--topic", topic, str(text), "--json")
    assert status == 0, err
    summary = json.loads(out)
    lines = text.read_bytes().removesuffix(b"\n").split(b"\n")
    assert (summary["sent"], summary["acknowledged"], summary["unknown"], summary["refused"]) == (
        len(lines), len(lines), [], [])
    records = in_topic(kafka, topic)
    assert Counter(record.value for record in records) == Counter(lines)
    per_partition = Counter(record.partition for record in records)
    assert max(per_partition.values()) - min(per_partition.values()) <= 1, "lines go to the partitions in turn"
    print(f"\nfeed: {summary['records_per_s']:,} records/s, {len(lines):,} lines")
    assert summary["records_per_s"] > 5_000  # 40,000 on two free cores; the rest of the tests may keep them busy


def test_keys_headers_and_numbers(kafka: str, variables: dict[str, str], make_topic: MakeTopic) -> None:
    topic = make_topic("feed-shape")
    status, out, err = run(
        variables, "-t", topic, "--key", "line-number", "--number", "header", "--header", "from=test",
        "--partition", "2",
        given=b"one\n\nthree\r\nfour",
    )
    assert status == 0, err
    assert out.startswith("4 of 4 records acknowledged by topic feed-shape")
    assert [(record.partition, record.key, record.value, record.headers) for record in in_topic(kafka, topic)] == [
        (2, str(number).encode(), value, [("from", b"test"), ("streamops.number", str(number).encode())])
        for number, value in enumerate([b"one", b"", b"three\r", b"four"], 1)
    ]


def test_the_rate_is_kept(kafka: str, variables: dict[str, str], make_topic: MakeTopic, text: Path) -> None:
    topic = make_topic("feed-rate")
    feed = start(variables, "-t", topic, "--rate", "200", "--repeat", "0", "--json", str(text))
    wait_for_records(kafka, topic, 1)
    time.sleep(5)
    feed.send_signal(signal.SIGINT)
    status, out, _ = ended(feed)
    summary = json.loads(out)
    assert status == 0
    assert summary["acknowledged"] / summary["elapsed_s"] == pytest.approx(200, rel=0.15)
    assert summary["acknowledged"] == summary["sent"] == acknowledged(kafka, topic)


def test_interrupted_while_it_waits_for_input(kafka: str, variables: dict[str, str], make_topic: MakeTopic) -> None:
    topic = make_topic("feed-stdin")
    feed = start(variables, "-t", topic, "--json", stdin=subprocess.PIPE)
    assert feed.stdin is not None
    feed.stdin.write(b"one\ntwo\n")
    feed.stdin.flush()
    wait_for_records(kafka, topic, 2)
    feed.send_signal(signal.SIGTERM)
    feed.wait(20)
    status, out, _ = ended(feed)
    assert status == 0
    assert json.loads(out)["acknowledged"] == 2


@pytest.mark.parametrize(("arguments", "status", "found"), [
    (["-t", "feed-exat"], 2, "there is no topic 'feed-exat'; the nearest one is 'feed-exact'"),
    (["-t", "feed-exact", "--partition", "4"], 2, "has no partition 4; it has 4, numbered from 0"),
    (["-t", "feed-exact", "nowhere.txt"], 2, "there is no file nowhere.txt"),
    (["-t", "feed-exact", "--connection", "elsewhere"], 2, "there is no Airflow connection `elsewhere`"),
])
def test_mistakes_are_named(arguments: list[str], status: int, found: str, variables: dict[str, str]) -> None:
    ended_with, out, err = run(variables, *arguments)
    assert ended_with == status
    assert found in err
    assert (out, "Traceback" in err) == ("", False)


def test_no_broker_is_said_at_once(variables: dict[str, str]) -> None:
    began = time.monotonic()
    nobody = {**variables, "AIRFLOW_CONN_KAFKA_DEFAULT": json.dumps(
        {"conn_type": "kafka", "extra": {"bootstrap.servers": "127.0.0.1:1"}})}
    status, _, err = run(nobody, "-t", "lines")
    assert status == 4
    assert "no Kafka broker answers at 127.0.0.1:1" in err
    assert time.monotonic() - began < 30


def test_a_record_that_is_too_large_is_refused_and_named(
    kafka: str, variables: dict[str, str], make_topic: MakeTopic
) -> None:
    topic = make_topic("feed-large")
    status, out, err = run(variables, "-t", topic, "--json", given=b"one\n" + b"x" * 2_000_000 + b"\nthree\n")
    assert status == 2
    assert "record 2 was refused" in err
    summary = json.loads(out)
    assert (summary["acknowledged"], summary["refused"], summary["unknown"]) == (1, ["2"], [])
    assert [record.value for record in in_topic(kafka, topic)] == [b"one"]


def test_the_logs_of_the_stack_are_followed(
    kafka: str, variables: dict[str, str], make_topic: MakeTopic, stack: Stack
) -> None:
    topic = make_topic("feed-logs")
    log = stack.settings.data / "logs" / "test.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("marker one\n")
    feed = start(variables, "-t", topic, "--follow-stack-logs", "--json")
    wait_for_records(kafka, topic, 10)
    with log.open("a") as more:
        more.write("marker two\nmarker th")
    time.sleep(2)
    log.rename(log.with_name("test.log.1"))
    with log.with_name("test.log.1").open("a") as more:
        more.write("ree\n")
    log.write_text("marker four\n")
    time.sleep(3)
    feed.send_signal(signal.SIGTERM)
    status, out, err = ended(feed)
    assert status == 0, err
    values = [record.value for record in in_topic(kafka, topic)]
    assert len(values) == json.loads(out)["acknowledged"]
    assert sorted(value for value in values if value.startswith(b"marker")) == [
        b"marker four", b"marker one", b"marker three", b"marker two"]
    assert any(b"afka" in value for value in values), "the broker's own log is among them"


def kill_broker(stack: Stack) -> None:
    pid = stack.pid("kafka-1")
    assert pid is not None
    broker = psutil.Process(pid)
    broker.kill()
    broker.wait(30)  # until then the kernel keeps its ports


@pytest.mark.long
def test_a_broker_that_is_killed_and_comes_back_loses_and_doubles_nothing(
    kafka: str, variables: dict[str, str], make_topic: MakeTopic, stack: Stack
) -> None:
    topic = make_topic("feed-killed")
    count = 150_000
    # At 10,000 a second the input goes on while the broker is killed.
    feed = start(variables, "-t", topic, "--json", "--rate", "10000", stdin=subprocess.PIPE)
    assert feed.stdin is not None
    pipe = feed.stdin
    writer = threading.Thread(target=lambda: (pipe.write(b"".join(b"%d\n" % n for n in range(count))), pipe.close()))
    writer.start()
    try:
        for away_s in (0, 20):
            before = acknowledged(kafka, topic)
            wait_for_records(kafka, topic, before + 5_000)
            kill_broker(stack)
            time.sleep(away_s)
            stack.up(["kafka"])
    finally:
        stack.up(["kafka"])
    writer.join()
    feed.wait(120)
    assert feed.stdout is not None
    summary = json.loads(feed.stdout.read())
    assert feed.returncode == 0, feed.stderr.read() if feed.stderr else ""
    assert (summary["sent"], summary["acknowledged"], summary["unknown"]) == (count, count, [])
    records = in_topic(kafka, topic)
    assert Counter(int(record.value) for record in records) == Counter(range(count))
    for partition in range(PARTITIONS):
        values = [int(record.value) for record in records if record.partition == partition]
        assert values == sorted(values), "the order within a partition is the order of the lines"


@pytest.mark.long
def test_a_record_without_an_answer_in_time_ends_the_feed_and_is_named(
    kafka: str, variables: dict[str, str], make_topic: MakeTopic, stack: Stack, text: Path
) -> None:
    """The producer itself may never say so: without a look at the clock the feed would wait for ever."""
    topic = make_topic("feed-overdue")
    feed = start(variables, "-t", topic, "--json", "--repeat", "0", "--rate", "500", "--timeout", "40", str(text))
    try:
        wait_for_records(kafka, topic, 1_000)
        kill_broker(stack)
        status, out, err = ended(feed, 90)
    finally:
        feed.kill()
        stack.up(["kafka"])
    assert status == 4
    assert "Kafka did not take a record" in err
    summary = json.loads(out)
    assert summary["sent"] > summary["acknowledged"] >= 1_000
    assert summary["unknown"]


def test_giving_up_while_the_broker_is_away_names_what_is_unknown(
    kafka: str, variables: dict[str, str], make_topic: MakeTopic, stack: Stack, text: Path
) -> None:
    topic = make_topic("feed-given-up")
    feed = start(variables, "-t", topic, "--json", "--repeat", "0", "--number", "prefix", str(text))
    try:
        wait_for_records(kafka, topic, 5_000)
        kill_broker(stack)
        time.sleep(3)
        feed.send_signal(signal.SIGINT)
        time.sleep(2)
        assert feed.poll() is None, "the first interrupt waits for answers"
        feed.send_signal(signal.SIGINT)
        status, out, err = ended(feed, 30)
    finally:
        feed.kill()
        stack.up(["kafka"])
    assert status == 4
    assert "not waiting" in err
    summary = json.loads(out)
    unknown = {number for text in summary["unknown"] for first, _, last in [text.partition("-")]
               for number in range(int(first), int(last or first) + 1)}
    assert len(unknown) == summary["sent"] - summary["acknowledged"] > 0
    there = Counter(int(record.value[:12]) for record in in_topic(kafka, topic))
    assert set(there.values()) == {1}
    assert set(range(1, summary["sent"] + 1)) - unknown <= set(there), "what was acknowledged is there"
    assert set(there) <= set(range(1, summary["sent"] + 1))
