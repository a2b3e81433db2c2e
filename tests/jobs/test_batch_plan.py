"""Which records of some chunks make a batch: each offset once, whatever was stored twice, late or out of order."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

#: Positions before and after a poll of one of two partitions.
SPANS = st.tuples(st.integers(0, 1), st.integers(0, 30), st.integers(0, 12)).map(
    lambda drawn: (drawn[0], drawn[1], drawn[1] + drawn[2])
)
#: A chunk holds at most one span of each partition.
CHUNKS = st.lists(st.lists(SPANS, min_size=1, max_size=2, unique_by=lambda span: span[0]), max_size=6)
PROCESSED = st.fixed_dictionaries({0: st.integers(0, 20), 1: st.integers(0, 20)})


def received(spark: SparkSession, chunks: list[list[tuple[int, int, int]]]) -> Any:
    """A ReceivedBatch whose records have their offset as value."""
    context = spark.sparkContext
    jvm: Any = context._jvm
    ours, gateway = jvm.org.apache.spark.streaming.streamops, context._gateway
    record = jvm.org.apache.kafka.clients.consumer.ConsumerRecord
    made, infos = jvm.java.util.ArrayList(), gateway.new_array(ours.ChunkInfo, len(chunks))
    for number, spans in enumerate(chunks):
        java_spans = gateway.new_array(ours.Span, len(spans))
        builder = getattr(ours, "Chunk$Builder")()
        for index, (partition, first, until) in enumerate(spans):
            java_spans[index] = ours.Span("t", partition, first, until)
            for offset in range(first, until):
                builder.add(index, record("t", partition, offset, None, bytearray(str(offset).encode())))
        made.add(builder.result(java_spans))
        infos[number] = ours.ChunkInfo(java_spans, builder.records())
    rdd = context._jsc.parallelize(made, max(1, len(chunks))).rdd()
    return ours.ReceivedBatch(ours.SpannedRDD(rdd, infos), 1)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHUNKS, PROCESSED)
def test_each_offset_is_taken_once_and_every_hole_is_named(
    spark: SparkSession, chunks: list[list[tuple[int, int, int]]], processed: dict[int, int]
) -> None:
    batch = received(spark, chunks)
    planned = json.loads(batch.plan(json.dumps({"t": {str(p): offset for p, offset in processed.items()}}), "{}"))
    spans = [span for chunk in chunks for span in chunk]
    held = {(p, offset) for p, first, until in spans for offset in range(first, until)}
    ends = {p: max([offset, *(until for q, _, until in spans if q == p)]) for p, offset in processed.items()}
    assert {int(p): end for p, end in planned["ends"]["t"].items()} == ends
    missing = {(p, o) for p, end in ends.items() for o in range(processed[p], end)} - held
    gaps = [(p, offset) for _, p, first, until in planned["gaps"] for offset in range(first, until)]
    assert Counter(gaps) == Counter(missing)
    frame = DataFrame(batch.frame(spark._jsparkSession, 2), spark)
    taken = Counter((row.partition, row.offset) for row in frame.collect())
    assert taken == Counter(place for place in held if place[1] >= processed[place[0]])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHUNKS, PROCESSED, st.integers(0, 40))
def test_a_limit_ends_the_batch_and_what_is_behind_it_comes_next(
    spark: SparkSession, chunks: list[list[tuple[int, int, int]]], processed: dict[int, int], limit: int
) -> None:
    batch = received(spark, chunks)
    limits = {str(p): max(limit, offset) for p, offset in processed.items()}
    taken: Counter[tuple[int, int]] = Counter()
    at = {str(p): offset for p, offset in processed.items()}
    for until in (limits, {}):
        planned = json.loads(batch.plan(json.dumps({"t": at}), json.dumps({"t": until} if until else {})))
        at = planned["ends"]["t"]
        assert all(at[p] <= until[p] for p in until)
        frame = DataFrame(batch.frame(spark._jsparkSession, 2), spark)
        taken.update((row.partition, row.offset) for row in frame.collect())
    held = {(p, o) for chunk in chunks for p, first, until in chunk for o in range(first, until) if o >= processed[p]}
    assert taken == Counter(held)


def test_a_partition_that_a_plan_does_not_know_waits_for_the_next_batch(spark: SparkSession) -> None:
    """As when a partition was added to the topic after a driver had planned, and before it died."""
    batch = received(spark, [[(0, 0, 5)], [(1, 0, 7)]])
    planned = json.loads(batch.plan('{"t": {"0": 0}}', '{"t": {"0": 5, "1": 0}}'))
    assert planned["ends"] == {"t": {"0": 5}}
    frame = DataFrame(batch.frame(spark._jsparkSession, 2), spark)
    assert {row.partition for row in frame.collect()} == {0}
