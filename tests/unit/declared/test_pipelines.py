"""pipelines.yaml: what is read, and every mistake with its line and its repair."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from streamops.declared import pipelines
from streamops.declared.pipeline import Pipeline, Resources, Schedules
from streamops.declared.pipelines import Pipelines, check, load
from streamops.declared.problems import Problem
from streamops.declared.schema import schema_text
from streamops.errors import ConfigurationError

DAGS = Path(__file__).parents[3] / "dags"

SMALL = {"partitions": 1, "replication": 1}
GOOD: dict[str, Any] = {
    "version": 1,
    "topics": {"orders": {"partitions": 2, "replication": 1}, "letters": {"partitions": 1, "replication": 1}},
    "pipelines": {"sums": {"approach": "direct", "topics": ["orders"], "transform": "word_count",
                           "sink": {"type": "parquet"}}},
}


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    """GOOD with another value at a place; `...` removes what is there."""
    data = json.loads(json.dumps(GOOD))
    inner = data
    for step in path[:-1]:
        inner = inner.setdefault(step, {})
    if to is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return data


def sums(**keys: Any) -> dict[str, Any]:
    """GOOD with more keys in its one pipeline."""
    return changed("pipelines", "sums", to={**GOOD["pipelines"]["sums"], **keys})


def files(mode: str = "stream", **keys: Any) -> dict[str, Any]:
    """GOOD with one pipeline that reads a folder in place of topics."""
    folder = {"path": "/data/incoming", "mode": mode}
    entry = {"source": "folder", "folder": folder, "transform": "word_count", "sink": {"type": "parquet"}, **keys}
    return changed("pipelines", "sums", to={key: value for key, value in entry.items() if value is not ...})


def problems_of(data: Any) -> tuple[Problem, ...]:
    return check("pipelines.yaml", data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False))[1]


def read(data: dict[str, Any]) -> Pipelines:
    return load("pipelines.yaml", yaml.safe_dump(data, sort_keys=False))


def test_the_shipped_file_is_right() -> None:
    shipped = load(DAGS / "pipelines.yaml")
    assert shipped.pipelines["lines_direct"].topics == ("lines",)
    assert shipped.topics["lines"].partitions == 4
    assert shipped.topics["lines"].configs == {"retention.ms": "604800000"}


def test_the_shipped_schema_is_current() -> None:
    repair = "refresh it: streamops pipelines schema > dags/pipelines.schema.json"
    assert (DAGS / "pipelines.schema.json").read_text("utf-8") == schema_text(), repair


def test_the_schema_takes_the_shipped_file_and_finds_a_wrong_key() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(schema_text())
    shipped = yaml.safe_load((DAGS / "pipelines.yaml").read_text("utf-8"))
    jsonschema.validate(shipped, schema)
    shipped["pipelines"]["lines_direct"]["interval"] = 2
    with pytest.raises(jsonschema.ValidationError, match="interval"):
        jsonschema.validate(shipped, schema)


def test_left_out_keys_have_defaults() -> None:
    pipeline = read(GOOD).pipelines["sums"]
    assert pipeline.name == "sums"
    assert pipeline.state_directory == "sums"
    assert pipeline.connections.kafka == "kafka_default"
    assert pipeline.starting_offsets == "earliest"
    assert pipeline.rate_limit is None
    assert pipeline.resources.cores == 1
    assert pipeline.objectives.recovery_s == 30


def test_defaults_are_for_every_pipeline_and_sections_are_merged_by_key() -> None:
    data = sums(resources={"executors": 2, "conf": {"spark.b": 2}}, interval_s=7)
    data["defaults"] = {"resources": {"executor_memory": "2g", "conf": {"spark.a": True, "spark.b": 1}},
                        "interval_s": 3, "run": "manual", "receiver": {"receivers": 2}}
    pipeline = read(data).pipelines["sums"]
    assert pipeline.resources.executor_memory == "2g"
    assert pipeline.resources.executors == 2
    assert pipeline.resources.conf == {"spark.a": "true", "spark.b": "2"}
    assert (pipeline.interval_s, pipeline.run) == (7, "manual")
    assert pipeline.receiver.receivers == 1, "a default of the other approach is not for it"


@pytest.mark.parametrize(("data", "job", "interval_s", "run"), [
    pytest.param(files(), "folder_stream", 2, "always", id="a stream has an interval of its own"),
    pytest.param(files(interval_s=5), "folder_stream", 5, "always", id="unless it says another"),
    pytest.param(files("batch"), "folder_batch", 2, "manual", id="a batch is started by somebody"),
    pytest.param(files(folder={"path": "hdfs://nn/in"}), "folder_stream", 2, "always", id="a URL, a stream by default"),
    pytest.param(GOOD, "direct", 10, "always", id="topics"),
])
def test_what_is_read_says_which_job_runs(data: dict[str, Any], job: str, interval_s: float, run: str) -> None:
    pipeline = read(data).pipelines["sums"]
    assert (pipeline.job, pipeline.interval_s, pipeline.run) == (job, interval_s, run)


def test_rules_of_cleanup_are_merged_one_by_one_and_orphans_are_left_alone_by_default() -> None:
    data = sums(cleanup={"quarantine_d": 3, "rules": {"batch_log": False}})
    data["defaults"] = {"cleanup": {"min_age_h": 6, "code_d": 10, "rules": {"generation": False}}}
    cleanup = read(data).pipelines["sums"].cleanup
    assert (cleanup.quarantine_d, cleanup.min_age_h, cleanup.code_d) == (3, 6, 10)
    assert (cleanup.rules.batch_log, cleanup.rules.generation, cleanup.rules.write_ahead_log) == (False, False, True)
    assert not cleanup.rules.orphan


def test_defaults_for_topics_are_not_for_folders() -> None:
    data = files()
    data["defaults"] = {"approach": "direct", "topics": ["orders"], "rate_limit": 5, "on_data_loss": "continue"}
    data["pipelines"]["topics"] = {"transform": "identity", "sink": {"type": "console"}}
    found = read(data).pipelines
    assert (found["sums"].topics, found["sums"].rate_limit) == ((), None)
    assert (found["topics"].topics, found["topics"].rate_limit) == (("orders",), 5)


def test_a_wrong_source_does_not_make_every_key_wrong() -> None:
    for data in (files(source="foldr"), sums(source="kafak")):
        assert [problem.as_dict()["path"] for problem in problems_of(data)] == ["pipelines.sums.source"]


def test_a_wrong_folder_does_not_make_the_rest_wrong() -> None:
    for folder in ({"path": "/in", "mode": "btch", "top": 5}, {"mode": "batch"}, "/in"):
        assert len(problems_of(files(folder=folder))) == 1, folder


def test_pipelines_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read(GOOD).pipelines["sums"].interval_s = 3  # type: ignore[misc]


@pytest.mark.parametrize(("given", "read_as"), [
    ("earliest", "earliest"),
    ("latest", "latest"),
    ("2026-11-20T03:00:00Z", "2026-11-20T03:00:00+00:00"),
    ("2026-11-20T03:00:00+02:00", "2026-11-20T01:00:00+00:00"),
    ({"orders": {0: 5, 1: 0}}, {"orders": {"0": 5, "1": 0}}),
])
def test_starting_offsets(given: Any, read_as: Any) -> None:
    assert read(sums(starting_offsets=given)).pipelines["sums"].starting_offsets == read_as


def test_an_unquoted_time_is_taken_as_it_is_written() -> None:
    text = yaml.safe_dump(GOOD).replace("    topics:", "    starting_offsets: 2026-11-20T03:00:00Z\n    topics:")
    assert load("p", text).pipelines["sums"].starting_offsets == "2026-11-20T03:00:00+00:00"


@pytest.mark.parametrize(("value", "read_as"), [
    (604800000, "604800000"), ("604800000", "604800000"), (-1, "-1"),
])
def test_a_config_becomes_the_text_that_kafka_takes(value: Any, read_as: str) -> None:
    topics = read(changed("topics", "orders", "configs", to={"retention.ms": value})).topics
    assert topics["orders"].configs == {"retention.ms": read_as}


def test_config_lists_and_words() -> None:
    configs = {"cleanup.policy": ["compact", "delete"], "preallocate": True, "min.cleanable.dirty.ratio": 0.25}
    assert read(changed("topics", "orders", "configs", to=configs)).topics["orders"].configs == {
        "cleanup.policy": "compact,delete", "preallocate": "true", "min.cleanable.dirty.ratio": "0.25"}


def test_topics_belong_to_the_clusters_of_the_pipelines_that_use_them() -> None:
    data = sums(connections={"kafka": "west"}, on_bad_record="dead_letter", dead_letter_topic="letters")
    data["topics"]["spare"] = SMALL
    grouped = read(data).topics_by_connection()
    assert {conn_id: sorted(topics) for conn_id, topics in grouped.items()} == {
        "west": ["letters", "orders"], "kafka_default": ["spare"]}


def test_a_name_that_is_not_there_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean `sums`"):
        read(GOOD).pipeline("sum")
    with pytest.raises(ConfigurationError, match="there is no topic 'order'"):
        read(GOOD).topic("order")


#: What is wrong, where it is said to be, and words of the finding and of the repair.
ONE_MISTAKE: list[tuple[str, Any, str, str, str]] = [
    ("empty file", "", "the file", "empty", "Begin with"),
    ("only a comment", "# later\n", "the file", "empty", "Begin with"),
    ("a list", "- a\n", "the file", "not a mapping", "Begin with"),
    ("broken YAML", "version: 1\ntopics: [a\n", "the file", "not YAML", "Correct the line"),
    ("a tab", "version: 1\ntopics:\n\ta: 1\n", "the file", "not YAML", "Replace the tab"),
    ("two documents", "version: 1\n---\nversion: 1\n", "the file", "not YAML", "Keep one document"),
    ("a control character", "version: 1\n# \x07\n", "the file", "not YAML", "Correct"),
    ("a tag", "version: !!python/object:os.system x\n", "version", "tag", "without a tag"),
    ("a loop", "version: 1\ntopics: &a {lines: *a}\n", "topics.lines", "contains itself", "Write the value out"),
    ("no version", changed("version", to=...), "the file", "version", "Add the line `version: 1`"),
    ("another version", changed("version", to=2), "version", "is 2", "Write `version: 1`"),
    ("version as text", changed("version", to="1"), "version", "'1'", "Write `version: 1`"),
    ("unknown top key", changed("pipeline", to={}), "pipeline", "not a key of the file", "`pipelines`"),
    ("topics a list", changed("topics", to=["orders"]), "topics", "a list, not a mapping", "`name: {…}`"),
    ("unknown key", sums(interval=2), "pipelines.sums.interval", "not a key", "Write `interval_s`"),
    ("key of a section", sums(driver_memory="1g"), "pipelines.sums.driver_memory", "not a key",
     "Move it into `resources`"),
    ("key in the wrong section", sums(resources={"run": "manual"}), "pipelines.sums.resources.run", "not a key",
     "one level up"),
    ("a pipeline's key at the top", {**GOOD, "interval_s": 2}, "interval_s", "not a key of the file", "`defaults`"),
    ("a name inside", sums(name="other"), "pipelines.sums.name", "not a key", "the key above is the name"),
    ("a password", sums(password="hunter2"), "pipelines.sums.password", "secrets are not kept", "Airflow connection"),
    ("SASL", sums(**{"sasl.jaas.config": "hunter2"}), "pipelines.sums.sasl.jaas.config", "secrets",
     "Airflow connection"),
    ("an address", sums(**{"bootstrap.servers": "kafka:9092"}), "pipelines.sums.bootstrap.servers", "addresses are not",
     "Airflow connection"),
    ("an address for an id", sums(connections={"kafka": "kafka:9092"}), "pipelines.sums.connections.kafka",
     "looks like an address", "its id here"),
    ("a password in a URL", sums(resources={"conf": {"spark.a": "https://me:hunter2@host"}}),
     "pipelines.sums.resources.conf.spark.a", "password in it", "change the password"),
    ("a secret for Spark", sums(resources={"conf": {"spark.hadoop.fs.s3a.secret.key": "hunter2"}}),
     "pipelines.sums.resources.conf.spark.hadoop.fs.s3a.secret.key", "secrets are not kept", "Airflow connection"),
    ("what streamops sets", sums(resources={"conf": {"spark.executor.memory": "1g"}}),
     "pipelines.sums.resources.conf.spark.executor.memory", "is set by streamops", "Use `resources.executor_memory`"),
    ("not Spark's", sums(resources={"conf": {"fs.s3a.path.style.access": True}}),
     "pipelines.sums.resources.conf.fs.s3a.path.style.access", "not a Spark setting", "spark.hadoop.fs.s3a"),
    ("no approach", changed("pipelines", "sums", "approach", to=...), "pipelines.sums.approach", "has no `approach`",
     "Add `approach: direct`"),
    ("unknown approach", sums(approach="drect"), "pipelines.sums.approach", "'drect'", "Did you mean `direct`?"),
    ("topics as a word", sums(topics="orders"), "pipelines.sums.topics", "not a list", "Write [orders]"),
    ("no topics", sums(topics=[]), "pipelines.sums.topics", "is empty", "declared under `topics`"),
    ("a topic twice", sums(topics=["orders", "orders"]), "pipelines.sums.topics[1]", "twice", "Keep one"),
    ("an undeclared topic", sums(topics=["order"]), "pipelines.sums.topics[0]", "not declared", "Write `orders`"),
    ("a topic like none", sums(topics=["zebra"]), "pipelines.sums.topics[0]", "not declared", "Declare it"),
    ("unknown transform", sums(transform="wordcount"), "pipelines.sums.transform", "no transform", "`word_count`"),
    ("sink as a word", sums(sink="parquet"), "pipelines.sums.sink", "not a mapping", "`sink: {type: parquet}`"),
    ("unknown sink", sums(sink={"type": "parket"}), "pipelines.sums.sink.type", "'parket'", "`parquet`"),
    ("a unit in the value", sums(interval_s="2s"), "pipelines.sums.interval_s", "not a number", "Write 2, without"),
    ("too short an interval", sums(interval_s=0), "pipelines.sums.interval_s", "is 0", "at least 0.1"),
    ("truth for a number", sums(rate_limit=True), "pipelines.sums.rate_limit", "true, not a whole", "Write a whole"),
    ("no rate", sums(rate_limit=0), "pipelines.sums.rate_limit", "is 0", "at least 1"),
    ("null for a word", sums(run=None), "pipelines.sums.run", "null", "Write `always` or `manual`"),
    ("null for a section", sums(schedules=None), "pipelines.sums.schedules", "null, not a mapping", "remove the key"),
    ("memory with a comma", sums(resources={"driver_memory": "1.5g"}), "pipelines.sums.resources.driver_memory",
     "not an amount", "`1536m`"),
    ("memory as a number", sums(resources={"driver_memory": 512}), "pipelines.sums.resources.driver_memory", "not text",
     "in quotes"),
    ("too little memory", sums(resources={"executor_memory": "256m"}), "pipelines.sums.resources.executor_memory",
     "less memory than Spark", "`450m`"),
    ("a duration for a schedule", sums(schedules={"snapshot": "5m"}), "pipelines.sums.schedules.snapshot", "duration",
     '"*/5 * * * *"'),
    ("an unknown preset", sums(schedules={"cleanup": "@dayly"}), "pipelines.sums.schedules.cleanup", "no schedule",
     "`@daily`"),
    ("a bad cron expression", sums(schedules={"drill": "61 * * * *"}), "pipelines.sums.schedules.drill",
     "not a schedule",
     "five fields"),
    ("seconds in cron", sums(schedules={"drill": "0 * * * * *"}), "pipelines.sums.schedules.drill", "not a schedule",
     "five fields"),
    ("no lag allowed", sums(objectives={"lag_s": 0}), "pipelines.sums.objectives.lag_s", "is 0", "more than 0"),
    ("absolute state", sums(state_directory="/data/sums"), "pipelines.sums.state_directory", "absolute",
     "below the URL"),
    ("state by a URL", sums(state_directory="s3://bucket/sums"), "pipelines.sums.state_directory", "absolute", "below"),
    ("state above", sums(state_directory="../sums"), "pipelines.sums.state_directory", "leaves its place", "`sums`"),
    ("state with a glob", sums(state_directory="sums*"), "pipelines.sums.state_directory", "not every file system",
     "Begin each part"),
    ("dead letters nowhere", sums(on_bad_record="dead_letter"), "pipelines.sums.on_bad_record", "names none",
     "Add `dead_letter_topic: sums_dead_letters`"),
    ("dead letters to an input", sums(on_bad_record="dead_letter", dead_letter_topic="orders"),
     "pipelines.sums.dead_letter_topic", "which it reads", "Name another topic"),
    ("dead letters undeclared", sums(on_bad_record="dead_letter", dead_letter_topic="lettres"),
     "pipelines.sums.dead_letter_topic", "not declared", "`letters`"),
    ("dead letters for nothing", sums(dead_letter_topic="letters"), "pipelines.sums.dead_letter_topic", "does nothing",
     "`on_bad_record: dead_letter`"),
    ("offsets of another topic", sums(starting_offsets={"orders": {0: 0, 1: 0}, "letters": {0: 0}}),
     "pipelines.sums.starting_offsets.letters", "does not read", "Remove them"),
    ("offsets not whole", sums(starting_offsets={"orders": {0: 0}}), "pipelines.sums.starting_offsets.orders",
     "leave out partition 1", "State every partition"),
    ("a partition too many", sums(starting_offsets={"orders": {0: 0, 1: 0, 2: 0}}),
     "pipelines.sums.starting_offsets.orders", "no partition 2", "use 0 to 1"),
    ("offsets of no topic", sums(starting_offsets={"orders": 4}), "pipelines.sums.starting_offsets", "not offsets",
     "one offset"),
    ("an unknown start", sums(starting_offsets="erliest"), "pipelines.sums.starting_offsets", "not where reading",
     "`earliest`"),
    ("a time without zone", sums(starting_offsets="2026-11-20T03:00:00"), "pipelines.sums.starting_offsets",
     "no time zone", "Z"),
    ("a receiver for direct", sums(receiver={"receivers": 2}), "pipelines.sums.receiver", "receiver approach alone",
     "Remove it"),
    ("no core for a batch", sums(approach="receiver"), "pipelines.sums.resources", "leave none", "`executor_cores: 2`"),
    ("an unknown source", sums(source="topics"), "pipelines.sums.source", "'topics'", "`kafka` or `folder`"),
    ("no folder", files(folder=...), "pipelines.sums.folder", "has no `folder`", "Add `folder: {path:"),
    ("a folder without its path", files(folder={}), "pipelines.sums.folder.path", "has no `path`", "Add `path:"),
    ("a relative folder", files(folder={"path": "incoming"}), "pipelines.sums.folder.path", "not absolute",
     "from the root"),
    ("an unknown mode", files(folder={"path": "/in", "mode": "streaming"}), "pipelines.sums.folder.mode",
     "'streaming'", "Did you mean `stream`?"),
    ("an unknown key of a folder", files(folder={"path": "/in", "pth": "/in"}), "pipelines.sums.folder.pth",
     "not a key", "Write `path`"),
    ("a folder for Kafka", sums(folder={"path": "/in"}), "pipelines.sums.folder", "is about a folder",
     "`source: folder`"),
    ("topics for a folder", files(topics=["orders"]), "pipelines.sums.topics", "is about Kafka", "`source: kafka`"),
    ("an approach for a folder", files(approach="direct"), "pipelines.sums.approach", "is about Kafka", "Remove it"),
    ("a rate for a folder", files(rate_limit=5), "pipelines.sums.rate_limit", "is about Kafka", "Remove it"),
    ("top words of a stream", files(folder={"path": "/in", "top": 5}), "pipelines.sums.folder.top",
     "`mode: batch` alone", "streamops counts sums --top 5"),
    ("a batch of something else", files("batch", transform="identity"), "pipelines.sums.transform", "counted words",
     "`transform: word_count`"),
    ("a batch without end", files("batch", run="always"), "pipelines.sums.run", "ends by itself", "`run: manual`"),
    ("a batch with an interval", files("batch", interval_s=5), "pipelines.sums.interval_s", "one batch", "Remove it"),
    ("direct settings for a receiver", sums(approach="receiver", direct={"consumer_group": "x"},
                                            resources={"executor_cores": 2}),
     "pipelines.sums.direct", "the direct approach alone", "`approach: direct`"),
    ("a group of two direct jobs", changed("pipelines", "more", to={
        **GOOD["pipelines"]["sums"], "direct": {"consumer_group": "sums"}}),
     "pipelines.more.direct.consumer_group", "in the same group: `sums`", "to have `more`"),
    ("an ERR below WARN", sums(lag={"warn_s": 60, "err_s": 30}), "pipelines.sums.lag.err_s",
     "before it is at WARN (60)", "at least 60"),
    ("an ERR below WARN, in records", sums(lag={"warn_records": 60, "err_records": 30}),
     "pipelines.sums.lag.err_records", "ERR (30)", "lower `warn_records`"),
    ("points kept for a negative time", sums(points={"all_for_d": -1}), "pipelines.sums.points.all_for_d", "is -1",
     "at least 0"),
    ("a quarantine of a negative time", sums(cleanup={"quarantine_d": -1}), "pipelines.sums.cleanup.quarantine_d",
     "is -1", "at least 0"),
    ("a rule of cleanup that there is not", sums(cleanup={"rules": {"write_ahead_logs": True}}),
     "pipelines.sums.cleanup.rules.write_ahead_logs", "not a key", "`write_ahead_log`"),
    ("a rule that is on by a number", sums(cleanup={"rules": {"batch_log": 1}}),
     "pipelines.sums.cleanup.rules.batch_log", "is 1, not true or false", "true or false"),
    ("an age of what all pipelines share", sums(cleanup={"code_d": 3}), "pipelines.sums.cleanup.code_d",
     "does nothing", "`defaults: {cleanup: {code_d: …}}`"),
    ("a rule about what all pipelines share", sums(cleanup={"rules": {"orphan": True}}),
     "pipelines.sums.cleanup.rules.orphan", "does nothing", "`defaults: {cleanup: {rules: {orphan: …}}}`"),
    ("a topic that keeps less than the objective",
     changed("topics", "orders", "configs", to={"retention.ms": 3_600_000}),
     "pipelines.sums.objectives.data_loss_s", "`orders` keeps records for 3600 s", "for example 1800"),
    ("a bad pipeline name", changed("pipelines", "my sums", to=GOOD["pipelines"]["sums"]), "pipelines.my sums",
     "cannot be the name", "`my_sums`"),
    ("a pipeline that is a word", changed("pipelines", "other", to="direct"), "pipelines.other", "not a mapping",
     "indented"),
    ("a bad topic name", changed("topics", "my orders", to=SMALL), "topics.my orders",
     "the topic name", "`my_orders`"),
    ("a long topic name", changed("topics", "x" * 250, to=SMALL), f"topics.{'x' * 250}",
     "cannot be the name", "249"),
    ("Kafka's own topic", changed("topics", "__consumer_offsets", to=SMALL),
     "topics.__consumer_offsets", "Kafka's own", "another name"),
    ("topics that collide", {**GOOD, "topics": {**GOOD["topics"], "a.b": SMALL, "a_b": SMALL}}, "topics.a_b",
     "cannot have both", "Rename"),
    ("no partitions", changed("topics", "orders", "partitions", to=0), "topics.orders.partitions", "is 0",
     "at least 1"),
    ("no replication", changed("topics", "orders", "replication", to=...), "topics.orders.replication", "has no",
     "Add `replication: 1`"),
    ("unknown config", changed("topics", "orders", "configs", to={"retention.mss": 1}),
     "topics.orders.configs.retention.mss", "no topic config", "`retention.ms`"),
    ("a duration for a config", changed("topics", "orders", "configs", to={"retention.ms": "7d"}),
     "topics.orders.configs.retention.ms", "'7d'", "Write 604800000"),
    ("a size for a config", changed("topics", "orders", "configs", to={"retention.bytes": "1 GB"}),
     "topics.orders.configs.retention.bytes", "'1 GB'", "Write 1073741824"),
    ("a config out of bounds", changed("topics", "orders", "configs", to={"segment.bytes": 1000}),
     "topics.orders.configs.segment.bytes", "outside of 1048576", "from 1048576"),
    ("an unknown word for a config", changed("topics", "orders", "configs", to={"cleanup.policy": "compct"}),
     "topics.orders.configs.cleanup.policy", "'compct'", "`compact`"),
    ("more replicas in sync than there are", changed("topics", "orders", "configs", to={"min.insync.replicas": 2}),
     "topics.orders.configs.min.insync.replicas", "2 replicas in sync", "at most 1"),
]


@pytest.mark.parametrize(("data", "place", "found", "repair"), [case[1:] for case in ONE_MISTAKE],
                         ids=[case[0] for case in ONE_MISTAKE])
def test_one_mistake_is_one_problem_with_its_repair(data: Any, place: str, found: str, repair: str) -> None:
    problems = problems_of(data)
    assert len(problems) == 1, problems
    problem = problems[0]
    assert problem.as_dict()["path"] == place
    assert found in problem.found
    assert repair in problem.repair
    assert "hunter2" not in str(problems), "a secret is never repeated"


def test_groups_are_named_after_pipelines_unless_they_say_otherwise() -> None:
    data = sums(direct={"consumer_group": "mine"})
    data["pipelines"]["more"] = GOOD["pipelines"]["sums"]
    data["pipelines"]["received"] = {**GOOD["pipelines"]["sums"], "approach": "receiver",
                                     "resources": {"executor_cores": 2}}
    assert {name: each.consumer_group for name, each in read(data).pipelines.items()} == {
        "sums": "mine", "more": "more", "received": "received"}


def test_two_pipelines_never_share_state() -> None:
    data = sums()
    data["pipelines"]["same"] = {**GOOD["pipelines"]["sums"], "state_directory": "sums"}
    data["pipelines"]["inside"] = {**GOOD["pipelines"]["sums"], "state_directory": "sums/inside"}
    data["pipelines"]["beside"] = {**GOOD["pipelines"]["sums"], "state_directory": "sums2"}
    data["pipelines"]["elsewhere"] = {**GOOD["pipelines"]["sums"], "state_directory": "sums",
                                      "connections": {"storage": "other"}}
    found = [problem.found for problem in problems_of(data)]
    assert len(found) == 3
    assert all("same" in text or "inside" in text for text in found)


def test_a_mistake_in_defaults_is_told_once_at_its_line() -> None:
    data = {"version": 1, "defaults": {"interval_s": "x", "resources": {"driver_memory": "1"}}, **{
        key: value for key, value in GOOD.items() if key != "version"}}
    data["pipelines"] = {name: GOOD["pipelines"]["sums"] for name in ("a", "b", "c")}
    assert [(problem.line, problem.as_dict()["path"]) for problem in problems_of(data)] == [
        (3, "defaults.interval_s"), (5, "defaults.resources.driver_memory")]


def test_a_key_given_twice_is_a_problem_with_both_lines() -> None:
    text = yaml.safe_dump(GOOD, sort_keys=False) + "  sums:\n    approach: direct\n"
    (problem,) = problems_of(text)
    assert "`sums` is given twice in pipelines, first in line 10" in problem.found
    assert text.splitlines()[problem.line - 1] == "  sums:"


def test_anchors_and_merges_are_read() -> None:
    data = load("p", """
