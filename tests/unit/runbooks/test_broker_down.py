"""What the runbook broker_down recommends: a table of cases, and how brokers are told."""

from __future__ import annotations

import pytest

from streamops.runbooks.broker_down import RUNBOOK
from streamops.runbooks.evidence import Evidence
from streamops.runbooks.recommendation import Kind
from streamops.running.broker_health import BrokerHealth

from ..on_call import P0, P1, SILENT, STOP, evidence, seen

AWAY = BrokerHealth(away="no Kafka broker answers at kafka:9092: Connection refused")
TWO = {1: None, 2: "it holds replicas, and is not up"}
ONE_LESS = BrokerHealth(brokers=TWO, partitions=2, under_replicated=(P0, P1))
LEADERLESS = BrokerHealth(brokers=TWO, partitions=2, leaderless=(P1,))
HUNG = BrokerHealth(brokers={1: None, 2: "broker 2 does not answer"}, partitions=2)
UNKNOWN = BrokerHealth(brokers={1: None}, absent={"lines": "there is no topic lines"})


@pytest.mark.parametrize(("found", "kind", "text"), [
    pytest.param(evidence(), Kind.NOTHING, "every broker answers, and all 2 partitions", id="all is well"),
    pytest.param(evidence(brokers=AWAY), Kind.ACT, "Connection refused", id="none answers"),
    pytest.param(evidence(brokers=AWAY), Kind.ACT, "streamops stack up kafka", id="what to do about the embedded ones"),
    pytest.param(evidence(brokers=LEADERLESS), Kind.ACT, "1 of 2 partitions without a leader: lines-1", id="no leader"),
    pytest.param(evidence(brokers=ONE_LESS), Kind.WAIT, "2 of 2 partitions under", id="a replica is missing"),
    pytest.param(evidence(brokers=HUNG), Kind.WAIT, "broker 2 does not answer", id="a broker hangs"),
    pytest.param(evidence(brokers=UNKNOWN), Kind.ADVICE, "streamops topics apply", id="the topic is not there"),
    pytest.param(evidence(brokers=AWAY, observed=seen(order=STOP)), Kind.ADVICE, "stopped by alice@shell",
                 id="a person stopped the pipeline"),
    pytest.param(evidence(observed=seen(beat=SILENT)), Kind.OTHER, "driver_lost", id="the driver alone"),
])
def test_what_is_recommended(found: Evidence, kind: Kind, text: str) -> None:
    recommended = RUNBOOK.recommend(found)
    assert recommended.kind is kind
    assert text in "\n".join(recommended.lines("lines"))


@pytest.mark.parametrize(("health", "serves", "is_whole", "lines"), [
    (BrokerHealth(brokers={1: None}, partitions=2), True, True, ["brokers: 1 of 1 answer (1)"]),
    (AWAY, False, False, ["brokers: no Kafka broker answers at kafka:9092: Connection refused"]),
    (ONE_LESS, True, False, ["brokers: 1 of 2 answer (1)", "broker 2: it holds replicas, and is not up",
                             "2 of 2 partitions under-replicated: lines-0, lines-1"]),
    (LEADERLESS, False, False, ["brokers: 1 of 2 answer (1)", "broker 2: it holds replicas, and is not up",
                                "1 of 2 partitions without a leader: lines-1"]),
])
def test_how_brokers_are_told(health: BrokerHealth, serves: bool, is_whole: bool, lines: list[str]) -> None:
    assert (health.serves, health.is_whole, health.lines()) == (serves, is_whole, lines)
