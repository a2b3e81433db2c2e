"""Which class inflicts and heals each fault."""

from __future__ import annotations

from typing import Protocol

from streamops.drilling.kafka_faults import OffsetsReset, SecondDriver
from streamops.drilling.scene import Aim, Note, Scene
from streamops.drilling.server_faults import Killed, Paused, Restarted
from streamops.drilling.state_faults import CorruptCheckpoint, DiskFull, TornLog
from streamops.drills import faults
from streamops.drills.faults import Fault, How


class Infliction(Protocol):
    """One fault. `aim` changes nothing; `heal` may be repeated, and does no harm where nothing was inflicted."""

    def aim(self, scene: Scene) -> Aim:
        """What would be hit now. Raises RefusedError where that cannot be."""

    def inject(self, scene: Scene, aim: Aim, note: Note) -> None:
        """Inflict it."""

    def heal(self, scene: Scene, aim: Aim) -> None:
        """Undo it, from what was written down alone. Returns when whatever was hit works again."""


def of(fault: Fault) -> Infliction:
    """What inflicts and heals this fault."""
    match fault.how:
        case How.KILL | How.LOSE | How.REFUSE:
            return Killed(fault)
        case How.PAUSE | How.CUT:
            return Paused(fault)
        case How.RESTART:
            return Restarted(fault)
        case How.DISK_FULL:
            return DiskFull()
        case How.CORRUPT:
            return CorruptCheckpoint()
        case How.TEAR:
            return TornLog()
        case How.RESET:
            return OffsetsReset()
        case How.SUBMIT:
            return SecondDriver()


def by_name(name: str) -> Infliction:
    """The same for a fault that was written down. Raises ConfigurationError for a name that this version lacks."""
    return of(faults.named([name])[0])
