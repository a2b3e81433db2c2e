"""The embedded stack, for real: up, healed after `kill -9` of anything, down without a trace, no data lost.

It has servers of its own, since it kills them. Left out: PostgreSQL as Airflow's database, which needs a server of its
own, and a machine that loses power, which cannot be tested here.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from streamops.errors import ConfigurationError, RefusedError
from streamops.stack import process
from streamops.stack.process import STACK_MARK
from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack
from streamops.stack.starting import StartFailed

pytestmark = pytest.mark.integration

SERVERS = [
    "kafka-1",
    "spark-master",
    "spark-worker",
    "airflow-api",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-triggerer",
]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A whole stack that is up."""
    data = tmp_path_factory.mktemp("own-stack")
    # No DAGs: what runs in Airflow is the other tests' matter.
    (data / "dags").mkdir()
    made = Stack(StackSettings.on_free_ports(data, dags=data / "dags", airflow_parallelism=2))
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Stack]:
    """A stack with nothing up."""
    made = Stack(StackSettings.on_free_ports(tmp_path))
    yield made
    made.down()


def states(stack: Stack) -> dict[str, str]:
    return {status.name: status.state for status in stack.status()}


def marked(stack: Stack) -> list[psutil.Process]:
    """Every living process that carries the stack's mark, read here by other means than the stack's own."""
    found = []
    for one in psutil.process_iter():
        try:
            if one.environ().get(STACK_MARK) == stack.folder.stack_id and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
        except psutil.Error:
            continue
    return found


