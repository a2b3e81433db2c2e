"""Reads the document of pipelines.yaml into pipelines and topics, and finds everything that is wrong with it.

Each entry is checked by its model; what is wrong is reported with its line and replaced by a stand-in, so that the
rest of the entry, and the rules between entries, are checked in the same pass.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from streamops.declared import topic_configs, yaml_document
from streamops.declared.explanations import explain, unknown_key
from streamops.declared.pipeline import (
    APPROACH_KEYS,
    MERGED_SECTIONS,
    SOURCE_KEYS,
    Cleanup,
    Connections,
    Pipeline,
    Section,
)
from streamops.declared.problems import Mistake, Path, Problem, dotted, quoted
from streamops.declared.rules import Declared, contradictions
from streamops.declared.topics import Topic

#: The version of the file's format; a change that breaks old files raises it.
VERSION = 1
_KEYS = ("version", "defaults", "topics", "pipelines")
_EXAMPLE = ("Begin with: version: 1, topics: {lines: {partitions: 4, replication: 1}}, pipelines: {lines_direct: "
            "{approach: direct, topics: [lines], transform: word_count, sink: {type: parquet}}}.")
#: Stands in for a value that is wrong, so that the rules between entries can still be checked.
_STAND_INS: dict[str, Any] = {"name": "name", "transform": "identity", "sink": {"type": "parquet"}, "partitions": 1,
                              "replication": 1}
#: What else is not to be judged when a key is wrong.
_FOLLOWS: dict[str, tuple[Path, ...]] = {
    "name": (("state_directory",),),
    "connections": (("state_directory",),),
    "topics": (("starting_offsets",),),
    "approach": (("receiver",),),
    "source": tuple((key,) for key in SOURCE_KEYS),
    "folder": (("folder", "top"), ("transform",), ("run",), ("interval_s",)),
    "on_bad_record": (("dead_letter_topic",), ("max_dead_letters",)),
    "dead_letter_topic": (("on_bad_record",),),
}
Checked = TypeVar("Checked", bound=Section)


@dataclass(frozen=True)
class _Outcome(Generic[Checked]):
    """What an entry gave: the model, the data that made it, and the places in it that are wrong."""

    model: Checked | None
    data: dict[str, Any]
    wrong: set[Path]


@dataclass(frozen=True)
class Entries:
    """What the file declares, as far as it can be read. `connections` and `cleanup` are those of `defaults`."""

    topics: dict[str, Topic] = field(default_factory=dict)
    pipelines: dict[str, Pipeline] = field(default_factory=dict)
    connections: Connections = field(default_factory=Connections)
    cleanup: Cleanup = field(default_factory=Cleanup)


def read(document: yaml_document.Document) -> tuple[Entries, list[Problem]]:
    """What the document declares, and everything that is wrong with it."""
    reader = _Reader(document)
    return reader.read(), reader.problems


class _Reader:
    """Reads one document; collects problems instead of stopping at the first."""

    def __init__(self, document: yaml_document.Document) -> None:
        self.document = document
        self.problems = list(document.problems)

    def add(self, path: Path, found: str, repair: str) -> None:
        if not any(path[:len(unread)] == unread for unread in self.document.unread):
            self.problems.append(Problem(self.document.line(path), path, found, repair))

    def read(self) -> Entries:
        data = self.document.data
        if data is None and not self.problems:
            self.add((), "the file is empty", _EXAMPLE)
        elif data is not None and not isinstance(data, dict):
            self.add((), f"the file is {quoted(data)}, not a mapping", _EXAMPLE)
        if not isinstance(data, dict):
            return Entries()
        self.find_passwords(data, ())
        for key in data:
            if key not in _KEYS:
                self.add((key,), *unknown_key((key,), dict.fromkeys(_KEYS), Pipeline.model_fields))
        self.check_version(data)
        declared = self.mapping(data, "topics")
        topics = self.read_topics(declared)
        connections, cleanup, defaults = self.read_defaults(self.mapping(data, "defaults"))
        # A list of topics is wrong, and still says which there are.
        listed = data.get("topics")
        names = listed if isinstance(listed, list) else list(declared)
        pipelines = self.read_pipelines(
            self.mapping(data, "pipelines"), topics, frozenset(map(str, names)), defaults)
        return Entries(topics, pipelines, connections, cleanup)

    def check_version(self, data: dict[str, Any]) -> None:
        if "version" not in data:
            self.add((), "the file does not say which version of the format it has",
                     f"Add the line `version: {VERSION}`.")
        elif type(data["version"]) is not int or data["version"] != VERSION:
            self.add(("version",), f"`version` is {quoted(data['version'])}; this streamops reads {VERSION}",
                     f"Write `version: {VERSION}`, or use the streamops that the file was written for.")

    def mapping(self, data: dict[str, Any], key: str) -> dict[str, Any]:
        """The mapping under `key`; empty when there is nothing, or something else, which is a problem."""
        value = data.get(key)
        if value is not None and not isinstance(value, dict):
            self.add((key,), f"`{key}` is {quoted(value)}, not a mapping",
                     f"Write each entry on a line of its own below `{key}:`, as `name: {{…}}`.")
        return value if isinstance(value, dict) else {}

    def entries(self, data: dict[str, Any], section: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Names and entries of a section; `name` is the entry's key and not given inside."""
        for name, entry in data.items():
            if entry is not None and not isinstance(entry, dict):
                self.add((section, name), f"`{section}.{name}` is {quoted(entry)}, not a mapping",
                         "Write its keys below it, one a line and indented.")
                continue
            entry = dict(entry or {})
            self.refuse_name((section, name), entry)
            entry.pop("name", None)
            yield name, entry

    def refuse_name(self, path: Path, entry: dict[str, Any]) -> None:
        if "name" in entry:
            self.add((*path, "name"), f"`name` is not a key of {dotted(path)}", "Remove it: the key above is the name.")

    def read_topics(self, data: dict[str, Any]) -> dict[str, Topic]:
        topics = {}
        for name, entry in self.entries(data, "topics"):
            if isinstance(entry.get("configs"), dict):
                entry["configs"] = dict(self.configs(("topics", name, "configs"), entry["configs"]))
            checked = self.validate(Topic, {"name": name, **entry}, ("topics", name))
            if checked.model is not None and not checked.wrong:
                topics[name] = checked.model
        return topics

    def configs(self, path: Path, configs: dict[str, Any]) -> Iterator[tuple[str, str]]:
        for name, value in configs.items():
            if unknown := topic_configs.unknown_config(name):
                self.add((*path, name), *unknown)
                continue
            try:
                yield name, topic_configs.config_text(name, value)
            except Mistake as mistake:
                self.add((*path, name), mistake.found, mistake.repair)

    def read_defaults(self, data: dict[str, Any]) -> tuple[Connections, Cleanup, dict[str, Any]]:
        """Default connections and cleanup, and the defaults without what is wrong in them, reported here once."""
        self.refuse_name(("defaults",), data)
        given = {key: value for key, value in data.items() if key != "name"}
        checked = self.validate(Pipeline, {"name": "defaults", **_stand_ins(Pipeline), **given}, ("defaults",))
        model = checked.model
        connections, cleanup = (model.connections, model.cleanup) if model is not None else (Connections(), Cleanup())
        return connections, cleanup, {key: checked.data[key] for key in given if key in checked.data}

    def read_pipelines(self, entries: dict[str, Any], topics: dict[str, Topic], topic_names: frozenset[str],
                       defaults: dict[str, Any]) -> dict[str, Pipeline]:
        read: dict[str, Pipeline] = {}
        written: dict[str, dict[str, Any]] = {}
        wrong: dict[str, set[Path]] = {}
        for name, entry in self.entries(entries, "pipelines"):
            written[name] = entry
            checked = self.validate(Pipeline, {"name": name, **_merged(entry, defaults)}, ("pipelines", name))
            wrong[name] = checked.wrong
            if checked.model is not None:
                read[name] = checked.model
        for path, found, repair in contradictions(Declared(read, topics, topic_names, written)):
            # Where a stand-in took the place of what is wrong, nothing follows from it.
            if path[0] != "pipelines" or not any(_overlap(path[2:], place) for place in wrong[str(path[1])]):
                self.add(self.place(path), found, repair)
        return read

    def place(self, path: Path) -> Path:
        """`path`, or its place in `defaults` where the pipeline itself says nothing about it."""
        data = self.document.data
        inherited = path[0] == "pipelines" and not _has(data, path) and _has(data, ("defaults", *path[2:]))
        return ("defaults", *path[2:]) if inherited and len(path) > 2 else path

    def validate(self, model: type[Checked], data: dict[str, Any], path: Path) -> _Outcome[Checked]:
        """Check one entry; what is wrong with it is reported, and replaced by a stand-in."""
        try:
            return _Outcome(model.model_validate(data), data, set())
        except ValidationError as refused:
            errors = refused.errors(include_url=False)
        data, wrong = copy.deepcopy(data), set()
        for error in errors:
            loc = error["loc"]
            if error["type"] == "too_short" and any(other["loc"][:-1] == loc for other in errors):
                continue  # pydantic counts only the items that are right
            if error["type"] != "missing" and str(loc[0]) not in data:
                continue  # the default follows from another key, which is wrong itself
            place = self.place((*path, *loc)) if loc != ("name",) else path
            self.add(place, *explain(error, place, model))
            if error["type"] != "extra_forbidden":
                wrong |= {loc, *_FOLLOWS.get(str(loc[0]), ())}
            _remove(data, loc)
        # What was taken out may leave a section without what it needs: then the section goes whole.
        for _ in range(len(data) + 1):
            try:
                return _Outcome(model.model_validate({**_stand_ins(model), **data}), data, wrong)
            except ValidationError as incomplete:
                for error in incomplete.errors(include_url=False):
                    data.pop(str(error["loc"][0]), None)
        return _Outcome(None, data, wrong)

    def find_passwords(self, value: Any, path: Path) -> None:
        """A URL with a password in it, wherever it stands. The value is not repeated."""
        if isinstance(value, dict | list):
            for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
                self.find_passwords(inner, (*path, step))
        elif isinstance(value, str) and re.search(r"://[^/@\s]*:[^/@\s]*@", value):
            self.add(path, f"`{dotted(path)}` has a password in it, and secrets are not kept in this file",
                     "Put the whole URL into an Airflow connection, and change the password: this file was shared.")


