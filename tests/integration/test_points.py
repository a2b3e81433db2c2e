"""Recovery points of real brokers, state directories and databases: what is in them, and what is said of the rest."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from streamops.errors import AlarmError
from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack
from streamops.state.offsets import TopicPartition

from .declared import Declared, commit, connected, made, send
from .running import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DAY_MS = 86_400_000


@pytest.fixture
def declared(kafka: str, tmp_path: Path) -> Declared:
    found = Declared(tmp_path, kafka, made(kafka), f"sqlite:///{tmp_path}/streamops.db")
    found.run("db", "upgrade")
    return found


def test_a_point_has_what_brokers_group_checkpoint_and_batch_log_say(declared: Declared) -> None:
    now_ms = round(time.time() * 1000)
    send(declared.servers, declared.topic, 10, 5, 0, at_ms=now_ms - 60_000)
    send(declared.servers, declared.topic, 4, 0, 0, at_ms=now_ms - 20_000)
    declared.processed(0, 10, 5, 0)
    with connected(declared.servers) as broker:
        commit(broker, declared.topic, 10, 5)
        topic_id = broker.observe_topics([declared.topic])[declared.topic].topic_id
    verdict, point = declared.snapshot()
    rows = [point.partitions[TopicPartition(declared.topic, number)] for number in range(3)]
    assert [(row.earliest, row.processed, row.group_committed, row.checkpointed, row.latest) for row in rows] == [
        (0, 10, 10, 10, 14), (0, 5, 5, 5, 5), (0, 0, None, 0, 0)]
    assert [row.leader_epoch for row in rows] == [0, 0, 0]
    assert [row.processed_at_ms for row in rows] == [now_ms - 20_000, None, None]
    assert [row.latest_at_ms for row in rows] == [now_ms - 20_000, now_ms - 60_000, None]
    assert rows[0].lag_s is not None
    assert 20 <= rows[0].lag_s < 120
    assert rows[0].data_loss_s == pytest.approx(7 * 86_400 - rows[0].lag_s, abs=1)
    assert point.topic_ids == {declared.topic: topic_id}
    assert (point.generation, point.last_batch, point.checkpoint_batch, point.wal) == (1, 0, 0, None)
    assert point.why_unknown("group_committed", TopicPartition(declared.topic, 2)) == (
        "the group lines has committed nothing")
    assert point.disagreements == ()
    assert (verdict["state"], verdict["lag_records"], verdict["alarms"]) == ("OK", 4, [])


def test_lag_states_over_the_points_of_a_pipeline(declared: Declared) -> None:
    declared = replace(declared, stop_after_s=1)
    _, point = declared.snapshot()
    assert (point.generation, point.why_unknown("generation")) == (None, "the pipeline was never started")
    declared.processed(0, 0, 0, 0)
    send(declared.servers, declared.topic, 3, 3, 3)
    declared.snapshot()
    time.sleep(1.1)
    # Records wait for longer than a second, and no batch ended.
    verdict, _ = declared.snapshot(code=AlarmError.exit_code)
    assert (verdict["state"], verdict["partitions"]) == ("STOP", {"STOP": 3})
    assert "STOP: " in declared.run("lag", "lines", code=AlarmError.exit_code)
    declared.processed(1, 3, 3, 0, before=(0, 0, 0))
    verdict, _ = declared.snapshot(code=AlarmError.exit_code)
    assert (verdict["state"], verdict["partitions"]) == ("STALL", {"OK": 2, "STALL": 1})
    declared.processed(2, 3, 3, 3, before=(3, 3, 0))
    verdict, _ = declared.snapshot()
    assert (verdict["state"], verdict["lag_records"]) == ("OK", 0)
    assert "every partition that is known keeps up" in declared.run("lag")
    listed = json.loads(declared.run("offsets", "points", "lines", "--json"))
    assert [each["state"] for each in listed] == ["OK", "STALL", "STOP", "OK", "NOTFOUND"]


def test_retention_that_is_near_and_a_group_that_somebody_set(declared: Declared) -> None:
    declared.processed(0, 0, 0, 0)
    send(declared.servers, declared.topic, 5, 5, 5, at_ms=round(time.time() * 1000) - 7 * DAY_MS + 600_000)
    with connected(declared.servers) as broker:
        commit(broker, declared.topic, 4)
    said = declared.run("offsets", "snapshot", code=AlarmError.exit_code)
    assert "sooner than 3,600 s" in said
    assert "group and batch log differ by 4 offsets: the group is ahead of the batch log" in said


def test_points_are_listed_shown_held_and_released(declared: Declared) -> None:
    declared.processed(0, 0, 0, 0)
    number = str(declared.snapshot()[0]["point"])
    assert f"point {number} is kept for a drill" in declared.run("offsets", "hold", number, "--for", "a drill")
    assert "a drill" in declared.run("offsets", "points", "lines")
    shown = declared.run("offsets", "show", number)
    assert f"{declared.topic}-2" in shown
    assert "unknown: group_committed: the group lines has committed nothing" in shown
    assert "no longer kept" in declared.run("offsets", "release", number, "--for", "a drill")
    assert "there is no recovery point 999" in declared.run("offsets", "show", "999", code=2)
    assert "there is no pipeline" in declared.run("offsets", "snapshot", "linse", code=2)


def test_fifty_pipelines_are_one_process(declared: Declared, say: Callable[[str], None]) -> None:
    """Over one topic, so that what is measured is what a pipeline costs."""
    environment = declared.environment()
    file = declared.root / "pipelines.yaml"
    one = yaml.safe_load(file.read_text())
    lines = {key: value for key, value in one["pipelines"]["lines"].items() if key != "direct"}  # its own group
    one["pipelines"] = {f"p{number}": lines for number in range(50)}
    file.write_text(yaml.safe_dump(one))
    command = [sys.executable, "-m", "streamops.cli.main", "offsets", "snapshot", "--json"]
    began = time.monotonic()
    taken = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    say(f"points of 50 pipelines took {time.monotonic() - began:.1f} s with the start of Python")
    assert {each["pipeline"] for each in taken} == set(one["pipelines"])
    assert {each["state"] for each in taken} == {"NOTFOUND"}  # none was ever started
    assert len({each["point"] for each in taken}) == 50


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, kafka: str, tmp_path: Path) -> Iterator[Declared]:
    url = f"sqlite:///{tmp_path}/streamops.db"
    server = None
    if request.param == "postgresql":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where the machine has no XDG_RUNTIME_DIR
            import pgserver

            server = pgserver.get_server(tmp_path / "pg")
        url = server.get_uri()
    found = Declared(tmp_path, kafka, made(kafka), url)
    found.run("db", "upgrade")
    yield found
    if server is not None:
        server.cleanup()


def test_snapshots_at_once_do_no_harm(shared: Declared) -> None:
    shared.processed(0, 0, 0, 0)
    running = [shared.start("offsets", "snapshot", "all") for _ in range(4)]
    said = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0] * 4, said
    listed = json.loads(shared.run("offsets", "points", "lines", "--json"))
    # Two that see the same in the same millisecond are one point.
    assert {each["point"] for each in listed} == {int(re.findall(r"point (\d+):", out)[0]) for out, _ in said}
    assert len({each["taken_at"] for each in listed}) == len(listed)


@pytest.fixture
def three_brokers(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(StackSettings.on_free_ports(tmp_path / "stack", kafka_brokers=3, kafka_heap_mb=256))
    made.up(["kafka"])
    yield made
    made.down()


@pytest.mark.long
def test_a_broker_that_is_away_costs_its_partitions_and_nothing_else(three_brokers: Stack, tmp_path: Path) -> None:
    servers = three_brokers.settings.bootstrap_servers
    topic = made(servers, brokers={number: [number + 1] for number in range(3)})
    declared = Declared(tmp_path, servers, topic, f"sqlite:///{tmp_path}/streamops.db")
    declared.run("db", "upgrade")
    send(servers, topic, 5, 5, 5)
    declared.processed(0, 3, 3, 3)
    _, whole = declared.snapshot()
    assert whole.lag_records == 6

    three_brokers.down(["kafka-3"])
    verdict, partly = declared.snapshot()
    p0, p1, p2 = (TopicPartition(topic, number) for number in range(3))
    assert [partly.partitions[at].latest for at in (p0, p1, p2)] == [5, 5, None]
    assert [partly.partitions[at].processed for at in (p0, p1, p2)] == [3, 3, 3]
    assert partly.why_unknown("latest", p2) in ("broker 3 does not answer", "no broker leads this partition now")
    assert partly.why_unknown("latest", p0) is None
    assert verdict["partitions"] == {"NOTFOUND": 1, "OK": 2}
    assert [(each["partition"], each["reason"]) for each in verdict["unknown"]] == [
        (2, partly.why_unknown("latest", p2))]

    three_brokers.down(["kafka"])
    verdict, away = declared.snapshot()
    assert [away.partitions[at].latest for at in (p0, p1, p2)] == [None] * 3
    assert away.processed == {p0: 3, p1: 3, p2: 3}
    assert str(away.why_unknown("latest", p0)).startswith("no Kafka broker answers")
    assert (verdict["state"], verdict["alarms"]) == ("NOTFOUND", [])

    three_brokers.up(["kafka"])
    wait_until(lambda: declared.snapshot()[1].lag_records == 6, "all partitions are known again")
