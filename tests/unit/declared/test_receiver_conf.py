"""Spark's settings of a receiver pipeline."""

from __future__ import annotations

from typing import Any

import pytest

from streamops.declared.pipeline import Pipeline
from streamops.declared.receiver_conf import receiver_conf

WRITE_AHEAD = "spark.streaming.{}.writeAheadLog.{}"


def pipeline(**changes: Any) -> Pipeline:
    plain = {
        "name": "orders", "approach": "receiver", "topics": ["orders"], "transform": "identity",
        "sink": {"type": "parquet"}, "resources": {"executor_cores": 3},
    }
    return Pipeline.model_validate({**plain, **changes})


def test_the_log_is_on_unless_the_pipeline_says_otherwise() -> None:
    name = WRITE_AHEAD.format("receiver", "enable")
    assert receiver_conf(pipeline(), "file:///s")[name] == "true"
    assert receiver_conf(pipeline(receiver={"write_ahead_log": False}), "file:///s")[name] == "false"


def test_a_limit_is_shared_among_receivers() -> None:
    conf = receiver_conf(pipeline(rate_limit=5000, receiver={"receivers": 2}), "file:///s")
    assert conf["spark.streaming.receiver.maxRate"] == "2500"
    assert conf["spark.streaming.backpressure.initialRate"] == "2500"
    assert "spark.streaming.receiver.maxRate" not in receiver_conf(pipeline(), "file:///s")


def test_a_graceful_stop_ends_before_hadoop_ends_it() -> None:
    conf = receiver_conf(pipeline(receiver={"stop_within_s": 90}), "file:///s")
    assert int(conf["spark.shutdown.timeout"].removesuffix("s")) > 90


@pytest.mark.parametrize(
    ("url", "raw", "closes"),
    [
        pytest.param("file:///var/streams/orders", True, False, id="file: a flush must reach the operating system"),
        pytest.param("hdfs://namenode:8020/streams/orders", False, False, id="HDFS flushes"),
        pytest.param("s3a://bucket/streams/orders", False, True, id="an object store has no flush"),
    ],
)
def test_each_file_system_gets_what_it_takes_to_keep_a_log(url: str, raw: bool, closes: bool) -> None:
    conf = receiver_conf(pipeline(), url)
    assert ("spark.hadoop.fs.file.impl" in conf) is raw
    for side in ("driver", "receiver"):
        assert (conf.get(WRITE_AHEAD.format(side, "closeFileAfterWrite")) == "true") is closes
