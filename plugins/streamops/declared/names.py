"""Which names and values may stand in pipelines.yaml: checks of one word each, with the repair in the error.

Every check takes the text and returns it as it is used, or raises Mistake. Standard library only,
but for `schedule`, which asks the parser that Airflow asks.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from streamops.declared.problems import Mistake, choices, nearest, quoted

#: Kafka's own limit (`Topic.MAX_NAME_LENGTH`): name and partition number must fit a folder name of 255 bytes.
_TOPIC_LENGTH = 249
#: Airflow takes 250 characters for a DAG id; what is left is for prefixes of DAGs that belong to a pipeline.
_PIPELINE_LENGTH = 200
#: Spark refuses a driver and an executor with less (`UnifiedMemoryManager`: 1.5 times its reserved 300 MiB).
_LEAST_MEMORY_MIB = 450

_BUILT_IN_TRANSFORMS = ("word_count", "identity")
_UNITS_MIB = {"k": 1 / 1024, "m": 1, "g": 1024, "t": 1024**2}
_PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
_EVERY = {"s": None, "m": "*/{} * * * *", "min": "*/{} * * * *", "h": "0 */{} * * *"}


def topic_name(name: str) -> str:
    """A name that Kafka takes for a topic (`org.apache.kafka.common.internals.Topic.validate`)."""
    if name in {"", ".", ".."} or len(name) > _TOPIC_LENGTH:
        raise Mistake(f"{quoted(name)} cannot be the name of a topic",
                         f"Kafka takes 1 to {_TOPIC_LENGTH} characters, and neither `.` nor `..`.")
    if bad := sorted(set(re.findall(r"[^A-Za-z0-9._-]", name))):
        raise Mistake(f"the topic name {quoted(name)} has {choices(bad)} in it",
                         f"Use letters, digits, `.`, `_` and `-`: `{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}`.")
    if name in {"__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"}:
        raise Mistake(f"`{name}` is a topic of Kafka's own", "Take another name.")
    return name


def pipeline_name(name: str) -> str:
    """A name that is in an Airflow DAG id, and is a folder and part of a URL."""
    if not name or len(name) > _PIPELINE_LENGTH:
        raise Mistake(f"a pipeline's name has {len(name)} characters", f"Use 1 to {_PIPELINE_LENGTH}.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        proposal = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).lstrip("_.-") or "orders"
        raise Mistake(f"{quoted(name)} cannot be the name of a pipeline, which is part of a DAG's id and a folder",
                         f"Begin with a letter or digit, then letters, digits, `_`, `-` and `.`: `{proposal}`.")
    return name


def connection_id(name: str) -> str:
    """The id of an Airflow connection; never an address."""
    if "://" in name or re.search(r":\d+", name):
        raise Mistake("a connection is named here, and this looks like an address",
                         "Put the address in an Airflow connection (AIRFLOW_CONN_<ID>), and its id here.")
    if not re.fullmatch(r"[\w.-]{1,250}", name):
        raise Mistake(f"{quoted(name)} cannot be the id of an Airflow connection",
                         "Use letters, digits, `_`, `-` and `.`, for example `kafka_default`.")
    return name


def state_directory(path: str) -> str:
    """A folder below the storage connection's URL, which no file system or glob of Spark reads in another way."""
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", path):
        raise Mistake(f"the state directory {quoted(path)} is absolute",
                         "Write a path below the URL of the storage connection, for example the pipeline's name.")
    parts = path.split("/")
    if ".." in parts or "." in parts:
        raise Mistake(f"the state directory {quoted(path)} leaves its place by `.` or `..`",
                         f"Write the path itself: `{'/'.join(part for part in parts if part.strip('.')) or 'orders'}`.")
    if not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.=-]*", part) for part in parts):
        raise Mistake(f"the state directory {quoted(path)} has a part that not every file system takes",
                         "Begin each part with a letter or digit, then letters, digits, `_`, `-`, `.` and `=`.")
    return path


def folder_path(path: str) -> str:
    """A folder that Spark reads: a URL, or an absolute path, which is the same on every machine of the cluster."""
    if not path.startswith("/") and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", path):
        raise Mistake(f"the folder {quoted(path)} is not absolute",
                         "Write a URL, for example hdfs://nn:8020/incoming, or a path from the root: /data/incoming.")
    return path


