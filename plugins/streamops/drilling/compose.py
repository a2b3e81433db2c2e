"""Faults on the services of a docker compose project, by `docker compose`. Victims are `{"name": "kafka"}`.

A driver and its executors are processes in the worker's container; they are found and hit by `pgrep` and `kill` inside.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from streamops.adapters.connections import connection
from streamops.adapters.spark.master import Cluster, SparkMaster
from streamops.declared.pipeline import Pipeline
from streamops.drilling.backend import Victim, there_is_none
from streamops.drilling.programs import said
from streamops.drills.faults import OF_THE_JOB, Target
from streamops.settings import project_root

_SERVICES = {
    Target.WORKER: "spark-worker",
    Target.MASTER: "spark-master",
    Target.BROKER: "kafka",
    Target.LEADER: "kafka",
    Target.ZOOKEEPER: "zookeeper",
    Target.DATANODE: "hdfs-datanode",
    Target.NAMENODE: "hdfs-namenode",
    Target.SCHEDULER: "airflow-scheduler",
    Target.TRIGGERER: "airflow-triggerer",
    Target.AIRFLOW_WORKER: "airflow-worker",
    Target.DATABASE: "postgres",
}
_WORKER = "spark-worker"


class ComposeServices:
    """One project, by its file. Containers that were killed are started again: `restart:` does not, after a kill."""

    name = "compose"
    around: ClassVar[dict[str, str]] = {}

    def __init__(self, file: Path) -> None:
        self._file = file

    @classmethod
    def of(cls) -> Self:
        """The project of the compose file beside the DAGs."""
        return cls(project_root() / "docker-compose.yaml")

    def aim(self, target: Target, pipeline: Pipeline, chance: random.Random) -> list[Victim]:
        if target in OF_THE_JOB:
            return [self._of_the_job(target, pipeline, chance)]
        service = _SERVICES.get(target)
        running = self._compose("ps", "--services", "--status", "running").split()
        if service is None or service not in running:
            raise there_is_none(self.name, target, f"Running services are: {', '.join(sorted(running)) or 'none'}.")
        return [{"name": service}]

    def whole(self, victims: Sequence[Victim]) -> list[Victim]:
        """With the Python beside each JVM, which would beat the lease while its JVM stands still."""
        found = list(victims)
        for each in victims:
            if "pid" in each:
                started = self._compose("exec", "-T", each["name"], "sh", "-c", f"pgrep -P {each['pid']} || true")
                found += [{"name": each["name"], "pid": int(pid)} for pid in started.split()]
        return found

    def kill(self, victims: Sequence[Victim]) -> None:
        self._signal(victims, "KILL")

    def end(self, victims: Sequence[Victim]) -> None:
        for each in victims:
            if "pid" in each:
                self._signal([each], "TERM")
            else:
                self._compose("stop", each["name"])

    def pause(self, victims: Sequence[Victim]) -> None:
        for each in victims:
            if "pid" in each:
                self._signal([each], "STOP")
            else:
                self._compose("pause", each["name"])

    def resume(self, victims: Sequence[Victim]) -> None:
        paused = self._compose("ps", "--services", "--status", "paused").split()
        for each in victims:
            if "pid" in each:
                self._signal([each], "CONT")
            elif each["name"] in paused:
                self._compose("unpause", each["name"])

    def revive(self, victims: Sequence[Victim]) -> None:
        if services := [each["name"] for each in victims if "pid" not in each]:
            self._compose("up", "--detach", "--wait", "--no-recreate", *services)

    def _of_the_job(self, target: Target, pipeline: Pipeline, chance: random.Random) -> Victim:
        """A JVM in the worker's container; executors name their application, which the master's page knows."""
        pattern = f'DriverWrapper.*"pipeline":"{pipeline.name}"'
        if target is not Target.DRIVER:
            master = SparkMaster(Cluster.of(connection(pipeline.connections.spark)))
            pattern = f"CoarseGrainedExecutorBackend.*--app-id {master.application(f'streamops {pipeline.name}')}"
        found = self._compose("exec", "-T", _WORKER, "sh", "-c", f"pgrep -f '{pattern}' || true").split()
        if not found:
            raise there_is_none(self.name, target, f"See `streamops status {pipeline.name}`.")
        return {"name": _WORKER, "pid": int(chance.choice(found))}

    def _signal(self, victims: Sequence[Victim], name: str) -> None:
        for each in victims:
            if "pid" in each:
                self._compose("exec", "-T", each["name"], "sh", "-c", f"kill -{name} {each['pid']} || true")
            else:
                self._compose("kill", "--signal", f"SIG{name}", each["name"])

    def _compose(self, *arguments: str) -> str:
        return said("docker", "compose", "--file", str(self._file), *arguments)
