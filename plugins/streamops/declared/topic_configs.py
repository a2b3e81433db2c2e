"""The configs that a Kafka topic has, with their types and bounds.

Read out of Kafka 4.3.0's own `LogConfig.configDef()`, so a mistyped name or value is found in the file, with its
line, and not by a broker in the middle of an apply. Standard library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from streamops.declared.problems import Mistake, choices, nearest, quoted

_INT_MAX = 2**31 - 1
_LONG_MAX = 2**63 - 1
#: Units that people write where Kafka wants a plain number.
_MS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_BYTES = {"b": 1, "k": 1024, "kb": 1024, "m": 1024**2, "mb": 1024**2, "g": 1024**3, "gb": 1024**3, "t": 1024**4,
          "tb": 1024**4}


@dataclass(frozen=True)
class TopicConfig:
    """One config: its type, the smallest and largest value where it is a number, the words where it takes words."""

    kind: Literal["int", "double", "boolean", "word", "list"]
    least: int = 0
    most: int = _LONG_MAX
    words: tuple[str, ...] = ()


def _int(least: int = 0, most: int = _LONG_MAX) -> TopicConfig:
    return TopicConfig("int", least, most)


TOPIC_CONFIGS: dict[str, TopicConfig] = {
    "cleanup.policy": TopicConfig("list", words=("compact", "delete")),
    "compression.gzip.level": _int(-1, 9),
    "compression.lz4.level": _int(1, 17),
    "compression.type": TopicConfig("word", words=("producer", "uncompressed", "zstd", "lz4", "snappy", "gzip")),
    "compression.zstd.level": _int(-131072, 22),
    "delete.retention.ms": _int(),
    "file.delete.delay.ms": _int(),
    "flush.messages": _int(1),
    "flush.ms": _int(),
    "follower.replication.throttled.replicas": TopicConfig("list"),
    "index.interval.bytes": _int(0, _INT_MAX),
    "leader.replication.throttled.replicas": TopicConfig("list"),
    "local.retention.bytes": _int(-2),
    "local.retention.ms": _int(-2),
    "max.compaction.lag.ms": _int(1),
    "max.message.bytes": _int(0, _INT_MAX),
    "message.timestamp.after.max.ms": _int(),
    "message.timestamp.before.max.ms": _int(),
    "message.timestamp.type": TopicConfig("word", words=("CreateTime", "LogAppendTime")),
    "min.cleanable.dirty.ratio": TopicConfig("double", 0, 1),
    "min.compaction.lag.ms": _int(),
    "min.insync.replicas": _int(1, _INT_MAX),
    "preallocate": TopicConfig("boolean"),
    "remote.log.copy.disable": TopicConfig("boolean"),
    "remote.log.delete.on.disable": TopicConfig("boolean"),
    "remote.storage.enable": TopicConfig("boolean"),
    "retention.bytes": _int(-1),
    "retention.ms": _int(-1),
    # Kafka 4.2 on refuses segments below 1 MiB: each costs open files and memory.
    "segment.bytes": _int(1024**2, _INT_MAX),
    "segment.index.bytes": _int(4, _INT_MAX),
    "segment.jitter.ms": _int(),
    "segment.ms": _int(1),
    "unclean.leader.election.enable": TopicConfig("boolean"),
}

#: Set by Kafka's own tools while partitions move, and removed by them again: never taken for drift.
TRANSIENT = frozenset({"follower.replication.throttled.replicas", "leader.replication.throttled.replicas"})


def unknown_config(name: str) -> tuple[str, str] | None:
    """What is wrong with a config's name, and the repair; None when Kafka knows it."""
    if name in TOPIC_CONFIGS:
        return None
    close = nearest(name, TOPIC_CONFIGS)
    return (f"Kafka has no topic config {quoted(name)}",
            f"Write `{close}`." if close else "See \"Topic Configs\" in Kafka's documentation for the names it has.")


def config_text(name: str, value: Any) -> str:
    """The value as Kafka takes it: text.

    Raises:
        Mistake: when Kafka would refuse the value.
    """
    config = TOPIC_CONFIGS[name]
    if config.kind == "boolean":
        if str(value).lower() not in {"true", "false"}:
            raise Mistake(f"`{name}` is {quoted(value)}, which is neither true nor false", "Write true or false.")
        return str(value).lower()
    if config.kind in {"int", "double"}:
        return _number(name, value, config)
    words = value if isinstance(value, list) else str(value).split(",") if config.kind == "list" else [value]
    for word in words:
        if config.words and (not isinstance(word, str) or word.strip() not in config.words):
            close = nearest(str(word), config.words)
            raise Mistake(f"`{name}` is {quoted(word)}", f"Write `{close}`." if close else
                             f"Write {choices(config.words)}.")
    return ",".join(str(word).strip() for word in words)


def _number(name: str, value: Any, config: TopicConfig) -> str:
    wanted = "a whole number" if config.kind == "int" else "a number"
    unit = " of milliseconds" if name.endswith(".ms") else " of bytes" if name.endswith(".bytes") else ""
    allowed = (int,) if config.kind == "int" else (int, float)
    number: Any = value
    if isinstance(value, str):
        try:
            number = int(value) if config.kind == "int" else float(value)
        except ValueError:
            number = None
    if isinstance(number, bool) or not isinstance(number, allowed):
        raise Mistake(f"`{name}` is {quoted(value)}, not {wanted}{unit}",
                         _converted(name, value) or f"Write {wanted}{unit}.")
    if not config.least <= number <= config.most:
        raise Mistake(f"`{name}` is {number}, outside of {config.least} to {config.most}",
                         f"Write {wanted} from {config.least} to {config.most}.")
    return str(number)


def _converted(name: str, value: Any) -> str | None:
    """`7d` or `1 GB` in the unit that the config has."""
    written = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]+?)s?\s*", str(value))
    units = _MS if name.endswith(".ms") else _BYTES if name.endswith(".bytes") else {}
    if written is None or written[2].lower() not in units:
        return None
    return f"Write {int(written[1]) * units[written[2].lower()]}."