def _stand_ins(model: type[Section]) -> dict[str, Any]:
    return {key: value for key, value in _STAND_INS.items() if key in model.model_fields}


def _merged(entry: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The entry with what it leaves to the defaults; those for another approach or source alone are not for it."""
    merged = dict(entry)
    approach = entry.get("approach", defaults.get("approach"))
    source = entry.get("source", defaults.get("source", "kafka"))
    for key, default in defaults.items():
        if APPROACH_KEYS.get(key, approach) != approach or SOURCE_KEYS.get(key, source) != source:
            continue
        merged[key] = _under(merged[key], default, key in MERGED_SECTIONS) if key in merged else default
    return merged


def _under(own: Any, default: Any, merge: bool) -> Any:
    if not (merge and isinstance(own, dict) and isinstance(default, dict)):
        return own
    return {**default, **{key: _under(value, default.get(key), merge) for key, value in own.items()}}


def _has(data: Any, path: Path) -> bool:
    for step in path:
        inside = step in data if isinstance(data, dict) else (
            isinstance(data, list) and isinstance(step, int) and step < len(data))
        if not inside:
            return False
        data = data[step]
    return True


def _overlap(path: Path, other: Path) -> bool:
    shorter = min(len(path), len(other))
    return path[:shorter] == other[:shorter]


def _remove(data: dict[str, Any], path: Path) -> None:
    """Take what is at `path` out of `data`; a list goes whole, because its positions would shift."""
    for step, inner in zip(path, (*path[1:], None), strict=True):
        if inner is None or isinstance(inner, int) or not isinstance(data.get(str(step)), dict):
            data.pop(str(step), None)
            return
        data = data[str(step)]