version: 1
topics: {orders: &small {partitions: 2, replication: 1}, letters: *small}
pipelines:
  a: &a {approach: direct, topics: [orders], transform: identity, sink: {type: console}}
  b:
    <<: *a
    topics: [letters]
""")
    assert data.pipelines["b"].topics == ("letters",)
    assert data.pipelines["b"].sink.type == "console"


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="STREAMOPS_PIPELINES"):
        load(tmp_path / "none.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load(binary)


#: The file that a tired person writes. Comments say what is wrong in the line.
TWENTY_MISTAKES = """\
version: 2                                                  # 1 another version
default: {}                                                 # 2 unknown key
defaults:
  interval_s: 2s                                            # 3 a unit in the value
  connections: {kafka: "localhost:9092", pasword: hunter2}  # 4 an address, 5 an unknown key
topics:
  lines: {partitions: 0, replication: "1"}                  # 6 no partitions, 7 text
  "bad topic!": {partitions: 1, replication: 1}             # 8 name
  orders: {partitions: 2, replication: 1, configs: {retention.mss: 1, retention.ms: 7d}}  # 9, 10
  orders: {partitions: 1, replication: 1}                   # 11 twice
pipelines:
  my sums:                                                  # 12 name
    approach: dirct                                         # 13
    topics: [order]                                         # 14 undeclared
    transform: wordcount                                    # 15
    sink: parquet                                           # 16 not a mapping
    interval: 3                                             # 17
    driver_memory: 1g                                       # 18 belongs into resources
    rate_limit: 0                                           # 19
    state_directory: /abs                                   # 20
  other:
    approach: direct
    topics: [orders]
    transform: word_count
    sink: {type: parquet}
    on_bad_record: dead_letter
    dead_letter_topic: orders                               # 21 its own input
    starting_offsets: {orders: {0: 5}}                      # 22 a partition is missing
    state_directory: x/../y                                 # 23
    resources: {executor_memory: 1.5g, conf: {spark.master: local}}  # 24, 25
    schedules: {snapshot: 5m}                               # 26
    bootstrap.servers: localhost:9092                       # 27 an address
