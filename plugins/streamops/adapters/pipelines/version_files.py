"""Versions between what spark-submit is handed and the state directory; see state/versions.py and state/releases.py."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.spark.submission import Submission
from streamops.errors import ConfigurationError
from streamops.state import releases, versions
from streamops.state.job_spec import JobSpec
from streamops.state.lease import Owner
from streamops.state.versions import OF_A_SUBMISSION, Version


def version_of(job: Submission) -> Version:
    """The version that a submission is of."""
    entry, _, text = job.arguments
    spec = {name: value for name, value in json.loads(text).items() if name not in OF_A_SUBMISSION}
    call = {name: value for name, value in asdict(job).items() if name != "arguments"}
    return Version(job.name, Path(job.archive).parent.name, spec, {**call, "entry": entry})


def submission_of(version: Version, owner: Owner, supersedes: Iterable[str]) -> Submission:
    """What to hand to spark-submit for a driver of that version.

    Raises ConfigurationError where its frozen code is gone.
    """
    call = dict(version.call)
    entry = call.pop("entry")
    if missing := [path for path in (entry, call["archive"]) if not Path(path).exists()]:
        raise ConfigurationError(
            f"the code of version {version.id} of {version.pipeline} is gone: there is no {missing[0]}",
            "Put the folder back from a copy, or upgrade to what is deployed: streamops upgrade.",
        )
    mine = {"owner": asdict(owner), "supersedes": tuple(supersedes), "version": version.id}
    text = json.dumps({**version.spec, **mine}, separators=(",", ":"))
    return Submission(arguments=(entry, call["archive"], text), **call)


def released(files: StateFiles, owner: Owner, supersedes: Iterable[str]) -> Submission | None:
    """What a release that stands says is to be submitted; None where that is what is deployed.

    Raises ConfigurationError where the version is gone, and what StateFiles raises.
    """
    standing = releases.standing(files)
    if standing is None or standing.wanted is None:
        return None
    version = versions.read(files, standing.wanted)
    if version is None:
        raise ConfigurationError(
            f"version {standing.wanted} of {standing.pipeline}, which is to run, is not in the state directory",
            f"Put {versions.path(standing.wanted)} back from a copy, or upgrade to what is deployed.",
        )
    return submission_of(version, owner, supersedes)


def kept(files: StateFiles, deployed: Submission) -> Submission:
    """`deployed`, with its version written down and in its job spec."""
    version = version_of(deployed)
    keep(files, version)
    entry, archive, text = deployed.arguments
    spec = replace(JobSpec.from_json(text), version=version.id)
    return replace(deployed, arguments=(entry, archive, spec.to_json()))


def keep(files: StateFiles, version: Version) -> None:
    """Write a version down, unless it is."""
    files.write_new(versions.path(version.id), version.to_json())
