"""Under what a drill runs: versions of the programs, and the settings that recovery times depend on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import streamops
from streamops.adapters.kafka.broker import Broker
from streamops.declared.pipeline import Pipeline
from streamops.drills.drill import Surroundings


def read(pipeline: Pipeline, broker: Broker | None = None) -> Surroundings:
    """The versions and settings of a pipeline as it runs from here; what cannot be told is left out.

    Spark's and Airflow's are those of the packages here, which submit the driver. Kafka's is the newest release whose
    requests the broker knows: a broker does not tell its own.
    """
    versions = {"streamops": streamops.__version__}
    for name, package in (("spark", "pyspark"), ("airflow", "apache-airflow")):
        try:
            versions[name] = version(package)
        except PackageNotFoundError:
            continue
    versions["python"] = platform.python_version()
    settings = _settings(pipeline)
    if broker is not None:
        versions["kafka"] = _kafka(broker)
        settings |= _topics(broker, pipeline)
    return Surroundings(versions, settings)


def _settings(pipeline: Pipeline) -> dict[str, str]:
    given: dict[str, Any] = {
        "transform": pipeline.transform,
        "interval_s": f"{pipeline.interval_s:g}",
        "executors": pipeline.resources.executors,
        "executor_cores": pipeline.resources.executor_cores,
        "driver_memory": pipeline.resources.driver_memory,
        "executor_memory": pipeline.resources.executor_memory,
        "machine_cores": os.cpu_count(),
    }
    if pipeline.approach == "receiver":
        given["receivers"] = pipeline.receiver.receivers
        given["write_ahead_log"] = pipeline.receiver.write_ahead_log
    given.update({f"conf.{name}": value for name, value in pipeline.resources.conf.items()})
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}


def _kafka(broker: Broker) -> str:
    known = broker.call(lambda: broker.admin.get_broker_version_data(broker.broker_ids()[0])).broker_version
    return ".".join(map(str, known))


def _topics(broker: Broker, pipeline: Pipeline) -> dict[str, str]:
    found = broker.observe_topics(pipeline.topics)
    return {
        "brokers": str(len(broker.broker_ids())),
        "partitions": str(sum(topic.partitions for topic in found.values())),
        "replication": "/".join(sorted({str(size) for topic in found.values() for size in topic.replication})),
        "min_insync_replicas": "/".join(sorted({
            topic.configs.get("min.insync.replicas", "1") for topic in found.values()}))}
