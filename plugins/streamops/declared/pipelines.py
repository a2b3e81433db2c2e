"""pipelines.yaml: every pipeline and topic that a team declares, read and checked whole.

Airflow's DAG processor reads the file again and again, so this module imports no Airflow and nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamops.declared import yaml_document
from streamops.declared.pipeline import Cleanup, Connections, Pipeline
from streamops.declared.problems import Problem, choices, nearest, quoted, report
from streamops.declared.reader import read
from streamops.declared.topics import Topic
from streamops.errors import ConfigurationError


@dataclass(frozen=True)
class Pipelines:
    """What `file` declares. `connections` and `cleanup` are the defaults, for what is of no one pipeline."""

    file: str
    topics: dict[str, Topic] = field(default_factory=dict)
    pipelines: dict[str, Pipeline] = field(default_factory=dict)
    connections: Connections = field(default_factory=Connections)
    cleanup: Cleanup = field(default_factory=Cleanup)

    def pipeline(self, name: str) -> Pipeline:
        """The pipeline of that name. Raises ConfigurationError with the nearest name when there is none."""
        return self.pipelines[_known(name, self.pipelines, "pipeline", self.file)]

    def topic(self, name: str) -> Topic:
        """The topic of that name. Raises ConfigurationError with the nearest name when there is none."""
        return self.topics[_known(name, self.topics, "topic", self.file)]

    def topics_by_connection(self) -> dict[str, dict[str, Topic]]:
        """Topics by the Kafka connection of the pipelines that use them: `{"kafka_default": {"lines": Topic}}`.

        A topic that no pipeline uses belongs to the default connection.
        """
        users: dict[str, set[str]] = {}
        for pipeline in self.pipelines.values():
            for name in filter(None, (*pipeline.topics, pipeline.dead_letter_topic)):
                users.setdefault(name, set()).add(pipeline.connections.kafka)
        grouped: dict[str, dict[str, Topic]] = {}
        for name, topic in self.topics.items():
            for connection in sorted(users.get(name, {self.connections.kafka})):
                grouped.setdefault(connection, {})[name] = topic
        return grouped


def load(path: Path | str, text: str | None = None) -> Pipelines:
    """The pipelines that the file declares; `text` is its content where it was read already.

    Raises:
        ConfigurationError: with every problem of the file, each with its line and repair.
    """
    pipelines, problems = check(path, text)
    if problems:
        raise ConfigurationError(report(str(path), problems))
    return pipelines


def check(path: Path | str, text: str | None = None) -> tuple[Pipelines, tuple[Problem, ...]]:
    """What the file declares, as far as it can be read, and everything that is wrong with it, by line.

    Raises:
        ConfigurationError: when there is no such file, or it is not text.
    """
    entries, problems = read(yaml_document.parse(_text(Path(path)) if text is None else text))
    return (Pipelines(str(path), entries.topics, entries.pipelines, entries.connections, entries.cleanup),
            tuple(sorted(set(problems), key=lambda problem: (problem.line, problem.found))))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no file {path}",
            "Name the pipelines file with --pipelines FILE or STREAMOPS_PIPELINES.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"byte {error.start} is not UTF-8"
        raise ConfigurationError(f"{path} cannot be read: {reason}", "Give a text file in UTF-8.") from None


def _known(name: str, known: dict[str, Any], kind: str, file: str) -> str:
    if name in known:
        return name
    close = nearest(name, known)
    listed = f"{file} declares {choices(sorted(known))}." if known else f"{file} declares none."
    raise ConfigurationError(f"there is no {kind} {quoted(name)}",
                             f"Did you mean `{close}`? {listed}" if close else listed)
