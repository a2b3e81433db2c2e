"""Faults on purpose: their names, what each hits, and the record that stays until it is healed.

    driver:kill   executor:pause   broker:restart   network:cut   state:disk_full   …

Pure. What inflicts and heals them is in `drilling/`; a fault is written down before it is inflicted, so that whoever
comes next heals what a drill that was killed has left behind.
"""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from streamops.declared.problems import nearest
from streamops.errors import ConfigurationError
from streamops.state import stored_json

FORMAT = "streamops.fault/1"


class Target(StrEnum):
    """What a fault hits."""

    DRIVER = "driver"
    EXECUTOR = "executor"
    RECEIVER = "receiver"  # the executor that holds a receiver
    WORKER = "worker"
    MASTER = "master"
    BROKER = "broker"
    LEADER = "leader"  # the broker that leads a partition of the pipeline's
    ZOOKEEPER = "zookeeper"
    DATANODE = "datanode"
    NAMENODE = "namenode"
    SCHEDULER = "scheduler"
    TRIGGERER = "triggerer"
    AIRFLOW_WORKER = "airflow_worker"
    DATABASE = "database"
    NETWORK = "network"
    STATE = "state"
    CHECKPOINT = "checkpoint"
    WAL = "wal"
    OFFSETS = "offsets"
    SECOND_DRIVER = "second_driver"


class How(StrEnum):
    """What is done to the target."""

    KILL = "kill"  # SIGKILL
    LOSE = "lose"  # SIGKILL, and nothing is started again for a while
    PAUSE = "pause"  # SIGSTOP, and SIGCONT to heal it
    RESTART = "restart"  # an orderly end, from which times count, and a start to heal it
    CUT = "cut"  # no packet passes, and nobody is told
    REFUSE = "refuse"  # connections end, and no new one is taken
    DISK_FULL = "disk_full"
    CORRUPT = "corrupt"
    TEAR = "tear"
    RESET = "reset"
    SUBMIT = "submit"