"""


def test_a_file_with_twenty_seven_mistakes_gives_one_report_with_as_many_repairs(tmp_path: Path) -> None:
    file = tmp_path / "pipelines.yaml"
    file.write_text(TWENTY_MISTAKES, "utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load(file)
    report = str(refused.value).splitlines()
    assert report[0] == f"{file} has 27 problems:"
    found, repairs = report[1::2], report[2::2]
    assert len(found) == len(repairs) == 27
    assert all(line.startswith("    ") and line.endswith(".") for line in repairs)
    comments = [line.partition("# ")[2] for line in TWENTY_MISTAKES.splitlines()]
    numbered = [line for line, comment in enumerate(comments, 1) for _ in re.findall(r"(?:^|, )\d+", comment)]
    assert [int(line.removeprefix(f"{file}:").split(":")[0]) for line in found] == numbered
    assert "hunter2" not in str(refused.value)


def test_the_report_is_the_same_for_a_file_without_end_of_line() -> None:
    assert problems_of(TWENTY_MISTAKES) == problems_of(TWENTY_MISTAKES.rstrip("\n"))


KEYS = st.sampled_from(["version", "defaults", "topics", "pipelines", "sums", "orders", "name", "<<", "partitions",
                        "configs", "retention.ms", *Pipeline.model_fields, *Resources.model_fields,
                        *Schedules.model_fields])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), KEYS,
                    st.sampled_from(["1g", "2s", "s3://a:b@c", "a:1", "direct", "receiver", "../x", "5m", "* * * * *"]))
ANYTHING = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3),
                                                         st.dictionaries(KEYS, inner, max_size=4)), max_leaves=8)


@given(path=st.lists(KEYS, min_size=1, max_size=4), value=ANYTHING)
@settings(max_examples=200, deadline=None)
def test_no_content_makes_the_check_fail(path: list[str], value: Any) -> None:
    """Whatever stands in the file, the answer is a report."""
    data: Any = sums(resources={}, schedules={}, starting_offsets={"orders": {0: 1, 1: 1}})
    inner = data
    for step in path[:-1]:
        inner = inner[step] if isinstance(inner.get(step), dict) else inner
    inner[path[-1]] = value
    text = yaml.safe_dump(data, sort_keys=False)
    for problem in problems_of(text):
        assert 1 <= problem.line <= text.count("\n")
        assert problem.found
        assert problem.repair


@given(st.text(alphabet="a1:-[]{}&*!|> \n\t#\"'", max_size=40))
@settings(max_examples=200, deadline=None)
def test_no_text_makes_the_check_fail(text: str) -> None:
    assert problems_of(text)


def test_loading_imports_nothing_heavy() -> None:
    """Airflow's DAG processor loads the file again and again."""
    code = ("import sys; from streamops.declared import pipelines; pipelines.load(sys.argv[1]); "
            "print([name for name in ('airflow', 'kafka', 'pyspark', 'pandas', 'fsspec') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code, str(DAGS / "pipelines.yaml")], capture_output=True, text=True,
                          env={"PYTHONPATH": str(Path(pipelines.__file__).parents[2])}, check=True)
    assert done.stdout.strip() == "[]"
