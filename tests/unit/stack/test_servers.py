"""The servers as data: what is configured, and where it listens."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streamops.errors import ConfigurationError
from streamops.stack import hdfs, kafka_brokers, spark_cluster, zookeeper
from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack, _stop_order


@pytest.fixture
def three(tmp_path: Path) -> StackSettings:
    return StackSettings(data=tmp_path, kafka_brokers=3, kafka_port=9092, kafka_controller_port=9093)


def test_one_broker_keeps_one_copy(tmp_path: Path) -> None:
    found = kafka_brokers.properties(StackSettings(data=tmp_path, kafka_brokers=1), 1)
    assert found["offsets.topic.replication.factor"] == 1
    assert found["min.insync.replicas"] == 1


def test_three_brokers_keep_three_copies_and_know_each_other(three: StackSettings) -> None:
    found = kafka_brokers.properties(three, 2)
    assert found["node.id"] == 2
    assert found["controller.quorum.voters"] == "1@127.0.0.1:9093,2@127.0.0.1:9193,3@127.0.0.1:9293"
    assert found["listeners"] == "PLAINTEXT://127.0.0.1:9192,CONTROLLER://127.0.0.1:9193,PROXIED://127.0.0.1:9194"
    assert (found["default.replication.factor"], found["min.insync.replicas"]) == (3, 2)


def test_topics_are_never_made_by_a_typing_mistake(three: StackSettings) -> None:
    assert kafka_brokers.properties(three, 1)["auto.create.topics.enable"] == "false"


def test_data_of_three_brokers_is_not_opened_by_one(tmp_path: Path, three: StackSettings) -> None:
    kafka_brokers._refuse_other_size(three)
    with pytest.raises(ConfigurationError, match="is that of 3 broker"):
        kafka_brokers._refuse_other_size(StackSettings(data=tmp_path, kafka_brokers=1))


def test_the_clusters_id_is_made_once(three: StackSettings) -> None:
    (three.data / "kafka-data").mkdir()
    first = kafka_brokers._cluster_id(three)
    assert len(first) == 22, "16 bytes, as Kafka writes them"
    assert kafka_brokers._cluster_id(three) == first


def test_the_master_remembers_and_listens_on_loopback(three: StackSettings) -> None:
    found = spark_cluster.master_properties(three)
    assert found["spark.deploy.recoveryMode"] == "FILESYSTEM"
    assert found["spark.master.rest.host"] == "127.0.0.1"


def test_two_masters_share_a_zookeeper_which_has_the_last_word_on_sessions(three: StackSettings) -> None:
    two = three.model_copy(update={"spark_masters": 2})
    first, second = (spark_cluster.master_properties(two, number) for number in (0, 1))
    assert first["spark.deploy.recoveryMode"] == "ZOOKEEPER"
    assert first["spark.deploy.zookeeper.url"] == "127.0.0.1:2181"
    assert (first["spark.master.rest.port"], second["spark.master.rest.port"]) == (6066, 6166)
    names = [server.name for server in Stack(two).selected(["zookeeper", "spark"])]
    assert names == ["zookeeper", "spark-master-1", "spark-master-2", "spark-worker"]
    worker = Stack(two).selected(["worker"])[0]
    assert worker.command[-1] == "spark://127.0.0.1:7077,127.0.0.1:7177"
    found = zookeeper.properties(two)
    assert (found["clientPortAddress"], found["admin.enableServer"]) == ("127.0.0.1", "false")
    assert found["maxSessionTimeout"] == zookeeper.SESSION_MS


def test_hdfs_listens_on_loopback_and_its_settings_do_not_make_it_the_default(three: StackSettings) -> None:
    addresses = {key: value for key, value in hdfs.server_properties(three).items() if key.endswith("address")}
    assert len(addresses) == 4
    assert all(str(value).startswith("127.0.0.1:") for value in addresses.values())
    assert hdfs.client_properties()["dfs.replication"] == 1
    assert "fs.defaultFS" not in hdfs.client_properties(), "paths without a scheme would be looked for in HDFS"


def test_servers_are_chosen_by_name_or_part_of_it(three: StackSettings) -> None:
    stack = Stack(three)

    def names(*given: str) -> list[str]:
        return [server.name for server in stack.selected(given)]

    assert names("kafka") == ["kafka-1", "kafka-2", "kafka-3"]
    assert names("kafka-2") == ["kafka-2"]
    assert names("worker", "master") == ["spark-master", "spark-worker"]
    assert names("scheduler") == ["airflow-scheduler"]
    assert len(names("airflow")) == 4
    assert names("hdfs") == ["hdfs-namenode", "hdfs-datanode"]
    assert [server.name for server in stack.selected(None)][-1] == "feeder"
    with pytest.raises(ConfigurationError, match="The stack's servers are: kafka-1"):
        names("zookeeper")


def test_who_uses_stops_before_who_is_used(three: StackSettings) -> None:
    order = [[server.name for server in group] for group in _stop_order(Stack(three).servers)]
    assert order[0] == ["airflow-api", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer", "feeder"]
    assert order[1:] == [
        ["spark-master"],
        ["spark-worker"],
        ["kafka-1", "kafka-2", "kafka-3", "hdfs-datanode", "broker-proxy"],
        ["hdfs-namenode"],
    ]
    two = Stack(three.model_copy(update={"spark_masters": 2}))
    order = [[server.name for server in group] for group in _stop_order(two.servers)]
    assert (order[1], order[-1]) == (["spark-master-1", "spark-master-2"], ["zookeeper", "hdfs-namenode"])


def test_every_port_that_a_setting_holds_is_checked(tmp_path: Path) -> None:
    stack = Stack(StackSettings(data=tmp_path, spark_masters=2, airflow_postgresql=True))
    checked = {setting for server in stack.servers for setting in server.ports}
    assert checked == {name for name in StackSettings.model_fields if name.endswith("_port")}


def test_brokers_that_prepare_at_once_agree_on_their_number(tmp_path: Path) -> None:
    settings = StackSettings(data=tmp_path, kafka_brokers=3)
    for turn in range(50):
        here = settings.model_copy(update={"data": tmp_path / str(turn)})
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _, here=here: kafka_brokers._refuse_other_size(here), range(3)))
        assert [file.name for file in (here.data / "kafka-data").iterdir()] == ["brokers"]


def test_acls_can_be_tried_on_one_broker_and_do_not_keep_three_from_electing(three: StackSettings) -> None:
    one = three.model_copy(update={"kafka_brokers": 1})
    assert "authorizer.class.name" in kafka_brokers.properties(one, 1)
    assert "authorizer.class.name" not in kafka_brokers.properties(three, 1)
