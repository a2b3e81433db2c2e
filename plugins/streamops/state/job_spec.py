"""The job spec: what Airflow, or a shell, hands a job in its application arguments, as JSON.

It is made from a validated pipeline and the connections that it names. It holds no secret: application arguments
are seen in process lists, logs and Spark's UI.

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from streamops.errors import ConfigurationError
from streamops.state.lease import Owner

#: `earliest`, `latest`, a time (UTC, ISO 8601), or offsets by topic and partition. What is to be read first when the
#: pipeline has no generation yet.
StartingOffsets = str | dict[str, dict[str, int]]


@dataclass(frozen=True)
class ReceiverSpec:
    """What a receiver job is told beyond other jobs.

    Each start of the receivers joins a group of its own, `<consumer_group>.<generation>.<epoch>.<start>`.
    """

    receivers: int
    consumer_group: str
    write_ahead_log: bool = True
    stop_within_s: float = 30.0


@dataclass(frozen=True)
class FolderSpec:
    """The folder that a `folder_stream` or `folder_batch` reads, and how many words the latter's result names."""

    path: str
    top: int = 100


@dataclass(frozen=True)
class JobSpec:
    """Settings of one pipeline's job. URLs are those that Hadoop's file systems read (`file:`, `hdfs:`, `s3a:`).

    `consumer_group` is where a direct job shows its progress; those of a receiver job are in `receiver`. `version` is
    the one that the driver is of (versions.py), None for one that nobody wrote down.
    """

    pipeline: str
    approach: str
    topics: tuple[str, ...]
    kafka: dict[str, str]
    state_url: str
    output_url: str
    transform: str
    sink: str
    interval_s: float
    starting_offsets: StartingOffsets
    on_data_loss: str
    on_bad_record: str
    owner: Owner
    rate_limit: int | None = None
    dead_letter_topic: str | None = None
    max_dead_letters: int = 1000
    supersedes: tuple[str, ...] = ()
    consumer_group: str | None = None
    receiver: ReceiverSpec | None = None
    folder: FolderSpec | None = None
    version: str | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> JobSpec:
        """The spec that `to_json` wrote. Raises ConfigurationError on unknown or missing keys."""
        try:
            data = json.loads(text)
            given = set(data.keys())
        except (ValueError, AttributeError) as error:
            raise ConfigurationError(
                f"the job spec is no JSON object ({error}): {text[:200]!r}",
                "Hand the job the spec that streamops made, as its one argument.",
            ) from error
        known = {field.name for field in fields(cls)}
        if unknown := sorted(given - known):
            raise ConfigurationError(
                f"the job spec has settings that this job does not know: {', '.join(unknown)}",
                "The job's code is older than whatever submitted it. Deploy jobs/ and plugins/ of one version.",
            )
        try:
            return cls(**{
                **data,
                "topics": tuple(data["topics"]),
                "supersedes": tuple(data.get("supersedes", ())),
                "owner": Owner.from_dict(data["owner"]),
                "receiver": ReceiverSpec(**data["receiver"]) if data.get("receiver") else None,
                "folder": FolderSpec(**data["folder"]) if data.get("folder") else None,
            })
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"the job spec cannot be read: {type(error).__name__}: {error}",
                "The job's code is newer than whatever submitted it. Deploy jobs/ and plugins/ of one version.",
            ) from error
