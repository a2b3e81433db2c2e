"""The JSON Schema of pipelines.yaml, for editors: completion, descriptions, and most mistakes while typing.

What it cannot say (rules between entries, names of Kafka's and Airflow's) is checked by `pipelines.load` alone.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import models_json_schema

from streamops.declared.pipeline import Pipeline
from streamops.declared.reader import VERSION
from streamops.declared.topics import Topic

#: What an entry must have, and defaults need not.
_CONDITIONS = {"required", "if", "then", "else"}


def schema() -> dict[str, Any]:
    """The schema, as data."""
    _, models = models_json_schema([(Pipeline, "validation"), (Topic, "validation")])
    definitions = models["$defs"]
    for model in ("Pipeline", "Topic"):
        # An entry's name is its key.
        definitions[model]["properties"].pop("name")
        definitions[model]["required"].remove("name")
    definitions["Pipeline"]["if"] = {"properties": {"source": {"const": "folder"}}, "required": ["source"]}
    definitions["Pipeline"] |= {"then": {"required": ["folder"]}, "else": {"required": ["approach", "topics"]}}
    definitions["Defaults"] = {key: value for key, value in definitions["Pipeline"].items() if key not in _CONDITIONS}
    definitions["Defaults"]["description"] = "Any key of a pipeline, for all of them."
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pipelines.yaml",
        "description": "The streaming jobs of a deployment and the topics they use.",
        "type": "object",
        "additionalProperties": False,
        "required": ["version"],
        "properties": {
            "version": {"const": VERSION, "description": "Version of this format."},
            "defaults": {"anyOf": [{"$ref": "#/$defs/Defaults"}, {"type": "null"}]},
            "topics": _entries("Topic", "Topics by name."),
            "pipelines": _entries("Pipeline", "Pipelines by name."),
        },
        "$defs": definitions,
    }


def schema_text() -> str:
    """The schema as it is kept in dags/pipelines.schema.json."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _entries(model: str, description: str) -> dict[str, Any]:
    return {"description": description, "type": ["object", "null"],
            "additionalProperties": {"$ref": f"#/$defs/{model}"}}