def kill(stack: Stack, name: str) -> None:
    pid = stack.pid(name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while stack.pid(name) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def produce(stack: Stack, topic: str, records: int) -> None:
    from kafka import KafkaAdminClient, KafkaProducer

    admin = KafkaAdminClient(bootstrap_servers=stack.settings.bootstrap_servers)
    admin.create_topics({topic: {"num_partitions": 1}}, wait_for_metadata=True)
    admin.close()
    producer = KafkaProducer(bootstrap_servers=stack.settings.bootstrap_servers, acks="all")
    for number in range(records):
        producer.send(topic, b"%d" % number)
    producer.flush()
    producer.close()


def consumed(stack: Stack, topic: str) -> list[int]:
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(
        bootstrap_servers=stack.settings.bootstrap_servers, auto_offset_reset="earliest", consumer_timeout_ms=5000
    )
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    until = consumer.end_offsets([partition])[partition]
    values = []
    while len(values) < until:
        values.append(int(next(consumer).value))
    consumer.close()
    return values


def test_every_server_is_healthy_and_says_so(own: Stack) -> None:
    assert states(own) == dict.fromkeys(SERVERS, "healthy")
    done = subprocess.run(
        [sys.executable, "-m", "streamops.cli.main", "stack", "status", "--json"],
        env={**os.environ, **own.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [server["name"] for server in json.loads(done.stdout)] == SERVERS


def test_nothing_listens_beyond_loopback(own: Stack) -> None:
    listening = {
        (one.name(), connection.laddr)
        for one in marked(own)
        for connection in one.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening
    elsewhere = {
        (name, address) for name, address in listening if address.ip not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    }
    assert not elsewhere


def test_the_stack_finds_its_processes_as_this_test_does(own: Stack) -> None:
    assert {one.pid for one in process.members(own.folder)} == {one.pid for one in marked(own)}
    assert len(marked(own)) > len(SERVERS), "Airflow's scheduler and triggerer have children"


def test_up_again_starts_nothing(own: Stack) -> None:
    before = {name: own.pid(name) for name in SERVERS}
    own.up()
    assert {name: own.pid(name) for name in SERVERS} == before


def test_two_at_once_are_harmless(own: Stack) -> None:
    kill(own, "spark-worker")
    failures: list[BaseException] = []

    def up() -> None:
        try:
            Stack(own.settings).up()
        except BaseException as error:  # noqa: BLE001  whatever it is, the test shows it
            failures.append(error)

    threads = [threading.Thread(target=up) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert states(own) == dict.fromkeys(SERVERS, "healthy")
    workers = [one for one in marked(own) if "org.apache.spark.deploy.worker.Worker" in one.cmdline()]
    assert len(workers) == 1


def test_the_login_works_and_only_with_the_password(own: Stack) -> None:
    import httpx

    def login(password: str) -> int:
        answer = httpx.post(
            f"{own.airflow_url}/auth/token", json={"username": "admin", "password": password}, trust_env=False
        )
        return answer.status_code

    assert login(own.password) == 201
    assert login("guess") == 401


def test_other_settings_are_refused_while_servers_run(own: Stack) -> None:
    other = own.settings.model_copy(update={"kafka_heap_mb": 512})
    kill(own, "spark-worker")
    with pytest.raises(RefusedError, match=r"kafka_heap_mb \(384 → 512\)"):
        Stack(other).up(["spark-worker"])
    own.up()


@pytest.mark.parametrize("name", SERVERS)
def test_a_killed_server_is_seen_and_healed(own: Stack, name: str) -> None:
    others = {other: own.pid(other) for other in SERVERS if other != name}
    kill(own, name)
    assert states(own)[name] == "dead"
    own.up()
    assert states(own)[name] == "healthy"
    assert {other: own.pid(other) for other in others} == others, "the others were left alone"


def test_data_survives_everything(own: Stack) -> None:
    produce(own, "kept", 500)
    kill(own, "kafka-1")
    own.up(["kafka"])
    assert consumed(own, "kept") == list(range(500)), "after kill -9"
    own.down(["kafka"])
    own.up(["kafka"])
    assert consumed(own, "kept") == list(range(500)), "after down and up"


def test_down_leaves_no_process_whatever_was_killed_before(own: Stack) -> None:
    """Runs last of those that share the stack: it is down afterwards."""
    chosen = random.Random(3).sample(SERVERS, 3)
    for name in chosen:
        kill(own, name)
    assert marked(own), "what they had started lives on"
    own.down()
    assert marked(own) == []
    assert set(states(own).values()) == {"stopped"}
    own.down()
    own.up(["kafka"])
    assert consumed(own, "kept") == list(range(500)), "the topic is still there"
    own.down()
    assert marked(own) == []


def test_a_taken_port_is_named_before_anything_starts(small: Stack) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", small.settings.kafka_port))
        listening.listen()
        with pytest.raises(ConfigurationError) as caught:
            small.up(["kafka", "spark"])
    assert f"Port {small.settings.kafka_port} of kafka-1 is taken by" in caught.value.found
    assert f"(pid {os.getpid()})" in caught.value.found
    assert "STREAMOPS_STACK_KAFKA_PORT" in str(caught.value.repair)
    assert marked(small) == []


def test_a_server_that_fails_to_start_shows_its_last_words(small: Stack) -> None:
    # A log folder that cannot be made: Kafka ends at once.
    small.up(["kafka"])
    small.down()
    log = small.settings.data / "kafka-data" / "1" / "log"
    (log / "meta.properties").write_text("version=1\nnode.id=77\ncluster.id=another\n")
    with pytest.raises(StartFailed) as caught:
        small.up(["kafka"])
    assert "kafka-1 ended while it was starting" in caught.value.found
    assert "77" in caught.value.found, "Kafka's own reason"


def test_a_stale_pid_file_never_ends_a_stranger(small: Stack) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        path = small.folder.pid_file("kafka-1")
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"pid": stranger.pid, "started": psutil.Process(stranger.pid).create_time() - 100}))
        assert states(small)["kafka-1"] == "dead"
        small.up(["kafka"])
        assert states(small)["kafka-1"] == "healthy"
        path.write_text(json.dumps({"pid": stranger.pid, "started": psutil.Process(stranger.pid).create_time()}))
        small.down()
        assert stranger.poll() is None
        assert marked(small) == []
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.long
def test_three_brokers_lose_one_and_keep_every_record(tmp_path: Path) -> None:
    settings = StackSettings.on_free_ports(tmp_path)
    # Further brokers listen at fixed distances above the first, so its port is chosen where those are free.
    first = next(
        port
        for port in range(20092, 40000, 300)
        if all(_free(port + step + controller) for step in (0, 100, 200) for controller in (0, 1))
    )
    stack = Stack(
        settings.model_copy(update={"kafka_brokers": 3, "kafka_port": first, "kafka_controller_port": first + 1})
    )
    try:
        stack.up(["kafka"])
        produce(stack, "kept", 200)
        kill(stack, "kafka-2")
        assert consumed(stack, "kept") == list(range(200))
        stack.up(["kafka"])
        stack.down()
        assert marked(stack) == []
        with pytest.raises(ConfigurationError, match="is that of 3 broker"):
            Stack(settings).up(["kafka"])
    finally:
        stack.down()


def test_it_can_be_interrupted_while_it_starts(small: Stack) -> None:
    command = [sys.executable, "-m", "streamops.cli.main", "stack", "up", "kafka"]
    settings = {
        f"STREAMOPS_STACK_{name.upper()}": str(value)
        for name, value in small.settings.model_dump().items()
        if value is not None
    }
    up = subprocess.Popen(command, env={**os.environ, **settings}, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while small.pid("kafka-1") is None:
        assert up.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    up.send_signal(signal.SIGINT)
    _out, err = up.communicate(timeout=30)
    assert up.returncode == 130, err
    assert "Traceback" not in err
    small.up(["kafka"])
    assert states(small)["kafka-1"] == "healthy"


def _free(port: int) -> bool:
    with socket.socket() as candidate:
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
