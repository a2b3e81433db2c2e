"""What pydantic found wrong with a section of pipelines.yaml, in words for the person who wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from streamops.declared.problems import Path, choices, dotted, nearest, quoted

#: Keys that tell an attempt to put a secret, or an address, into the file.
_SECRET = re.compile(r"passw|secret|token|credential|api.?key|access.?key|private.?key|jaas|keytab|sasl|ssl|user.?name")
_ADDRESS = re.compile(r"bootstrap|broker|server|master|host|port$|url|uri|endpoint|address")

#: How a missing key is written, where one example serves everybody.
_EXAMPLES = {
    "approach": "`approach: direct`, or `approach: receiver`",
    "topics": "`topics: [name]` with topics that are declared under `topics`",
    "folder": "`folder: {path: /data/incoming}`, a folder that every machine of the cluster has",
    "path": "`path: /data/incoming`, or a URL",
    "transform": "`transform: word_count`, or another transform",
    "sink": "`sink: {type: parquet}`, or `type: console`",
    "type": "`type: parquet`, or `type: console`",
    "partitions": "`partitions: 4`, or another number",
    "replication": "`replication: 1` for a single broker; 3 where there are three or more",
}


def explain(error: ErrorDetails, path: Path, model: type[BaseModel]) -> tuple[str, str]:
    """Found and repair for one of pydantic's errors. `path` is its place in the file, `model` checked the section."""
    kind, value, limits = error["type"], error["input"], error.get("ctx", {})
    key, place = str(path[-1]), f"`{dotted(path)}`"
    match kind:
        case "refused":
            return f"{place}: {limits['found']}", limits["repair"]
        case "missing":
            return missing_key(path[:-1], key)
        case "extra_forbidden":
            return unknown_key(path, model_at(model, error["loc"][:-1]).model_fields, model.model_fields)
        case "literal_error":
            return f"{place} is {quoted(value)}", _one_of(value, re.findall(r"'([^']*)'", limits["expected"]))
        case "greater_than_equal" | "greater_than" | "less_than_equal":
            word = {"greater_than_equal": "at least", "greater_than": "more than", "less_than_equal": "at most"}[kind]
            return f"{place} is {quoted(value)}", f"Write a number that is {word} {next(iter(limits.values()))}."
        case "too_short" | "string_too_short":
            return f"{place} is empty", f"Write {_EXAMPLES.get(key, 'a value')}."
        case "string_too_long":
            return f"{place} is longer than {limits['max_length']} characters", "Shorten it."
    found = f"{place} is {quoted(value)}, not {_WANTED.get(kind, 'what belongs here')}"
    return found, _of_type(kind, key, value, model)


def missing_key(section: Path, key: str) -> tuple[str, str]:
    """Found and repair for a section that lacks a key."""
    return f"`{dotted(section)}` has no `{key}`", f"Add {_EXAMPLES.get(key, f'`{key}: …`')}."


_WANTED = {
    "int_type": "a whole number", "float_type": "a number", "string_type": "text", "tuple_type": "a list",
    "bool_type": "true or false", "dict_type": "a mapping", "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _of_type(kind: str, key: str, value: Any, model: type[BaseModel]) -> str:
    if value is None:
        return "Write a value, or remove the key to have its default."
    if kind in {"int_type", "float_type"}:
        number = re.match(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)", value) if isinstance(value, str) else None
        unit = " The unit, seconds, is in the key." if key.endswith("_s") else ""
        if number and number[2] in {"", "s", "sec", "seconds"}:
            return f"Write {number[1]}, without quotes and unit.{unit}"
        return f"Write {_WANTED[kind]}.{unit}"
    if kind == "bool_type":
        return "Write true or false, without quotes."
    if kind == "string_type":
        return f'Put it in quotes: "{value}".' if isinstance(value, int | float) else "Write one word or line of text."
    if kind == "tuple_type":
        return f"Write [{value}]." if isinstance(value, str) else "Write a list: [a, b]."
    if key in _EXAMPLES:
        return f"Write {_EXAMPLES[key]}."
    return f"Write its keys below it, one a line and indented: {choices(model_at(model, (key,)).model_fields)}."


def _one_of(value: Any, known: list[str]) -> str:
    close = nearest(value, known) if isinstance(value, str) else None
    return f"Did you mean `{close}`? It can be {choices(known)}." if close else f"Write {choices(known)}."


def model_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> type[BaseModel]:
    """The model that checks the section at `loc` below `model`; `model` itself where there is none."""
    for step in loc:
        field = model.model_fields.get(str(step))
        section = _section(field.annotation) if field is not None else None
        if section is None:
            return model
        model = section
    return model


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model that a field takes, also where it may be null."""
    kinds = (annotation, *get_args(annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def unknown_key(path: Path, known: Mapping[str, Any], outer: Mapping[str, Any] | None = None) -> tuple[str, str]:
    """Found and repair for a key that nothing reads. `known` are its section's keys, `outer` those a level up.

    A secret's value is not repeated: reports go to logs.
    """
    key, where = str(path[-1]), dotted(path[:-1])
    names = [name for name in known if name != "name"]
    folded = key.lower().replace("-", "_").replace(".", "_")
    close = nearest(key, names)
    if close is None and _SECRET.search(folded):
        return (f"`{dotted(path)}` is a secret's place, and secrets are not kept in this file",
                "Put it into the extra of the Airflow connection that `connections` names, and remove it here.")
    if close is None and _ADDRESS.search(folded):
        return (f"`{dotted(path)}` is an address, and addresses are not kept in this file",
                "Put it into the Airflow connection that `connections` names, and remove it here.")
    found = f"`{key}` is not a key of {where}"
    if close is not None:
        return found, f"Write `{close}`."
    if len(path) == 1:
        return found, (f"Move it into a pipeline, or into `defaults` for all of them: `defaults: {{{key}: …}}`."
                       if key != "name" and key in (outer or {}) else f"Remove it, or write {choices(names)}.")
    for section, field in (outer or {}).items():
        inner = _section(field.annotation)
        if inner is not None and key in inner.model_fields:
            return found, f"Move it into `{section}`: `{section}: {{{key}: …}}`."
    if outer is not None and key in outer:
        return found, f"Move it one level up, beside `{path[-2]}`."
    return found, f"Remove it, or write {choices(names)}."