def memory(text: str) -> str:
    """An amount of memory as a JVM takes it: `512m`, `1g`."""
    written = re.fullmatch(r"(\d+)([kmgt])", text)
    if written is None:
        loose = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt])(?:i?b)?\s*", text.lower())
        mib = round(float(loose[1]) * _UNITS_MIB[loose[2]]) if loose else 0
        proposal = f"{mib // 1024}g" if mib and mib % 1024 == 0 else f"{mib or 512}m"
        raise Mistake(f"{quoted(text)} is not an amount of memory",
                         f"Write a whole number and one of `k`, `m`, `g`, `t`: `{proposal}`.")
    if int(written[1]) * _UNITS_MIB[written[2]] < _LEAST_MEMORY_MIB:
        raise Mistake(f"{quoted(text)} is less memory than Spark starts with",
                         f"Write `{_LEAST_MEMORY_MIB}m` or more.")
    return text


def transform(name: str) -> str:
    """A built-in transform, or `module:function`."""
    if name in _BUILT_IN_TRANSFORMS or re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", name):
        return name
    close = nearest(name, _BUILT_IN_TRANSFORMS)
    raise Mistake(f"there is no transform {quoted(name)}",
                     (f"Write `{close}`" if close else f"Write {choices(_BUILT_IN_TRANSFORMS)}")
                     + ", or `module:function` for one of your own in jobs/transforms.")


def schedule(text: str) -> str:
    """A preset or a cron expression of five fields, as Airflow takes it; times are UTC."""
    if text in _PRESETS:
        return text
    if text.startswith("@"):
        close = nearest(text, _PRESETS)
        raise Mistake(f"there is no schedule {quoted(text)}",
                         f"Write `{close}`." if close else f"Write {choices(_PRESETS)}, a cron expression, or null.")
    if every := re.fullmatch(r"(\d+)\s*(s|m|min|h)", text):
        cron = _EVERY[every[2]]
        raise Mistake(f"the schedule {quoted(text)} is a duration",
                      f'Write the cron expression "{cron.format(every[1])}".' if cron else
                      'A cron expression has whole minutes: write "* * * * *" for every minute.')
    # Airflow's own parser; imported here because it takes 100 ms.
    from croniter import croniter  # type: ignore[import-untyped]

    if len(text.split()) != 5 or not croniter.is_valid(text):
        raise Mistake(f"{quoted(text)} is not a schedule",
                         "Write a cron expression of five fields (minute, hour, day, month, weekday), for example "
                         f'"*/5 * * * *", or {choices(_PRESETS)}, or null for never.')
    return text


def starting_offsets(value: Any) -> str | dict[str, dict[str, int]]:
    """`earliest`, `latest`, a time as UTC in ISO 8601, or offsets by topic and partition.

    A time's zone must be written, because a guess could be hours off.
    """
    if isinstance(value, dict):
        return {topic: _partition_offsets(topic, offsets) for topic, offsets in value.items()}
    if value in ("earliest", "latest"):
        return str(value)
    try:
        time = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        raise Mistake(f"{quoted(value)} is not where reading can start",
                      "Write `earliest`, `latest`, a time such as 2026-11-20T03:00:00Z, or offsets by topic and "
                      "partition: {orders: {0: 1500, 1: 1620}}.") from None
    if time.tzinfo is None:
        raise Mistake(f"the time {quoted(value)} says no time zone",
                      f"Write `{time.isoformat()}Z` if it is UTC, or the offset, as in `{time.isoformat()}+02:00`.")
    return time.astimezone(UTC).isoformat()


def _partition_offsets(topic: str, offsets: Any) -> dict[str, int]:
    whole = isinstance(offsets, dict) and all(
        str(partition).isdecimal() and type(offset) is int and offset >= 0 for partition, offset in offsets.items())
    if not whole:
        raise Mistake(f"the starting offsets of {quoted(topic)} are not offsets by partition",
                      "Write one offset, 0 or more, for each partition: {0: 1500, 1: 1620}.")
    return {str(int(partition)): offset for partition, offset in offsets.items()}
