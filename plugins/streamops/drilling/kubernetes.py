"""Faults on pods, by `kubectl` with its current context. Victims are `{"name": pod, "namespace": …}`.

Spark on Kubernetes labels its pods (`spark-role`, `spark-app-name`); servers are found by `app.kubernetes.io/component`
or the name that their charts give them. Whatever controls a pod makes a new one, so healing waits for that.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from streamops.declared.pipeline import Pipeline
from streamops.drilling.backend import Victim, there_is_none
from streamops.drilling.programs import said
from streamops.drills.faults import OF_THE_JOB, Target
from streamops.errors import RefusedError

#: Label selectors as the charts of Spark, Strimzi, Airflow (apache), ZooKeeper and HDFS write them.
_SELECTORS = {
    Target.BROKER: "strimzi.io/kind=Kafka,strimzi.io/broker-role=true",
    Target.ZOOKEEPER: "app.kubernetes.io/name=zookeeper",
    Target.DATANODE: "app.kubernetes.io/component=datanode",
    Target.NAMENODE: "app.kubernetes.io/component=namenode",
    Target.SCHEDULER: "component=scheduler",
    Target.TRIGGERER: "component=triggerer",
    Target.AIRFLOW_WORKER: "component=worker",
    Target.DATABASE: "app.kubernetes.io/name=postgresql",
}
#: Until a pod that was ended has a successor which is ready.
_READY_S = 300


class KubernetesPods:
    """Every namespace that the current context may see."""

    name = "kubernetes"
    around: ClassVar[dict[str, str]] = {}

    @classmethod
    def of(cls) -> Self:
        return cls()

    def aim(self, target: Target, pipeline: Pipeline, chance: random.Random) -> list[Victim]:
        selector = _SELECTORS.get(target)
        if target in OF_THE_JOB:
            role = "driver" if target is Target.DRIVER else "executor"
            # The driver's pod is called as it was submitted, its executors as the job calls itself.
            name = pipeline.name.replace("_", "-")
            selector = f"spark-role={role},spark-app-name in ({name},streamops-{name})"
        if selector is None:
            raise there_is_none(self.name, target, "Drill it with another backend.")
        pods = self._pods(selector)
        if not pods:
            raise there_is_none(self.name, target, f"No running pod has the labels {selector}.")
        pod = chance.choice(pods)
        return [{"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"], "selector": selector,
                 "count": len(pods), "uid": pod["metadata"]["uid"]}]

    def whole(self, victims: Sequence[Victim]) -> list[Victim]:
        return list(victims)  # what is hit is whole

    def kill(self, victims: Sequence[Victim]) -> None:
        for each in victims:
            self._delete(each, "--grace-period=0", "--force")

    def end(self, victims: Sequence[Victim]) -> None:
        for each in victims:
            self._delete(each)

    def pause(self, victims: Sequence[Victim]) -> None:
        raise RefusedError("a pod cannot be let stand still: its first process ignores SIGSTOP from inside",
                           "Drill `kill` or `restart`.")

    def resume(self, victims: Sequence[Victim]) -> None:
        """Nothing stands still."""

    def revive(self, victims: Sequence[Victim]) -> None:
        """Wait for as many ready pods as there were: their controller makes them."""
        for each in victims:
            said("kubectl", "--namespace", each["namespace"], "wait", "--for=condition=Ready", "pod",
                 f"--selector={each['selector']}", f"--timeout={_READY_S}s")

    def _pods(self, selector: str) -> list[dict[str, Any]]:
        found = said("kubectl", "get", "pods", "--all-namespaces", f"--selector={selector}",
                     "--field-selector=status.phase=Running", "--output=json")
        return list(json.loads(found)["items"])

    def _delete(self, victim: Victim, *options: str) -> None:
        said("kubectl", "--namespace", victim["namespace"], "delete", "pod", victim["name"], "--ignore-not-found",
             "--wait=false", *options)
