"""Faults on processes, containers and pods: ended, paused, restarted."""

from __future__ import annotations

from streamops.drilling.scene import Aim, Note, Scene
from streamops.drills.faults import OF_SEVERAL_PROCESSES, Fault
from streamops.errors import StateError


class _Victims:
    """What all of them share: the aim is the backend's victims."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def aim(self, scene: Scene) -> Aim:
        victims = scene.backend.aim(self.fault.target, scene.pipeline, scene.chance)
        if not victims:
            raise StateError(f"there is nothing to hit for {self.fault.name} on {scene.pipeline.name}",
                             f"See `streamops status {scene.pipeline.name}`.")
        return {"victims": victims}


class Killed(_Victims):
    """SIGKILL; what does not come back by itself is started again."""

    def inject(self, scene: Scene, aim: Aim, note: Note) -> None:
        scene.backend.kill(aim["victims"])

    def heal(self, scene: Scene, aim: Aim) -> None:
        scene.backend.revive(aim["victims"])


class Paused(_Victims):
    """SIGSTOP, then SIGCONT. A network that is cut is a proxy that is paused: no packet passes, nobody is told."""

    def aim(self, scene: Scene) -> Aim:
        found = super().aim(scene)
        if self.fault.target not in OF_SEVERAL_PROCESSES:
            return found
        return {"victims": scene.backend.whole(found["victims"])}

    def inject(self, scene: Scene, aim: Aim, note: Note) -> None:
        scene.backend.pause(aim["victims"])

    def heal(self, scene: Scene, aim: Aim) -> None:
        scene.backend.resume(aim["victims"])
        # Who waited for it may have given it up, or it itself on its leases.
        scene.backend.revive(aim["victims"])


class Restarted(_Victims):
    """An orderly end, and a start."""

    def inject(self, scene: Scene, aim: Aim, note: Note) -> None:
        scene.backend.end(aim["victims"])

    def heal(self, scene: Scene, aim: Aim) -> None:
        scene.backend.revive(aim["victims"])
