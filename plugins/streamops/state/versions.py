"""Versions: what a driver is made of, kept beside the data, so that the same can be started again.

One file a version, `versions/3f9a0c1d52ab.json` below the pipeline's state directory, named by its content: all that
spark-submit was handed but for who asked. Written before the first driver of that version is submitted, never changed.
The driver's record says which one it is of, and the batch log which driver logged a batch; so the state directory tells
which version was the last that worked. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streamops.state import batch_log, evidence, numbered_files, stored_json
from streamops.state.batch_log import Files
from streamops.state.generations import DIRECTORY as GENERATIONS

FORMAT = "streamops.version/1"
DIRECTORY = "versions"

#: What a job spec says of one submission, and not of a version.
OF_A_SUBMISSION = frozenset({"owner", "supersedes", "version"})

#: Differences that are named; the rest is counted.
_MOST_NAMED = 8


@dataclass(frozen=True)
class Version:
    """`code` is the name of the frozen code; `spec` the job spec without what is of one submission; `call` the rest."""

    pipeline: str
    code: str
    spec: Mapping[str, Any]
    call: Mapping[str, Any]

    @property
    def id(self) -> str:
        content = json.dumps([self.pipeline, self.code, self.spec, self.call], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    @property
    def approach(self) -> str:
        return str(self.spec["approach"])

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, "version": self.id, "pipeline": self.pipeline, "code": self.code,
                           "spec": self.spec, "call": self.call})

    @classmethod
    def from_json(cls, text: str) -> Version:
        """The version that `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, FORMAT, "a version") as data:
            return cls(data["pipeline"], data["code"], data["spec"], data["call"])

    def differences(self, other: Version) -> str:
        """What `other` has otherwise, in words: `code 3f9a0c1d52ab -> 77ab0e1f0c9d; transform`."""
        named = [f"code {self.code} -> {other.code}"] if self.code != other.code else []
        mine, theirs = self._settings(), other._settings()
        changed = sorted(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))
        for name in changed[:_MOST_NAMED]:
            short = len(f"{mine.get(name)}{theirs.get(name)}") <= 80
            named.append(f"{name} {mine.get(name)} -> {theirs.get(name)}" if short else name)
        if len(changed) > _MOST_NAMED:
            named.append(f"and {len(changed) - _MOST_NAMED} more settings")
        return "; ".join(named) or "nothing"

    def _settings(self) -> dict[str, Any]:
        flat = {**{f"spec.{name}": value for name, value in self.spec.items()}, **self.call}
        flat.update({name: value for name, value in flat.pop("conf", {}).items()})
        # The frozen code's paths, which its name stands for.
        return {name.removeprefix("spec."): value for name, value in flat.items() if name not in ("archive", "entry")}


def path(version: str) -> str:
    return f"{DIRECTORY}/{version}.json"


def read(files: Files, version: str) -> Version | None:
    """A version by its id, or None where it was never written down. Raises StateError."""
    text = files.read(path(version))
    return Version.from_json(text) if text is not None else None


def healthy(files: Files) -> Version | None:
    """The version whose driver logged the last batch that took records; None where no record says which that was."""
    for entry in last_batches(files):
        if not entry.ranges or entry.span:
            found = evidence.record(files, entry.driver)
            return read(files, found.version) if found is not None and found.version is not None else None
    return None


def last_batches(files: Files) -> Iterator[batch_log.Entry]:
    """The newest entries of each generation, from the newest back; whether they still count does not matter here."""
    for number in range(numbered_files.latest(files.names(GENERATIONS)) or 0, 0, -1):
        yield from batch_log.backwards(files, number)
