"""Faults in the state directory: a disk that is full, a checkpoint that is damaged, a log with half a record.

They are for state on this machine's file system.
"""

from __future__ import annotations

import base64
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from streamops.adapters.pipelines.files import state_files
from streamops.drilling.local import LocalProcesses, living
from streamops.drilling.scene import Aim, Note, Scene
from streamops.drills.faults import Target
from streamops.errors import RefusedError, StateError
from streamops.state import generations

#: What the kernel allows a process that has no limit.
_NO_LIMIT = -1
#: A driver that was told to die is gone within this; the worker takes seconds to relaunch it.
_DEATH_S = 5.0
#: In place of a checkpoint's last file: what a disk leaves of a file whose blocks were never written.
_ZEROS = b"\0" * 512
#: Half a record of Spark's log: its length, 64 KiB, and a few of those bytes.
_HALF_A_RECORD = struct.pack(">i", 64 << 10) + b"\xac\xed\x00\x05"


class DiskFull:
    """Every write of the job's processes to a file fails, and nobody else's does: the kernel's limit on file sizes.

    A process that Spark starts meanwhile has no such limit, as if somebody had freed some space.
    """

    def aim(self, scene: Scene) -> Aim:
        if not isinstance(scene.backend, LocalProcesses) or not hasattr(psutil.Process, "rlimit"):
            raise RefusedError("only processes of this machine, under Linux, can be kept from writing",
                               "Drill it with the backend local, or fill the volume of a canary by hand.")
        _state_root(scene)
        victims = scene.backend.processes_of_the_job(scene.pipeline)
        if not victims:
            raise StateError(f"no process of {scene.pipeline.name} runs", "Start it first.")
        limits = [{**each, "limit": found.rlimit(psutil.RLIMIT_FSIZE)[0]}
                  for each in victims if (found := living(each)) is not None]
        return {"victims": limits}

    def inject(self, scene: Scene, aim: Aim, note: Note) -> None:
        self._limit(aim, lambda _: 0)

    def heal(self, scene: Scene, aim: Aim) -> None:
        self._limit(aim, lambda victim: victim["limit"])

    def _limit(self, aim: Aim, of: Callable[[Aim], int]) -> None:
        for victim in aim["victims"]:
            found = living(victim)
            if found is not None:
                _, hard = found.rlimit(psutil.RLIMIT_FSIZE)
                found.rlimit(psutil.RLIMIT_FSIZE, (of(victim), hard))


class CorruptCheckpoint:
    """The driver dies, and the last file of its checkpoint holds zeros; healed by the file as it was."""

    def aim(self, scene: Scene) -> Aim:
        root = _state_root(scene)
        _newest(_checkpoint_files(root))
        return {"victims": scene.backend.aim(Target.DRIVER, scene.pipeline, scene.chance)}

    def inject(self, scene: Scene, aim: Aim, note: Note) -> None:
        _end(scene, aim)
        file = _newest(_checkpoint_files(_state_root(scene)))
        content = file.read_bytes()
        note({"file": str(file), "content": base64.b64encode(content).decode()})
        file.write_bytes(_ZEROS)
        scene.say(f"damaged {file}")

    def heal(self, scene: Scene, aim: Aim) -> None:
        if "file" in aim and Path(aim["file"]).exists() and Path(aim["file"]).read_bytes() == _ZEROS:
            Path(aim["file"]).write_bytes(base64.b64decode(aim["content"]))


class TornLog:
    """Driver and executors die, and their last logs end with half a record, as a crash in a write leaves them.

    All of them die, because an executor that lives would write behind that half, as none does after a crash.
    """

    def aim(self, scene: Scene) -> Aim:
        if not isinstance(scene.backend, LocalProcesses):
            raise RefusedError("only logs of processes of this machine can be torn", "Use the backend local.")
        _newest(_log_files(_state_root(scene), "receivedData/*"))
        return {"victims": scene.backend.processes_of_the_job(scene.pipeline), "torn": []}

    def inject(self, scene: Scene, aim: Aim, note: Note) -> None:
        _end(scene, aim)
        torn = aim["torn"]
        for kind in ("receivedData/*", "receivedBlockMetadata"):
            file = _newest(_log_files(_state_root(scene), kind))
            torn = [*torn, {"file": str(file), "size": file.stat().st_size}]
            note({"torn": torn})
            with file.open("ab") as log:
                log.write(_HALF_A_RECORD)
            scene.say(f"tore {file}")

    def heal(self, scene: Scene, aim: Aim) -> None:
        """Only what was added goes; a log that a reader has dropped meanwhile stays dropped."""
        for each in aim["torn"]:
            file = Path(each["file"])
            if file.exists() and file.stat().st_size == each["size"] + len(_HALF_A_RECORD):
                with file.open("r+b") as log:
                    log.truncate(each["size"])


def _state_root(scene: Scene) -> Path:
    url = state_files(scene.pipeline).url
    if not url.startswith("file://"):
        raise RefusedError(f"the state of {scene.pipeline.name} is at {url}, and only files of this machine can be hit",
                           "Drill a canary whose storage connection is a file: URL.")
    return Path(url.removeprefix("file://"))


def _checkpoint_files(root: Path) -> Iterator[Path]:
    """A direct job's `offsets/N`, a receiver's `…/checkpoint-<time>`, of the generation that is open."""
    generation = max((int(each.stem) for each in (root / generations.DIRECTORY).glob("*.json")), default=1)
    folder = root / generations.checkpoint_path(generation)
    yield from (each for each in folder.glob("offsets/*") if each.name.isdigit())
    yield from (each for each in folder.rglob("checkpoint-*") if each.is_file() and each.suffix == "")


def _log_files(root: Path, kind: str) -> Iterator[Path]:
    """Spark's write-ahead logs: `receivedData/<receiver>` is the executors', `receivedBlockMetadata` the driver's."""
    generation = max((int(each.stem) for each in (root / generations.DIRECTORY).glob("*.json")), default=1)
    yield from (each for each in (root / generations.checkpoint_path(generation)).rglob(f"{kind}/log-*"))


def _newest(files: Iterator[Path]) -> Path:
    found = max(files, key=lambda each: each.stat().st_mtime_ns, default=None)
    if found is None:
        raise RefusedError("there is no such file in the state directory yet", "Let the pipeline process some batches.")
    return found


def _end(scene: Scene, aim: Aim) -> None:
    """Return once the victims are gone, so that they write no further file."""
    scene.backend.kill(aim["victims"])
    deadline_s = time.monotonic() + _DEATH_S
    while any(living(each) for each in aim["victims"]) and time.monotonic() < deadline_s:
        time.sleep(0.02)
