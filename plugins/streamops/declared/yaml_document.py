"""A YAML document that remembers its lines, so that an error can say where it is.

Stricter than `yaml.safe_load`, for a file that people edit: a key given twice is a problem, not a silent
overwrite, and times stay the text that was written. Keys are always text.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from streamops.declared.problems import Path, Problem, dotted

#: libyaml where it is there: ten times as fast, and the file is parsed at every round of Airflow's DAG processor.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Anchors may be nested so that a page of text stands for billions of values; a file for people never needs this many.
_MAX_VALUES = 200_000


@dataclass
class Document:
    """`data`: dicts, lists, text, numbers, booleans and None. `problems`: what kept parts out of `data`."""

    data: Any = None
    problems: list[Problem] = field(default_factory=list)
    #: Places where `data` has None for what could not be read.
    unread: set[Path] = field(default_factory=set)
    _root: yaml.Node | None = None

    def line(self, path: Path) -> int:
        """Line (from 1) of the key at `path`, or of the nearest thing around it when it is not there."""
        node, line = self._root, 1 if self._root is None else self._root.start_mark.line + 1
        for step in path:
            if isinstance(node, yaml.MappingNode):
                found = next(((key, value) for key, value in _pairs(node) if _text(key) == str(step)), None)
                if found is None:
                    return line
                line, node = found[0].start_mark.line + 1, found[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line + 1
            else:
                return line
        return line


def parse(text: str) -> Document:
    """The document in `text`. Broken YAML gives a document without data and one problem."""
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as broken:
        return Document(problems=[_syntax_problem(broken, text)])
    except RecursionError:
        return Document(problems=[Problem(1, (), "the file is nested too deeply to be read", "Flatten it.")])
    document = Document(_root=root)
    if root is not None:
        document.data = _Reader(document).value(root, ())
    return document


def _text(node: yaml.Node) -> str:
    return node.value if isinstance(node, yaml.ScalarNode) else "(a list or mapping)"


def _pairs(node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Keys and values, own keys before those that `<<` merges in."""
    merged: list[yaml.Node] = []
    for key, value in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
        else:
            yield key, value
    for other in merged:
        if isinstance(other, yaml.MappingNode):
            yield from _pairs(other)


class _Reader:
    """Turns nodes into data, once per node however many aliases lead to it."""

    def __init__(self, document: Document) -> None:
        self.problems = document.problems
        self.unread = document.unread
        self.scalars: Any = yaml.constructor.SafeConstructor()
        self.done: dict[int, Any] = {}
        self.open: set[int] = set()
        self.count = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        if id(node) in self.done:
            return self.done[id(node)]
        if id(node) in self.open or self.count > _MAX_VALUES:
            self.problems.append(Problem(node.start_mark.line + 1, path, f"{dotted(path)} contains itself",
                                         "Write the value out instead of pointing at it with an alias."))
            self.unread.add(path)
            return None
        self.open.add(id(node))
        self.count += 1
        if isinstance(node, yaml.MappingNode):
            result: Any = self.mapping(node, path)
        elif isinstance(node, yaml.SequenceNode):
            result = [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        else:
            result = self.scalar(node, path)
        self.open.discard(id(node))
        self.done[id(node)] = result
        return result

    def scalar(self, node: yaml.Node, path: Path) -> Any:
        if node.tag == "tag:yaml.org,2002:timestamp":
            return node.value
        try:
            return self.scalars.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self.problems.append(Problem(
                node.start_mark.line + 1, path, f"{dotted(path)} has the YAML tag {node.tag!r}, which is not read here",
                "Write plain text, a number, true, false or null, without a tag.",
            ))
            self.unread.add(path)
            return None

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        first: dict[Hashable, int] = {}
        own = {id(key) for key, _ in node.value}
        for key, value in _pairs(node):
            name, line = _text(key), key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append(Problem(line, path, f"a key in {dotted(path)} is a list or a mapping",
                                             "Write one word before the colon."))
            elif name not in first:
                first[name] = line
                result[name] = self.value(value, (*path, name))
            elif id(key) in own:
                self.problems.append(Problem(
                    line, (*path, name), f"`{name}` is given twice in {dotted(path)}, first in line {first[name]}",
                    "Keep one of the two; YAML would quietly take the last.",
                ))
        return result


def _syntax_problem(broken: yaml.YAMLError, text: str) -> Problem:
    mark = getattr(broken, "problem_mark", None) or getattr(broken, "context_mark", None)
    what = getattr(broken, "problem", None) or getattr(broken, "reason", None) or "not YAML"
    line = mark.line + 1 if mark is not None else text[: getattr(broken, "position", 0)].count("\n") + 1
    repair = "Correct the line; the rest of the file is read only when all of it is YAML."
    written = text.splitlines()[line - 1] if line <= len(text.splitlines()) else ""
    if "\t" in written:
        repair = "Replace the tab in this line by spaces; YAML does not take tabs as indentation."
    elif "document" in what and "---" in text:
        repair = "Keep one document in the file: remove the `---` line, and merge what follows into the part before it."
    return Problem(line, (), f"this is not YAML: {what}", repair)
