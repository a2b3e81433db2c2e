"""Faults beside the job, through the front door: offsets set back, and a second driver."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import kafka
from kafka.structs import OffsetAndMetadata

from streamops.adapters.connections import connection
from streamops.adapters.kafka.broker import Broker
from streamops.adapters.kafka.client_settings import client_settings
from streamops.adapters.pipelines.drivers import PipelineDrivers
from streamops.adapters.spark.shell_submission import submit
from streamops.drilling.scene import Aim, Note, Scene
from streamops.errors import StateError
from streamops.state.lease import Owner, OwnerKind

#: A group gives a guest its share within a rebalance, which lasts as long as the slowest member takes to poll.
_ASSIGNED_WITHIN_S = 30.0


class OffsetsReset:
    """The group's commits are set to the earliest offsets, as by a person with Kafka's own tool.

    A group with members takes commits from members alone, so a guest joins a receiver's group, commits for the
    partitions that it is given, and leaves. Nothing heals it: the job has to know better.
    """

    def aim(self, scene: Scene) -> Aim:
        pipeline = scene.pipeline
        with Broker.connect(connection(pipeline.connections.kafka)) as broker:
            groups = [each["group_id"] for each in broker.call(broker.admin.list_groups)]
        prefix = pipeline.consumer_group
        if pipeline.approach == "direct":
            return {"group": prefix}
        own = [name for name in groups if name.startswith(f"{prefix}.")]
        if not own:
            raise StateError(f"the receivers of {pipeline.name} are in no group", "Let it process some batches first.")
        return {"group": max(own, key=lambda name: [int(part) for part in name[len(prefix) + 1:].split(".")
                                                    if part.isdigit()])}

    def inject(self, scene: Scene, aim: Aim, note: Note) -> None:
        topics = scene.pipeline.topics
        kafka_connection = connection(scene.pipeline.connections.kafka)
        with Broker.connect(kafka_connection) as broker:
            earliest = {kafka.TopicPartition(*at): OffsetAndMetadata(offset, "", -1)
                        for at, offset in broker.earliest_offsets(topics).items()}
            if scene.pipeline.approach == "direct":
                broker.call(lambda: broker.admin.alter_group_offsets(aim["group"], earliest))
                return
        guest = kafka.KafkaConsumer(**client_settings(kafka_connection), group_id=aim["group"],
                                    enable_auto_commit=False, auto_offset_reset="earliest")
        with closing(guest):
            guest.subscribe(list(topics))
            given = _assignment(guest)
            guest.commit({at: earliest[at] for at in given})
            scene.say(f"set {len(given)} partitions of {aim['group']} to their earliest offsets")

    def heal(self, scene: Scene, aim: Aim) -> None:
        """The batch log says where the pipeline stands, so there is nothing to set right."""


class SecondDriver:
    """spark-submit as by somebody who knows nothing of the lease; healed by that driver's end."""

    def aim(self, scene: Scene) -> Aim:
        return {"driver": None}

    def inject(self, scene: Scene, aim: Aim, note: Note) -> None:
        drivers = PipelineDrivers(scene.pipeline, scene.settings)
        driver = submit(*drivers.to_submit(drivers.submission(Owner(OwnerKind.SHELL), ())), scene.say)
        note({"driver": driver})
        scene.say(f"submitted {driver} beside the one that runs")

    def heal(self, scene: Scene, aim: Aim) -> None:
        if aim["driver"] is not None:
            PipelineDrivers(scene.pipeline, scene.settings).master.kill_and_wait(aim["driver"], timeout_s=70)


def _assignment(guest: Any) -> list[Any]:
    deadline_s = time.monotonic() + _ASSIGNED_WITHIN_S
    while not guest.assignment():
        if time.monotonic() > deadline_s:
            raise StateError("the group gave its guest no partition", "See whether its members live.")
        guest.poll(100)
    return list(guest.assignment())
