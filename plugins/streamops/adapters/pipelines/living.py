"""Whether anybody works for a pipeline: its drivers, by the Spark master's word and by their beats; and group members.

A driver that the master does not know, or about which no master answers, is judged by the beat alone: whoever holds the
lease shows life every few seconds, and nobody else can commit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.spark.master import SparkMaster
from streamops.running.driver_status import Standing
from streamops.state import evidence, lease, numbered_files
from streamops.state.lease import TTL_S, JobState

_BEAT = ".beat.json"
_POLL_S = 1.0


@dataclass(frozen=True)
class Sign:
    """Drivers that live, in words, and the highest epoch that any lease or beat had when looking began."""

    drivers: tuple[str, ...]
    epoch: int


def drivers(files: StateFiles, master: SparkMaster, had_state: bool, say: Callable[[str], object]) -> Sign:
    """Who lives. `had_state` says that the pipeline ran before, so that an empty directory is one that was deleted.

    Takes up to `TTL_S` seconds where only a beat can tell: also for a directory that was deleted, in which a driver
    that lives goes on to beat.
    """
    names = files.names(lease.DIRECTORY)
    beats = [int(name.removesuffix(_BEAT)) for name in names if name.endswith(_BEAT)]
    epoch = max([numbered_files.latest(names) or 0, *beats])
    holder = evidence.holder(files)
    silent = holder is None and not had_state and not beats
    living = []
    for each in evidence.known_drivers(files):
        if each.ended_itself:
            silent = silent or each.holds_lease
            continue
        seen = master.look(each.driver)
        if seen.standing is Standing.LIVING:
            living.append(f"{each.driver}, started by {each.owner} at {each.started_at}")
        elif seen.standing is Standing.ENDED and each.holds_lease:
            silent = True
    if holder is not None and (last := evidence.beat(files, holder.epoch)) is not None:
        silent = silent or last.state is JobState.STOPPED
    if not living and not silent:
        say(f"watching for {TTL_S:.0f} s whether a driver still shows life")
        living += _beating(files)
    return Sign(tuple(living), epoch)


def _beating(files: StateFiles) -> list[str]:
    """Whose beat changes, or comes to be, while it is watched."""
    first = _beats(files)
    deadline_s = time.monotonic() + TTL_S
    while time.monotonic() < deadline_s:
        time.sleep(_POLL_S)
        if changed := [name for name, text in _beats(files).items() if first.get(name) != text]:
            holder = evidence.holder(files)
            return [f"{holder.driver}, started by {holder.owner}, which holds the lease and beats" if holder else
                    f"one that beats as {changed[0]}, in a state directory that was deleted"]
    return []


def _beats(files: StateFiles) -> dict[str, str | None]:
    return {name: files.read(f"{lease.DIRECTORY}/{name}") for name in files.names(lease.DIRECTORY)
            if name.endswith(_BEAT)}