#: Processes of a job's, of which Spark makes new ones by itself.
OF_THE_JOB = frozenset({Target.DRIVER, Target.EXECUTOR, Target.RECEIVER})
#: Those that stand still only when all that they started does, too.
OF_SEVERAL_PROCESSES = OF_THE_JOB | {Target.DATABASE}
#: Servers of Airflow's: without them no batch may be late.
OF_AIRFLOW = frozenset({Target.SCHEDULER, Target.TRIGGERER, Target.AIRFLOW_WORKER, Target.DATABASE})
#: What an Airflow task cannot lose without being lost with it.
NOT_FROM_AIRFLOW = frozenset({Target.SCHEDULER, Target.AIRFLOW_WORKER, Target.DATABASE})


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    `hold_s` is how long it stays before it is healed: None heals at once what does not come back by itself, so that the
    time to the first batch is that of the pipeline and not of the drill. `approaches` are those that it is about.
    """

    target: Target
    how: How
    about: str
    hold_s: float | None = None
    approaches: tuple[str, ...] = ("direct", "receiver")

    @property
    def name(self) -> str:
        return f"{self.target}:{self.how}"


#: Longer than a receiver's consumer may be silent (15 s, jobs/receiver/ReceiverSettings.scala), so that the group goes
#: on without it; shorter than the 120 s after which Spark gives an executor up.
PAUSE_S = 18.0
#: Longer than a request of a consumer's and than a batch, and short enough for a drill of every day.
CUT_S = 12.0
#: Until after another broker leads (5 s without a heartbeat), and another master is in charge (6 s, and its recovery).
LOSE_S = 20.0

_SERVERS: dict[Target, str] = {
    Target.WORKER: "Spark's worker, with the driver and executors that it runs",
    Target.MASTER: "Spark's master",
    Target.BROKER: "a broker, chosen at random where there are several",
    Target.LEADER: "the broker that leads a partition of the pipeline's topic",
    Target.ZOOKEEPER: "ZooKeeper, which elects the master",
    Target.DATANODE: "HDFS's DataNode",
    Target.NAMENODE: "HDFS's NameNode",
    Target.SCHEDULER: "Airflow's scheduler",
    Target.TRIGGERER: "Airflow's triggerer",
    Target.AIRFLOW_WORKER: "Airflow's worker",
    Target.DATABASE: "the server of Airflow's database",
}

_ALL = (
    Fault(Target.DRIVER, How.KILL, "the driver ends at once; Spark relaunches it"),
    Fault(Target.DRIVER, How.PAUSE, "the driver stands still, and goes on as if nothing had happened", PAUSE_S),
    Fault(Target.DRIVER, How.RESTART, "the driver is told to end; Spark relaunches it"),
    Fault(Target.EXECUTOR, How.KILL, "an executor ends at once; the master starts another"),
    Fault(Target.EXECUTOR, How.PAUSE, "an executor stands still for a while", PAUSE_S),
    Fault(Target.RECEIVER, How.KILL, "the executor with a receiver ends at once", approaches=("receiver",)),
    Fault(Target.RECEIVER, How.PAUSE, "the executor with a receiver stands still until its group goes on without it",
          PAUSE_S, ("receiver",)),
    *(Fault(target, How.KILL, f"{what}, ends at once and is started again") for target, what in _SERVERS.items()),
    *(Fault(target, How.LOSE, f"{what}, ends at once and stays away for a while", LOSE_S)
      for target, what in _SERVERS.items()),
    *(Fault(target, How.PAUSE, f"{what}, stands still for a while", CUT_S) for target, what in _SERVERS.items()),
    *(Fault(target, How.RESTART, f"{what}, is stopped in order and started again")
      for target, what in _SERVERS.items()),
    Fault(Target.NETWORK, How.CUT, "between job and broker nothing passes, and connections stay open", CUT_S),
    Fault(Target.NETWORK, How.REFUSE, "between job and broker connections end and none is taken", CUT_S),
    Fault(Target.STATE, How.DISK_FULL, "the job's processes cannot write to any file", CUT_S),
    Fault(Target.CHECKPOINT, How.CORRUPT, "the driver ends, and the last file of its checkpoint is damaged", CUT_S),
    Fault(Target.WAL, How.TEAR, "the job ends, and its last logs have half a record at their end", CUT_S,
          ("receiver",)),
    Fault(Target.OFFSETS, How.RESET, "the consumer group's offsets are set to the earliest behind the job's back"),
    Fault(Target.SECOND_DRIVER, How.SUBMIT, "a second driver is submitted, as by hand", CUT_S),
)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}

#: What a drill inflicts that names no fault, and `make drills` on both approaches.
USUAL = ("driver:kill", "executor:kill", "broker:kill")


def named(names: Iterable[str]) -> list[Fault]:
    """The faults of these names, each once; a target alone means its first fault, which is `kill` where it has one.

    Raises ConfigurationError with every name that is none.
    """
    found: dict[str, Fault] = {}
    problems = []
    for name in names:
        fault = FAULTS.get(name) or next((each for each in _ALL if str(each.target) == name), None)
        if fault is None:
            close = nearest(name, [*FAULTS, *map(str, Target)])
            problems.append(f"there is no fault {name!r}" + (f"; the nearest one is {close!r}" if close else ""))
        else:
            found[fault.name] = fault
    if problems:
        raise ConfigurationError("\n".join(problems), "List them: streamops drill faults")
    return list(found.values())


@dataclass(frozen=True)
class Strike:
    """One fault for one pipeline, and what chance it is given: the same seed aims and times it the same."""

    number: int
    pipeline: str
    fault: Fault
    seed: int

    @property
    def chance(self) -> random.Random:
        return random.Random(self.seed)  # noqa: S311  chance, not a secret


def strikes(pipelines: Sequence[tuple[str, str]], faults: Sequence[Fault], repetitions: int, seed: int) -> list[Strike]:
    """What to inflict on `(pipeline, approach)` pairs: all on one pipeline before the next, in an order by the seed.

    A fault that is not about a pipeline's approach is left out.
    """
    chance = random.Random(seed)  # noqa: S311  chance, not a secret
    planned: list[Strike] = []
    for pipeline, approach in pipelines:
        fitting = [fault for fault in faults if approach in fault.approaches]
        for _ in range(repetitions):
            for fault in chance.sample(fitting, len(fitting)):
                planned.append(Strike(len(planned) + 1, pipeline, fault, chance.randrange(2**31)))
    return planned


def require_possible_from_airflow(faults: Collection[Fault]) -> None:
    """Raises ConfigurationError for faults that would end the task which inflicts them."""
    if wrong := sorted({fault.name for fault in faults if fault.target in NOT_FROM_AIRFLOW}):
        raise ConfigurationError(
            f"{', '.join(wrong)}: the drill is a task of this Airflow, and would be lost with it, before it could heal",
            f"Run it at a shell: streamops drill run --fault {' --fault '.join(wrong)}")


@dataclass(frozen=True)
class OpenFault:
    """A fault that is about to be inflicted, or was, and is not known to be healed.

    `aim` is what it hits, as the backend names it: enough to heal it without anything else. `pid` and `started` are the
    process that inflicts it, on `host`; the time tells it from another process that got its number. `drill` and
    `number` are where it is in our database.
    """

    id: str
    fault: str
    pipeline: str
    backend: str
    aim: dict[str, Any]
    host: str
    pid: int
    started: float
    opened_at: str
    drill: int | None = None
    number: int | None = None

    def __str__(self) -> str:
        return f"{self.fault} on {self.pipeline}, inflicted at {self.opened_at} by process {self.pid} on {self.host}"

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> OpenFault:
        """What `to_json` wrote. Raises StateError on any other format."""
        with stored_json.reading(text, FORMAT, "an open fault") as data:
            return cls(**data)
